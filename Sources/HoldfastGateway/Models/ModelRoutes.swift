// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import HoldfastCatalog
import Hummingbird

/// `/v1/models` and `/v1/models/ID` out of the catalogue, in the shape of the API the client speaks.
///
/// Only what ``GatewayDirector`` does not relay comes here: a client without a key of its own, that pins no provider.
struct ModelRoutes {
  let router: ModelRouter

  func add(to routes: Router<BasicRequestContext>) {
    let router = self.router
    routes.get("/v1/models") { request, _ in
      switch Self.shape(of: request) {
      case .openAI: return try APIAnswer.json(router.listing(for: .openAI).openAI())
      case .anthropic:
        do {
          let page = try ModelListing.Page(
            request.uri.queryParameters.map { (String($0.key), String($0.value)) })
          return try APIAnswer.json(router.listing(for: .anthropic).anthropic(page))
        } catch let problem as ModelListing.Page.Problem {
          return Self.failure(ProxyFault(.badRequest, problem.message), .anthropic)
        }
      }
    }
    routes.get("/v1/models/**") { request, _ in
      let shape = Self.shape(of: request)
      guard let id = ModelPath.id(ofPath: request.uri.path), let item = router.item(id, for: shape) else {
        return Self.failure(ProxyFault(.notFound, "No provider is known to have this model."), shape)
      }
      switch shape {
      case .openAI: return try APIAnswer.json(ModelListing.openAI(item))
      case .anthropic: return try APIAnswer.json(ModelListing.anthropic(item))
      }
    }
  }

  /// As ``GatewayDirector`` tells clients apart.
  private static func shape(of request: Request) -> ClientShape {
    request.headers[.anthropicVersion] != nil || request.headers[.apiKey] != nil ? .anthropic : .openAI
  }

  private static func failure(_ fault: ProxyFault, _ shape: ClientShape) -> Response {
    APIAnswer.json(
      fault.body(shape: shape), status: HTTPResponse.Status(code: fault.status))
  }
}

extension HTTPField.Name {
  fileprivate static let anthropicVersion = HTTPField.Name("anthropic-version")!
  fileprivate static let apiKey = HTTPField.Name("x-api-key")!
}
