// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// The heads that are sent on: every line as it came, but for what belongs to one hop.
///
/// RFC 9110 §7.6.1: Connection and the fields it names end here, and so do Keep-Alive, Proxy-*, TE, Trailer,
/// Transfer-Encoding and Upgrade. Host, and what tells the body's length, are written anew.
enum HeadRewriting {
  /// The request head for the upstream.
  static func upstreamHead(_ head: RequestHead, hop: RelayHop, allocator: ByteBufferAllocator) -> ByteBuffer {
    let fields = head.fields
    var out = allocator.buffer(capacity: fields.bytes.readableBytes + 256)
    fields.copy(head.method, into: &out)
    out.writeStaticString(" ")
    out.writeString(hop.targetPrefix)
    fields.copy(hop.targetTail, into: &out)
    out.writeStaticString(" HTTP/1.1\r\n")

    let named = namedByConnection(fields)
    var hasHost = false
    var hasLength = false
    for field in fields.fields {
      switch field.role {
      case .host:
        fields.copy(field.lineStart..<field.nameEnd, into: &out)
        out.writeStaticString(": ")
        out.writeString(hop.upstream.authority)
        out.writeStaticString("\r\n")
        hasHost = true
      case .contentLength:
        if case .length = head.framing, !hasLength { fields.copyLine(field, into: &out) }
        hasLength = true
      case .endToEnd:
        if isNamed(field, in: named, fields) || isNamed(field, in: hop.dropped, fields) { continue }
        fields.copyLine(field, into: &out)
      case .transferEncoding, .connection, .hopByHop, .gateway:
        continue
      }
    }
    if !hasHost { out.writeString("Host: \(hop.upstream.authority)\r\n") }
    if head.framing == .chunked { out.writeStaticString("Transfer-Encoding: chunked\r\n") }
    if let added = hop.added { out.writeString("\(added.name): \(added.value)\r\n") }
    out.writeStaticString("\r\n")
    return out
  }

  /// The response head for the client.
  ///
  /// - Parameters:
  ///   - chunked: the body goes out in chunks.
  ///   - closing: this is the connection's last response.
  ///   - route: how the upstream was chosen, where it was.
  static func clientHead(
    _ head: ResponseHead, chunked: Bool, closing: Bool, route: RouteTrace? = nil,
    allocator: ByteBufferAllocator
  ) -> ByteBuffer {
    let fields = head.fields
    var out = allocator.buffer(capacity: fields.bytes.readableBytes + 256)
    out.writeStaticString("HTTP/1.1 ")
    fields.copy(head.statusAndReason, into: &out)
    out.writeStaticString("\r\n")

    let named = namedByConnection(fields)
    var hasLength = false
    for field in fields.fields {
      switch field.role {
      case .contentLength:
        // Kept where it tells the body's length or, for HEAD and 304, what the length would have been.
        let mayTell: Bool =
          switch head.framing {
          case .length: true
          case .none: head.status >= 200 && head.status != 204
          case .chunked, .untilClose: false
          }
        if mayTell, !hasLength { fields.copyLine(field, into: &out) }
        hasLength = true
      case .endToEnd, .host, .gateway:
        if isNamed(field, in: named, fields) { continue }
        fields.copyLine(field, into: &out)
      case .transferEncoding, .connection, .hopByHop:
        continue
      }
    }
    if chunked { out.writeStaticString("Transfer-Encoding: chunked\r\n") }
    if closing { out.writeStaticString("Connection: close\r\n") }
    if let route { out.writeString("\(RouteTrace.fieldName): \(route)\r\n") }
    out.writeStaticString("\r\n")
    return out
  }

  /// The request as it came, for the API behind this gateway, without an offer to change the protocol.
  static func localHead(_ head: RequestHead, allocator: ByteBufferAllocator) -> ByteBuffer {
    let fields = head.fields
    guard fields.fields.contains(where: { isNamed($0, in: [.upgrade], fields) }) else { return fields.bytes }
    var out = allocator.buffer(capacity: fields.bytes.readableBytes)
    fields.copy(0..<head.target.upperBound, into: &out)
    out.writeString(head.isHTTP11 ? " HTTP/1.1\r\n" : " HTTP/1.0\r\n")
    for field in fields.fields where !isNamed(field, in: [.upgrade], fields) {
      if field.role == .connection { continue }
      fields.copyLine(field, into: &out)
    }
    if head.isHTTP11, !head.keepsAlive { out.writeStaticString("Connection: close\r\n") }
    out.writeStaticString("\r\n")
    return out
  }

  private static func namedByConnection(_ fields: HeadFields) -> [FieldName] {
    fields.connectionTokens().filter { $0 != "close" && $0 != "keep-alive" }.map { FieldName($0) }
  }

  private static func isNamed(_ field: HeaderField, in names: [FieldName], _ fields: HeadFields) -> Bool {
    if names.isEmpty { return false }
    let span = fields.bytes.readableBytesUInt8Span
    for name in names where name.matches(span, field.lineStart..<field.nameEnd) { return true }
    return false
  }
}
