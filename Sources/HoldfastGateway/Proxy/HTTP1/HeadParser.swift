// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Reads heads of HTTP/1 messages, strictly (RFC 9112).
///
/// Whatever two parsers could read differently is refused: bare LF, folded lines, white space before a colon,
/// control bytes, two lengths, a length beside chunks. So this gateway, the upstream and the API's own parser
/// behind it always agree on where a message ends.
struct HeadParser: Sendable {
  /// The bounds of a head.
  struct Limits: Sendable {
    /// Longest head in bytes, start line included.
    var headBytes = 128 * 1024
    /// Most header fields.
    var fieldCount = 256
  }

  let limits: Limits
  /// How far the input has been searched for the end of the head.
  private var searched = 0

  init(limits: Limits = Limits()) { self.limits = limits }

  /// Whether part of a head has come in.
  var hasBegun: Bool { searched > 0 }

  /// Takes a request head off the front of `input`, or returns nil while it is incomplete.
  mutating func request(from input: inout ByteBuffer) throws(MessageFault) -> RequestHead? {
    if searched == 0 { skipEmptyLines(&input) }
    guard let bytes = try takeHead(from: &input) else { return nil }
    return try Self.parseRequest(bytes, limits)
  }

  /// Takes a response head off the front of `input`, or returns nil while it is incomplete.
  ///
  /// - Parameter toHEAD: the request was HEAD, so no body follows whatever the fields say.
  mutating func response(from input: inout ByteBuffer, toHEAD: Bool) throws(MessageFault) -> ResponseHead? {
    guard let bytes = try takeHead(from: &input) else { return nil }
    return try Self.parseResponse(bytes, limits, toHEAD: toHEAD)
  }

  /// RFC 9112 §2.2: a server ignores empty lines before a request line.
  private func skipEmptyLines(_ input: inout ByteBuffer) {
    while let byte = input.getInteger(at: input.readerIndex, as: UInt8.self),
      byte == ASCII.carriageReturn || byte == ASCII.lineFeed
    {
      input.moveReaderIndex(forwardBy: 1)
    }
  }

  private mutating func takeHead(from input: inout ByteBuffer) throws(MessageFault) -> ByteBuffer? {
    let end = Self.endOfHead(input.readableBytesUInt8Span, from: searched)
    guard let end else {
      if input.readableBytes > limits.headBytes { throw Self.tooLarge }
      searched = input.readableBytes
      return nil
    }
    if end > limits.headBytes { throw Self.tooLarge }
    searched = 0
    return input.readSlice(length: end)
  }

  private static let tooLarge = MessageFault(
    status: 431, message: "the message's headers are larger than this gateway takes")

  /// One past the empty line, or nil.
  private static func endOfHead(_ bytes: Span<UInt8>, from searched: Int) -> Int? {
    // The last three bytes searched may be the beginning of CR LF CR LF.
    var index = max(searched - 3, 0) + 3
    let count = bytes.count
    while index < count {
      let byte = bytes[index]
      if byte == ASCII.lineFeed {
        if bytes[index - 1] == ASCII.carriageReturn, bytes[index - 2] == ASCII.lineFeed,
          bytes[index - 3] == ASCII.carriageReturn
        {
          return index + 1
        }
      }
      index += 1
    }
    return nil
  }
}

// MARK: - Start lines

