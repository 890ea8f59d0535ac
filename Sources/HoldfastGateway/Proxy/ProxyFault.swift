// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// An answer of the gateway's own, in the shape of the API the client speaks.
struct ProxyFault: Error, Equatable, Sendable {
  /// Why; also the machine-readable code in the body and in the `x-holdfast-error` field.
  enum Code: String, Sendable {
    case upstreamUnreachable = "upstream_unreachable"
    case upstreamClosed = "upstream_closed"
    case upstreamMalformed = "upstream_malformed"
    case upstreamConnectTimeout = "upstream_connect_timeout"
    case upstreamTimeout = "upstream_timeout"
    case badRequest = "bad_request"
    case unknownProvider = "unknown_provider"
    case forbidden
    case unauthorized
    case notFound = "not_found"
    case headersTooLarge = "headers_too_large"
    case requestTimeout = "request_timeout"
    case requestTooLarge = "request_too_large"
    case tooManyConnections = "too_many_connections"
    case notImplemented = "not_implemented"
    case shuttingDown = "shutting_down"
    case budgetExhausted = "budget_exhausted"

    var status: Int {
      switch self {
      case .upstreamUnreachable, .upstreamClosed, .upstreamMalformed: 502
      case .upstreamConnectTimeout, .upstreamTimeout: 504
      case .badRequest, .unknownProvider: 400
      case .unauthorized: 401
      case .forbidden: 403
      case .notFound: 404
      case .requestTimeout: 408
      case .requestTooLarge: 413
      case .headersTooLarge: 431
      case .notImplemented: 501
      case .shuttingDown, .tooManyConnections: 503
      case .budgetExhausted: 429
      }
    }
  }

  var code: Code
  /// One sentence: what happened, and what to do.
  var message: String
  /// A status other than the code's own.
  var statusOverride: Int?
  /// The seconds after which the same request may go better; nil when that is not known.
  var retryAfter: Int?

  init(_ code: Code, _ message: String) {
    self.code = code
    self.message = message
  }

  /// The answer to bytes that are no request.
  init(_ fault: MessageFault) {
    let code: Code =
      switch fault.status {
      case 413: .requestTooLarge
      case 431: .headersTooLarge
      case 501, 505: .notImplemented
      default: .badRequest
      }
    self.init(code, "Holdfast cannot read the request: \(fault.message).")
    statusOverride = fault.status
  }

  var status: Int { statusOverride ?? code.status }

  /// The whole response.
  ///
  /// - Parameter route: how the upstream was chosen that failed, where it was.
  func response(
    shape: ClientShape, closing: Bool, toHEAD: Bool, route: RouteTrace? = nil, allocator: ByteBufferAllocator
  ) -> ByteBuffer {
    let body = body(shape: shape)
    var out = allocator.buffer(capacity: 256 + body.utf8.count)
    out.writeString("HTTP/1.1 \(status) \(Self.reason(status))\r\n")
    out.writeString("Content-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n")
    out.writeString("X-Holdfast-Error: \(code.rawValue)\r\nCache-Control: no-store\r\n")
    if code == .unauthorized { out.writeStaticString("WWW-Authenticate: Basic realm=\"holdfast\"\r\n") }
    if let retryAfter {
      // The SDKs would try again at once all the same, where the wait is a long one, but for the second field.
      out.writeString("Retry-After: \(retryAfter)\r\nX-Should-Retry: false\r\n")
    }
    if code == .tooManyConnections { out.writeStaticString("Retry-After: 1\r\n") }
    if let route { out.writeString("\(RouteTrace.fieldName): \(route)\r\n") }
    if closing { out.writeStaticString("Connection: close\r\n") }
    out.writeStaticString("\r\n")
    if !toHEAD { out.writeString(body) }
    return out
  }

  /// The JSON body: Anthropic's `{"type":"error",…}` or OpenAI's `{"error":{…}}`.
  func body(shape: ClientShape) -> String {
    switch shape {
    case .anthropic:
      #"{"type":"error","error":{"type":"\#(anthropicType)","message":\#(JSONText.quoted(message)),"#
        + #""code":"\#(code.rawValue)"}}"#
    case .openAI:
      #"{"error":{"message":\#(JSONText.quoted(message)),"type":"\#(openAIType)","param":null,"#
        + #""code":"\#(code.rawValue)"}}"#
    }
  }

  private var anthropicType: String {
    switch status {
    case 401: "authentication_error"
    case 403: "permission_error"
    case 404: "not_found_error"
    case 429: "rate_limit_error"
    case 408, 504: "timeout_error"
    case 413: "request_too_large"
    case 503: "overloaded_error"
    case 400..<500: "invalid_request_error"
    default: "api_error"
    }
  }

  private var openAIType: String {
    switch status {
    case 401: "authentication_error"
    case 403: "permission_error"
    case 429: "insufficient_quota"
    case 408, 504: "timeout_error"
    case 400..<500: "invalid_request_error"
    default: "server_error"
    }
  }

  private static func reason(_ status: Int) -> String {
    switch status {
    case 400: "Bad Request"
    case 401: "Unauthorized"
    case 403: "Forbidden"
    case 404: "Not Found"
    case 408: "Request Timeout"
    case 413: "Content Too Large"
    case 429: "Too Many Requests"
    case 431: "Request Header Fields Too Large"
    case 501: "Not Implemented"
    case 502: "Bad Gateway"
    case 503: "Service Unavailable"
    case 504: "Gateway Timeout"
    case 505: "HTTP Version Not Supported"
    default: "Error"
    }
  }
}

extension ProxyFault {
  static let lateHead = ProxyFault(.requestTimeout, "Holdfast got only part of a request's headers in time.")
  static let lateBody = ProxyFault(.requestTimeout, "Holdfast got only part of a request's body in time.")

  static func largeBody(_ bound: Int) -> ProxyFault {
    ProxyFault(.requestTooLarge, "Holdfast takes no more than \(bound) bytes as this request's body.")
  }
}

/// Text inside hand-written JSON.
enum JSONText {
  /// `text` in quotes, escaped by RFC 8259 §7.
  static func quoted(_ text: String) -> String {
    var out = "\""
    for scalar in text.unicodeScalars {
      switch scalar {
      case "\"": out += "\\\""
      case "\\": out += "\\\\"
      case "\n": out += "\\n"
      case "\r": out += "\\r"
      case "\t": out += "\\t"
      case _ where scalar.value < 0x20:
        let hex = String(scalar.value, radix: 16)
        out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
      default: out.unicodeScalars.append(scalar)
      }
    }
    return out + "\""
  }
}
