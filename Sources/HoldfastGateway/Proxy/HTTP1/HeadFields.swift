// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// What a header field means to a relay; every other field is carried without a look.
enum FieldRole: UInt8, Sendable {
  /// Carried as it came.
  case endToEnd
  case host
  case contentLength
  case transferEncoding
  case connection
  /// One of the fixed hop-by-hop fields: Keep-Alive, Proxy-*, TE, Trailer, Upgrade.
  case hopByHop
  /// Addressed to this gateway (`x-holdfast-…`): never sent on.
  case gateway
}

/// One header line: where its name, its value and the whole line lie in the head's bytes.
struct HeaderField: Sendable {
  var lineStart: Int
  var nameEnd: Int
  var valueStart: Int
  var valueEnd: Int
  /// One past the line's LF.
  var lineEnd: Int
  var role: FieldRole
}

/// The header fields of one message, as ranges into the bytes they came in.
///
/// Nothing is decoded or copied: a relay passes lines on verbatim, so case, order, duplicates, inner white space
/// and bytes outside ASCII all survive.
struct HeadFields: Sendable {
  /// The head, from the first byte of the start line to the empty line; readable from index 0.
  let bytes: ByteBuffer
  var fields: [HeaderField] = []

  init(bytes: ByteBuffer) {
    self.bytes = bytes
    fields.reserveCapacity(24)
  }

  /// Whether any field is addressed to this gateway.
  var hasGatewayFields: Bool { fields.contains { $0.role == .gateway } }

  /// The value of the first field called `name`, or nil.
  func first(_ name: FieldName) -> String? {
    let span = bytes.readableBytesUInt8Span
    for field in fields where name.matches(span, field.lineStart..<field.nameEnd) {
      return text(field.valueStart..<field.valueEnd)
    }
    return nil
  }

  /// How many fields are called `name`.
  func count(_ name: FieldName) -> Int {
    let span = bytes.readableBytesUInt8Span
    var found = 0
    for field in fields where name.matches(span, field.lineStart..<field.nameEnd) { found += 1 }
    return found
  }

  /// Whether any field is called `name`.
  func contains(_ name: FieldName) -> Bool { first(name) != nil }

  /// The bytes of `range` as text; bytes that are no UTF-8 are replaced, so this is for reading, not for relaying.
  func text(_ range: Range<Int>) -> String {
    bytes.getString(at: bytes.readerIndex + range.lowerBound, length: range.count) ?? ""
  }

  /// The name of `field`.
  func name(_ field: HeaderField) -> String { text(field.lineStart..<field.nameEnd) }

  /// The value of `field`.
  func value(_ field: HeaderField) -> String { text(field.valueStart..<field.valueEnd) }

  /// Copies one header line, with its line end.
  func copyLine(_ field: HeaderField, into out: inout ByteBuffer) {
    copy(field.lineStart..<field.lineEnd, into: &out)
  }

  /// Copies a range of the head.
  func copy(_ range: Range<Int>, into out: inout ByteBuffer) {
    out.writeBytes(bytes.readableBytesSpan.extracting(range))
  }

  /// The comma-separated tokens of every Connection field, in lower case.
  func connectionTokens() -> [String] {
    var tokens: [String] = []
    for field in fields where field.role == .connection {
      for part in value(field).split(separator: ",") {
        let token = part.trimmingOptionalWhitespace().lowercased()
        if !token.isEmpty { tokens.append(token) }
      }
    }
    return tokens
  }
}

extension Substring {
  /// The text without the spaces and tabs around it (RFC 9110 §5.6.3).
  func trimmingOptionalWhitespace() -> Substring {
    var text = self
    while let last = text.last, last == " " || last == "\t" { text.removeLast() }
    return text.drop { $0 == " " || $0 == "\t" }
  }
}

/// A header's name, compared without regard to ASCII case.
struct FieldName: Sendable, ExpressibleByStringLiteral {
  let lowercased: [UInt8]

  init(stringLiteral value: String) { self.init(value) }

  init(_ name: String) { lowercased = Array(name.lowercased().utf8) }

  /// Whether the bytes at `range` are this name.
  func matches(_ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    guard range.count == lowercased.count else { return false }
    for offset in 0..<lowercased.count
    where bytes[range.lowerBound + offset].lowercasedASCII != lowercased[offset] {
      return false
    }
    return true
  }

  static let host: FieldName = "host"
  static let connection: FieldName = "connection"
  static let keepAlive: FieldName = "keep-alive"
  static let contentLength: FieldName = "content-length"
  static let transferEncoding: FieldName = "transfer-encoding"
  static let expect: FieldName = "expect"
  static let retryAfter: FieldName = "retry-after"
  static let te: FieldName = "te"
  static let trailer: FieldName = "trailer"
  static let upgrade: FieldName = "upgrade"
  static let origin: FieldName = "origin"
  static let secFetchSite: FieldName = "sec-fetch-site"
  static let secFetchMode: FieldName = "sec-fetch-mode"
  static let authorization: FieldName = "authorization"
  static let apiKey: FieldName = "x-api-key"
  static let azureKey: FieldName = "api-key"
  static let googleKey: FieldName = "x-goog-api-key"
  static let holdfastToken: FieldName = "x-holdfast-token"
  static let holdfastProvider: FieldName = "x-holdfast-provider"
  static let anthropicVersion: FieldName = "anthropic-version"
  static let contentType: FieldName = "content-type"
  static let contentEncoding: FieldName = "content-encoding"
  static let requestID: FieldName = "request-id"
  static let xRequestID: FieldName = "x-request-id"
  static let traceparent: FieldName = "traceparent"
  static let tracestate: FieldName = "tracestate"
}

extension FieldRole {
  private static let proxyPrefix: FieldName = "proxy-"
  private static let gatewayPrefix: FieldName = "x-holdfast-"

  /// The role of the field whose name is at `range`.
  static func of(_ bytes: Span<UInt8>, _ range: Range<Int>) -> FieldRole {
    // The first letter rules nearly every name out.
    switch bytes[range.lowerBound].lowercasedASCII {
    case UInt8(ascii: "h"): FieldName.host.matches(bytes, range) ? .host : .endToEnd
    case UInt8(ascii: "c"):
      FieldName.contentLength.matches(bytes, range)
        ? .contentLength : FieldName.connection.matches(bytes, range) ? .connection : .endToEnd
    case UInt8(ascii: "t"):
      FieldName.transferEncoding.matches(bytes, range)
        ? .transferEncoding
        : FieldName.te.matches(bytes, range) || FieldName.trailer.matches(bytes, range)
          ? .hopByHop : .endToEnd
    case UInt8(ascii: "k"): FieldName.keepAlive.matches(bytes, range) ? .hopByHop : .endToEnd
    case UInt8(ascii: "u"): FieldName.upgrade.matches(bytes, range) ? .hopByHop : .endToEnd
    case UInt8(ascii: "p"): hasPrefix(proxyPrefix, bytes, range) ? .hopByHop : .endToEnd
    case UInt8(ascii: "x"): hasPrefix(gatewayPrefix, bytes, range) ? .gateway : .endToEnd
    default: .endToEnd
    }
  }

  private static func hasPrefix(_ prefix: FieldName, _ bytes: Span<UInt8>, _ range: Range<Int>) -> Bool {
    let length = prefix.lowercased.count
    return range.count > length && prefix.matches(bytes, range.lowerBound..<range.lowerBound + length)
  }
}
