// SPDX-License-Identifier: Apache-2.0

import NIOCore

/// Finds the end of a message's body and takes the framing off its bytes (RFC 9112 §6 and §7).
///
/// A pure value: bytes in at any split, payload slices out.
struct BodyReader: Sendable {
  /// What one step found.
  enum Step: Equatable {
    case payload(ByteBuffer)
    case end
    case needsMore
  }

  private enum State: Sendable {
    case length(Int)
    case untilClose
    case chunkSize(value: Int, digits: Int)
    case chunkExtension(size: Int)
    case chunkSizeLineFeed(size: Int)
    case chunkData(Int)
    case chunkDataEnd(sawReturn: Bool)
    case trailer(lineBytes: Int, sawReturn: Bool)
    case ended
  }

  /// Chunk extensions and trailers carry nothing this gateway wants: bounded, and dropped.
  private static let maximumSideBytes = 16 * 1024

  private var state: State
  private var sideBytes = 0

  init(_ framing: BodyFraming) {
    switch framing {
    case .none, .length(0): state = .ended
    case .length(let count): state = .length(count)
    case .chunked: state = .chunkSize(value: 0, digits: 0)
    case .untilClose: state = .untilClose
    }
  }

  /// Whether the whole body has been read.
  var isAtEnd: Bool { if case .ended = state { true } else { false } }

  /// Whether the connection's end is the body's end.
  var endsWithConnection: Bool { if case .untilClose = state { true } else { false } }

  /// Takes the next piece off the front of `input`.
  mutating func next(from input: inout ByteBuffer) throws(MessageFault) -> Step {
    while true {
      switch state {
      case .ended:
        return .end
      case .length(let left):
        guard let piece = Self.take(upTo: left, from: &input) else { return .needsMore }
        state = piece.readableBytes == left ? .ended : .length(left - piece.readableBytes)
        return .payload(piece)
      case .untilClose:
        guard let piece = Self.take(upTo: .max, from: &input) else { return .needsMore }
        return .payload(piece)
      case .chunkData(let left):
        guard let piece = Self.take(upTo: left, from: &input) else { return .needsMore }
        state =
          piece.readableBytes == left
          ? .chunkDataEnd(sawReturn: false) : .chunkData(left - piece.readableBytes)
        return .payload(piece)
      default:
        guard let byte = input.readInteger(as: UInt8.self) else { return .needsMore }
        try step(byte)
      }
    }
  }

  private static func take(upTo limit: Int, from input: inout ByteBuffer) -> ByteBuffer? {
    let count = min(limit, input.readableBytes)
    return count > 0 ? input.readSlice(length: count) : nil
  }

  /// One byte of the framing between payloads.
  private mutating func step(_ byte: UInt8) throws(MessageFault) {
    switch state {
    case .chunkSize(let value, let digits):
      if let digit = byte.hexDigit {
        guard digits < 15 else { throw .malformed("a chunk is too large") }
        state = .chunkSize(value: value << 4 | digit, digits: digits + 1)
        return
      }
      guard digits > 0 else { throw .malformed("a chunk has no size") }
      switch byte {
      case ASCII.carriageReturn: state = .chunkSizeLineFeed(size: value)
      case ASCII.semicolon, ASCII.space, ASCII.tab: state = .chunkExtension(size: value)
      default: throw .malformed("a chunk's size is no number")
      }
    case .chunkExtension(let size):
      try countSideByte()
      if byte == ASCII.carriageReturn {
        state = .chunkSizeLineFeed(size: size)
      } else if byte == ASCII.lineFeed {
        throw .malformed("a chunk's extension is malformed")
      }
    case .chunkSizeLineFeed(let size):
      guard byte == ASCII.lineFeed else { throw .malformed("a chunk's size line does not end") }
      state = size == 0 ? .trailer(lineBytes: 0, sawReturn: false) : .chunkData(size)
    case .chunkDataEnd(let sawReturn):
      guard byte == (sawReturn ? ASCII.lineFeed : ASCII.carriageReturn) else {
        throw .malformed("a chunk is longer than its size")
      }
      state = sawReturn ? .chunkSize(value: 0, digits: 0) : .chunkDataEnd(sawReturn: true)
    case .trailer(let lineBytes, let sawReturn):
      try countSideByte()
      if sawReturn {
        guard byte == ASCII.lineFeed else { throw .malformed("a trailer line does not end") }
        state = lineBytes == 0 ? .ended : .trailer(lineBytes: 0, sawReturn: false)
      } else if byte == ASCII.carriageReturn {
        state = .trailer(lineBytes: lineBytes, sawReturn: true)
      } else if byte == ASCII.lineFeed {
        throw .malformed("a trailer line does not end")
      } else {
        state = .trailer(lineBytes: lineBytes + 1, sawReturn: false)
      }
    case .length, .untilClose, .chunkData, .ended:
      preconditionFailure("A body's payload is never read byte by byte.")
    }
  }

  private mutating func countSideByte() throws(MessageFault) {
    sideBytes += 1
    if sideBytes > Self.maximumSideBytes { throw .malformed("the body's framing is too large") }
  }
}
