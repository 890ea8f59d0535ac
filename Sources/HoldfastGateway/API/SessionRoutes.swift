// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import HoldfastEngine
import HoldfastSessions
import Hummingbird

/// `/api/sessions…` and `/api/search`: what `holdfast sessions list|show|search --json` print, in pieces.
///
/// | Path | Parameters | Answer |
/// |---|---|---|
/// | `/api/sessions` | `id`, `source`, `parent`, `text`, `archived`, `roots`, `limit`, `after` | `{sessions, next}` |
/// | `/api/sessions/ID` | `after`, `before`, `from`, `states`, `limit` | `{session, messages, next?, previous?}` |
/// | `/api/sessions/ID/tree` | `limit` | `{session, children, truncated?}` |
/// | `/api/search` | `q`, `limit`, `neighbours`, `grouped` | `{route, lag, truncated, hits}` |
///
/// The database is read on the store's own threads; what is done here is put a bounded answer together.
struct SessionRoutes {
  let sessions: ServedSessions

  func add(to router: Router<BasicRequestContext>) {
    let sessions = self.sessions
    router.get("/api/sessions") { request, _ in
      try await Self.answering {
        let filter = try SessionQuery.filter(Self.parameters(request))
        return try await sessions.ask { try await $0.store.list(filter) }
      }
    }
    router.get("/api/sessions/:id") { request, context in
      try await Self.answering {
        let id = try Self.id(context)
        let page = try SessionQuery.page(Self.parameters(request))
        return try await sessions.ask { try await $0.store.page(of: id, page) }
      }
    }
    router.get("/api/sessions/:id/tree") { request, context in
      try await Self.answering {
        let id = try Self.id(context)
        let limit = try SessionQuery.treeLimit(Self.parameters(request))
        return try await sessions.ask { try await $0.store.tree(of: id, limit: limit) }
      }
    }
    router.get("/api/search") { request, _ in
      try await Self.answering {
        let (question, options) = try SessionQuery.search(Self.parameters(request))
        return try await sessions.ask { try await $0.search.search(question, options) }
      }
    }
  }

  /// As forms and `URLSearchParams` write them: a plus is a space.
  private static func parameters(_ request: Request) throws -> [(String, String)] {
    try (request.uri.query ?? "").split(separator: "&").map { pair in
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        .map { $0.replacing("+", with: " ").removingPercentEncoding }
      guard let name = parts[0], let value = parts.count > 1 ? parts[1] : "" else {
        throw SessionQuery.Problem(message: "The parameter “\(pair)” is no UTF-8 text.")
      }
      return (name, value)
    }
  }

  /// An id may hold anything: it stands in the path with its slashes and its spaces escaped.
  private static func id(_ context: BasicRequestContext) throws -> String {
    guard let id = context.parameters.get("id")?.removingPercentEncoding, !id.isEmpty else {
      throw SessionError(.invalid, "The session's id in the path is no UTF-8 text.")
    }
    return id
  }

  private static func answering(_ body: () async throws -> some Encodable) async throws -> Response {
    do {
      return try APIAnswer.json(await body())
    } catch let problem as SessionQuery.Problem {
      return APIAnswer.failure(.badRequest, "bad_request", problem.message)
    } catch let error as SessionError {
      return APIAnswer.failure(status(of: error.code), error.code.rawValue, error.message)
    } catch let error as StoreError {
      return APIAnswer.failure(.serviceUnavailable, "\(error.code)", error.description)
    }
  }

  private static func status(of code: SessionError.Code) -> HTTPResponse.Status {
    switch code {
    case .notFound: .notFound
    case .ambiguous, .cycle: .conflict
    case .invalid: .badRequest
    case .unreadable: .internalServerError
    case .closed, .spoolRefused: .serviceUnavailable
    }
  }
}
