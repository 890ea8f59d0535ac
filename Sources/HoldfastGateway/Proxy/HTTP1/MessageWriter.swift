// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Gathers what one read yields into as few writes as it takes.
///
/// A head and small payloads are copied together, so one event of a stream leaves in one segment; a large payload is
/// handed on without a copy.
struct MessageWriter {
  /// Payloads from this size on are not copied.
  private static let copyLimit = 8 * 1024

  private(set) var ready: [ByteBuffer] = []
  private var open: ByteBuffer?
  private let allocator: ByteBufferAllocator

  init(allocator: ByteBufferAllocator) { self.allocator = allocator }

  var isEmpty: Bool { ready.isEmpty && open == nil }

  /// How many bytes wait to be taken.
  var byteCount: Int { ready.reduce(open?.readableBytes ?? 0) { $0 + $1.readableBytes } }

  /// Appends bytes that are not body: a head, or a message of our own.
  mutating func append(_ bytes: ByteBuffer) {
    if open == nil {
      open = bytes
    } else {
      open!.writeImmutableBuffer(bytes)
    }
  }

  /// Appends a piece of a body, as a chunk when `chunked`.
  mutating func append(payload: ByteBuffer, chunked: Bool) {
    let size = payload.readableBytes
    if size == 0 { return }
    if chunked { appendChunkSize(size) }
    if size >= Self.copyLimit {
      seal()
      ready.append(payload)
    } else {
      withOpen(reserving: size + 2) { $0.writeImmutableBuffer(payload) }
    }
    if chunked { withOpen(reserving: 2) { $0.writeStaticString("\r\n") } }
  }

  /// Ends a body.
  mutating func appendEnd(chunked: Bool) {
    if chunked { withOpen(reserving: 5) { $0.writeStaticString("0\r\n\r\n") } }
  }

  /// Everything gathered, in order.
  mutating func take() -> [ByteBuffer] {
    seal()
    defer { ready.removeAll(keepingCapacity: true) }
    return ready
  }

  private mutating func appendChunkSize(_ size: Int) {
    withOpen(reserving: 18) { buffer in
      var shift = (Int.bitWidth - size.leadingZeroBitCount - 1) / 4 * 4
      while shift >= 0 {
        let digit = UInt8((size >> shift) & 0xF)
        buffer.writeInteger(digit < 10 ? digit + 0x30 : digit + 0x57)
        shift -= 4
      }
      buffer.writeStaticString("\r\n")
    }
  }

  private mutating func withOpen(reserving count: Int, _ body: (inout ByteBuffer) -> Void) {
    if open == nil { open = allocator.buffer(capacity: max(count + 64, 256)) }
    body(&open!)
  }

  private mutating func seal() {
    if let buffer = open, buffer.readableBytes > 0 { ready.append(buffer) }
    open = nil
  }
}