extension HeadParser {
  static func parseRequest(_ bytes: ByteBuffer, _ limits: Limits) throws(MessageFault) -> RequestHead {
    let span = bytes.readableBytesUInt8Span
    guard let lineEnd = lineEnd(span, from: 0) else { throw .malformed("the request line does not end") }
    guard let methodEnd = index(of: ASCII.space, span, 0..<lineEnd), methodEnd > 0,
      isToken(span, 0..<methodEnd)
    else { throw .malformed("the request line has no method") }
    guard let targetEnd = index(of: ASCII.space, span, methodEnd + 1..<lineEnd), targetEnd > methodEnd + 1
    else {
      throw .malformed("the request line has no target and version")
    }
    for index in methodEnd + 1..<targetEnd where span[index] <= 0x20 || span[index] == 0x7F {
      throw .malformed("the request target has a control byte")
    }
    let isHTTP11 = try version(span, targetEnd + 1..<lineEnd)

    let summary = try parseFields(bytes, from: lineEnd + 2, limits)
    let framing: BodyFraming
    if summary.hasTransferEncoding {
      guard summary.isChunked else {
        throw MessageFault(status: 501, message: "the request's transfer coding is not supported")
      }
      guard isHTTP11, summary.contentLength == nil else {
        throw .malformed("the request's length is given in two ways")
      }
      framing = .chunked
    } else if let length = summary.contentLength {
      framing = .length(length)
    } else {
      framing = .none
    }
    guard summary.hostCount == 1 || (summary.hostCount == 0 && !isHTTP11) else {
      throw .malformed("the request needs exactly one Host field")
    }
    let method = 0..<methodEnd
    return RequestHead(
      fields: summary.fields, method: method, target: methodEnd + 1..<targetEnd, isHTTP11: isHTTP11,
      framing: framing,
      keepsAlive: isHTTP11 && !summary.saysClose,
      isHEAD: methodEnd == 4 && summary.fields.text(method) == "HEAD")
  }

  static func parseResponse(
    _ bytes: ByteBuffer, _ limits: Limits, toHEAD: Bool
  ) throws(MessageFault) -> ResponseHead {
    let span = bytes.readableBytesUInt8Span
    guard let lineEnd = lineEnd(span, from: 0), lineEnd >= 12, span[8] == ASCII.space else {
      throw .malformed("the status line is malformed")
    }
    let isHTTP11 = try version(span, 0..<8)
    var status = 0
    for index in 9..<12 {
      guard let digit = span[index].decimalDigit else { throw .malformed("the status code is no number") }
      status = status * 10 + digit
    }
    guard status >= 100, lineEnd == 12 || span[12] == ASCII.space else {
      throw .malformed("the status line is malformed")
    }
    for index in 12..<lineEnd where isControl(span[index]) {
      throw .malformed("the reason phrase has a control byte")
    }

    let summary = try parseFields(bytes, from: lineEnd + 2, limits)
    let framing: BodyFraming
    if toHEAD || status < 200 || status == 204 || status == 304 {
      framing = .none
    } else if summary.hasTransferEncoding {
      // A coding under the chunks was not asked for (TE is never forwarded) and could not be declared downstream.
      guard summary.isChunked else { throw .malformed("the response's transfer coding is not supported") }
      framing = .chunked
    } else if let length = summary.contentLength {
      framing = .length(length)
    } else {
      framing = .untilClose
    }
    return ResponseHead(
      fields: summary.fields, status: status, statusAndReason: 9..<lineEnd, framing: framing,
      keepsAlive: framing != .untilClose && (isHTTP11 ? !summary.saysClose : summary.saysKeepAlive))
  }

  /// True for HTTP/1.1 and later minor versions, false for 1.0.
  private static func version(_ span: Span<UInt8>, _ range: Range<Int>) throws(MessageFault) -> Bool {
    let expected: [UInt8] = [0x48, 0x54, 0x54, 0x50, 0x2F]
    guard range.count == 8, span[range.lowerBound + 6] == UInt8(ascii: "."),
      let major = span[range.lowerBound + 5].decimalDigit, let minor = span[range.lowerBound + 7].decimalDigit
    else { throw .malformed("the message has no HTTP version") }
    for offset in 0..<5 where span[range.lowerBound + offset] != expected[offset] {
      throw .malformed("the message has no HTTP version")
    }
    guard major == 1 else {
      throw MessageFault(status: 505, message: "only HTTP/1.1 and HTTP/1.0 are spoken here")
    }
    return minor >= 1
  }
}

// MARK: - Fields

extension HeadParser {
  /// What the fields say together.
  struct Summary {
    var fields: HeadFields
    var contentLength: Int?
    var hasTransferEncoding = false
    var isChunked = false
    var saysClose = false
    var saysKeepAlive = false
    var hostCount = 0
  }

