// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
public import HoldfastEngine
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// Asks providers over HTTP.
public final class HTTPModelSource: ModelSource {
  /// The most bytes of a list, after inflation; all its pages together.
  public static let maximumBytes = 32 << 20
  /// More pages than that are no list but a circle.
  private static let mostPages = 100
  /// How much is inflated at a time.
  private static let pieceBytes = 64 << 10

  private let client: HTTPClient
  private let large = Permits(4)

  /// Makes a source; ``close()`` it.
  ///
  /// - Parameter certificateFile: a file of certificate authorities to trust instead of the system's.
  public init(certificateFile: String? = nil) {
    var configuration = HTTPClient.Configuration()
    // A credential goes to where the configuration says, and nowhere that a server says.
    configuration.redirectConfiguration = .disallow
    configuration.timeout.connect = .seconds(10)
    configuration.httpVersion = .http1Only
    // What is asked of providers is written here, and no tracing header is added to it.
    configuration.tracing.tracer = nil
    // Inflated here, no faster than it is read: the client's own inflater would hold all that a piece inflates to.
    configuration.decompression = .disabled
    configuration.connectionPool.retryConnectionEstablishment = false
    // Eight by default: as many providers of one host that hang would hold up all its others.
    configuration.connectionPool.concurrentHTTP1ConnectionsPerHostSoftLimit = 4096
    configuration.connectionPool.idleTimeout = .seconds(5)
    if let certificateFile {
      var tls = TLSConfiguration.makeClientConfiguration()
      tls.trustRoots = .file(certificateFile)
      configuration.tlsConfiguration = tls
    }
    client = HTTPClient(eventLoopGroupProvider: .singleton, configuration: configuration)
  }

  /// Closes the connections.
  public func close() async { try? await client.shutdown() }

  /// All pages of a provider's list.
  public func models(of provider: Provider, at time: UTCInstant) async throws -> ModelList {
    var parser = ModelListParser(provider, at: time)
    var page: String?
    var seen: Set<String> = []
    var left = Self.maximumBytes
    repeat {
      if let page {
        guard seen.insert(page).inserted, seen.count < Self.mostPages else {
          throw CatalogError(.provider, "Its list of models does not end: a page follows itself.")
        }
      }
      page = try await read(ModelListRequest(provider, page: page), &left, into: &parser)
    } while page != nil
    return parser.finish()
  }

  /// Reads one page.
  private func read(
    _ asked: ModelListRequest, _ left: inout Int, into parser: inout ModelListParser
  ) async throws -> String? {
    var request = HTTPClientRequest(url: asked.url)
    for field in asked.fields { request.headers.add(name: field.name, value: field.value) }
    request.headers.add(name: "user-agent", value: "holdfast")
    request.headers.add(name: "accept-encoding", value: "gzip")
    do {
      let response = try await client.execute(request, deadline: .distantFuture)
      guard response.status.code == 200 else {
        throw CatalogError(.provider, await Self.refusal(response))
      }
      if let length = response.headers.first(name: "content-length").flatMap({ Int($0) }), length > left {
        throw Self.tooLarge
      }
      let inflater = try Self.inflater(response)
      var body: [UInt8] = []
      var isLarge = false
      defer { if isLarge { large.give() } }
      for try await part in response.body {
        var piece = Array(part.readableBytesView)
        if let inflater {
          inflater.feed(piece)
          piece = try inflater.read(most: Self.pieceBytes)
        }
        while !piece.isEmpty {
          left -= piece.count
          guard left >= 0 else { throw inflater == nil ? Self.tooLarge : Self.inflatesTooLarge }
          if !isLarge, body.count + piece.count > 2 << 20 {
            // Many providers with large lists at once would take all the memory there is.
            try await large.take()
            isLarge = true
          }
          body += piece
          piece = try inflater?.read(most: Self.pieceBytes) ?? []
        }
      }
      if let inflater, !inflater.isAtEnd {
        throw CatalogError(.provider, "Its answer ends in the middle.")
      }
      return try parser.read(body)
    } catch let error as CatalogError {
      throw error
    } catch let error as CancellationError {
      throw error
    } catch {
      throw CatalogError(.provider, Self.sentence(error), underlying: error)
    }
  }

  private static let tooLarge = CatalogError(
    .provider, "Its list of models is larger than \(maximumBytes >> 20) MiB.")

  private static let inflatesTooLarge = CatalogError(
    .provider, "Its list of models inflates to more than \(maximumBytes >> 20) MiB.")

  private static func inflater(_ response: HTTPClientResponse) throws -> Inflater? {
    switch response.headers.first(name: "content-encoding")?.lowercased() {
    case nil, "", "identity": return nil
    case "gzip", "x-gzip": return try Inflater()
    case .some(let coding):
      throw CatalogError(.provider, "Its answer is coded as \(coding.prefix(40)), which was not asked for.")
    }
  }

  /// What a status other than 200 says, with the beginning of the body's own words.
  private static func refusal(_ response: HTTPClientResponse) async -> String {
    let status = "\(response.status.code)"
    switch response.status.code {
    case 401, 403: return "It refused the key, or wants one (status \(status))."
    case 300..<400:
      let place = response.headers.first(name: "location").map { " to \($0.prefix(200))" } ?? ""
      return "It sends on\(place) (status \(status)), which is not followed: correct its base_url."
    case 404: return "It has no list of models there (status 404): correct its base_url."
    default: return "It answered with status \(status)."
    }
  }

  private static func sentence(_ error: any Error) -> String {
    switch error {
    case let error as HTTPClientError:
      switch error {
      case .connectTimeout: return "It could not be reached within 10 seconds."
      case .remoteConnectionClosed: return "It closed the connection before its answer was complete."
      default: return "The request failed: \(error.description)."
      }
    case let error as NIOConnectionError: return "It could not be reached: \(error)."
    case is Inflater.Fault: return "Its answer cannot be inflated: it is no gzip."
    default: return "The request failed: \(error)."
    }
  }
}
