// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// A request's body, kept until its upstream is known and for as long as it may have to be sent once more.
///
/// Large pieces are shared with what is relayed. Small ones are copied together, because each would keep the whole
/// buffer it was read into.
struct HeldBody {
  private static let sharedFrom = 8 * 1024

  private(set) var pieces: [ByteBuffer] = []
  private(set) var byteCount = 0
  /// Whether the last piece is one of ours, which more may be appended to.
  private var isOpen = false

  mutating func append(_ bytes: ByteBuffer, allocator: ByteBufferAllocator) {
    byteCount += bytes.readableBytes
    if bytes.readableBytes >= Self.sharedFrom {
      pieces.append(bytes)
      isOpen = false
    } else if isOpen, pieces[pieces.count - 1].readableBytes < Self.sharedFrom {
      pieces[pieces.count - 1].writeImmutableBuffer(bytes)
    } else {
      var own = allocator.buffer(capacity: max(bytes.readableBytes, 1024))
      own.writeImmutableBuffer(bytes)
      pieces.append(own)
      isOpen = true
    }
  }
}