  private static func parseFields(
    _ bytes: ByteBuffer, from start: Int, _ limits: Limits
  ) throws(MessageFault) -> Summary {
    var summary = Summary(fields: HeadFields(bytes: bytes))
    let span = bytes.readableBytesUInt8Span
    // The empty line that ends the head.
    let end = span.count - 2
    var lineStart = start
    while lineStart < end {
      guard let lineEnd = lineEnd(span, from: lineStart) else {
        throw .malformed("a header line does not end")
      }
      let field = try parseField(span, lineStart..<lineEnd)
      guard summary.fields.fields.count < limits.fieldCount else {
        throw MessageFault(status: 431, message: "the message has more header fields than this gateway takes")
      }
      summary.fields.fields.append(field)
      if field.role != .endToEnd { try note(field, span, &summary) }
      lineStart = lineEnd + 2
    }
    return summary
  }

  private static func parseField(_ span: Span<UInt8>, _ line: Range<Int>) throws(MessageFault) -> HeaderField
  {
    guard let colon = index(of: ASCII.colon, span, line), colon > line.lowerBound,
      isToken(span, line.lowerBound..<colon)
    else { throw .malformed("a header line has no proper name") }
    var valueStart = colon + 1
    var valueEnd = line.upperBound
    while valueStart < valueEnd, isBlank(span[valueStart]) { valueStart += 1 }
    while valueEnd > valueStart, isBlank(span[valueEnd - 1]) { valueEnd -= 1 }
    for index in valueStart..<valueEnd where isControl(span[index]) {
      throw .malformed("a header value has a control byte")
    }
    return HeaderField(
      lineStart: line.lowerBound, nameEnd: colon, valueStart: valueStart, valueEnd: valueEnd,
      lineEnd: line.upperBound + 2, role: .of(span, line.lowerBound..<colon))
  }

  private static func note(
    _ field: HeaderField, _ span: Span<UInt8>, _ summary: inout Summary
  ) throws(MessageFault) {
    switch field.role {
    case .host:
      summary.hostCount += 1
    case .contentLength:
      guard let length = decimal(span, field.valueStart..<field.valueEnd) else {
        throw .malformed("Content-Length is no number")
      }
      guard summary.contentLength == nil || summary.contentLength == length else {
        throw .malformed("the message has two lengths")
      }
      summary.contentLength = length
    case .transferEncoding:
      summary.isChunked =
        !summary.hasTransferEncoding
        && FieldName.chunked.matches(span, field.valueStart..<field.valueEnd)
      summary.hasTransferEncoding = true
    case .connection:
      for token in summary.fields.value(field).split(separator: ",") {
        switch token.trimmingOptionalWhitespace().lowercased() {
        case "close": summary.saysClose = true
        case "keep-alive": summary.saysKeepAlive = true
        default: break
        }
      }
    case .hopByHop, .gateway, .endToEnd:
      break
    }
  }

  /// The number in ASCII digits, or nil when it is none or has more than 18 digits.
  private static func decimal(_ span: Span<UInt8>, _ range: Range<Int>) -> Int? {
    guard (1...18).contains(range.count) else { return nil }
    var number = 0
    for index in range {
      guard let digit = span[index].decimalDigit else { return nil }
      number = number * 10 + digit
    }
    return number
  }
}

extension FieldName {
  fileprivate static let chunked: FieldName = "chunked"
}

// MARK: - Bytes

extension HeadParser {
  /// The index of the CR of the line's CR LF; nil when a bare LF or CR comes first.
  private static func lineEnd(_ span: Span<UInt8>, from start: Int) -> Int? {
    var index = start
    let count = span.count
    while index < count {
      let byte = span[index]
      if byte == ASCII.carriageReturn {
        return index + 1 < count && span[index + 1] == ASCII.lineFeed ? index : nil
      }
      if byte == ASCII.lineFeed { return nil }
      index += 1
    }
    return nil
  }

  private static func index(of byte: UInt8, _ span: Span<UInt8>, _ range: Range<Int>) -> Int? {
    for index in range where span[index] == byte { return index }
    return nil
  }

  private static func isBlank(_ byte: UInt8) -> Bool { byte == ASCII.space || byte == ASCII.tab }

  private static func isControl(_ byte: UInt8) -> Bool { (byte < 0x20 && byte != ASCII.tab) || byte == 0x7F }

  private static func isToken(_ span: Span<UInt8>, _ range: Range<Int>) -> Bool {
    for index in range where !span[index].isTokenByte { return false }
    return true
  }
}
