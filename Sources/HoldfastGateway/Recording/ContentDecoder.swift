// SPDX-License-Identifier: Apache-2.0

import CZlib
import NIOCore

/// Takes the content coding off a copy of a body, so that its usage can be read; the client's bytes stay as they are.
///
/// gzip and deflate, as upstreams use them (RFC 9110 §8.4). The decoded bytes are bounded: a small body that
/// inflates without end costs no more than the bound. What cannot be decoded says so, and the usage is unknown.
@safe
final class ContentDecoder {
  /// How a body is coded.
  enum Coding: Equatable {
    case identity
    /// gzip, x-gzip, and deflate in either of its meanings.
    case zlib
    /// br, zstd, or several codings on top of each other.
    case unsupported

    /// Reads a Content-Encoding field; nil means there is none.
    init(_ field: String?) {
      let codings = (field ?? "").lowercased().split(separator: ",")
        .map { $0.trimmingOptionalWhitespace() }.filter { !$0.isEmpty && $0 != "identity" }
      switch codings.count {
      case 0: self = .identity
      case 1 where ["gzip", "x-gzip", "deflate"].contains(codings[0]): self = .zlib
      default: self = .unsupported
      }
    }
  }

  /// Window bits of inflateInit2: 15, plus 32 to tell gzip and zlib apart by their headers.
  private static let automatic: Int32 = 47
  /// A deflate stream without a header, which some servers send for "deflate".
  private static let raw: Int32 = -15

  private let coding: Coding
  private var remaining: Int
  private var stream = unsafe z_stream()
  private var isOpen = false
  private var hasOutput = false
  private var isAtEnd = false
  /// Whether everything so far could be decoded, within the bound.
  private(set) var isIntact: Bool

  /// - Parameter maximumBytes: the most that is decoded.
  init(_ coding: Coding, maximumBytes: Int = 64 << 20) {
    self.coding = coding
    remaining = maximumBytes
    isIntact = coding != .unsupported
    if coding == .zlib { open(Self.automatic) }
  }

  deinit { close() }

  /// Decodes the next piece and hands it on, in as many parts as it takes.
  func decode(_ bytes: ByteBuffer, into sink: (Span<UInt8>) -> Void) {
    guard isIntact, !isAtEnd else { return }
    switch coding {
    case .identity: sink(bytes.readableBytesUInt8Span)
    case .zlib: inflate(bytes, into: sink)
    case .unsupported: break
    }
  }

  private func open(_ windowBits: Int32) {
    unsafe stream = z_stream()
    isOpen = unsafe czlib_inflate_init(&stream, windowBits) == Z_OK
    isIntact = isOpen
  }

  private func close() {
    if isOpen { _ = unsafe inflateEnd(&stream) }
    isOpen = false
  }

  private func inflate(_ bytes: ByteBuffer, into sink: (Span<UInt8>) -> Void) {
    var step = step(bytes, into: sink)
    if step == Z_DATA_ERROR, !hasOutput {
      // "deflate" without the zlib header: begin again at the first byte.
      close()
      open(Self.raw)
      if isIntact {
        step = self.step(bytes, into: sink)
      }
    }
    switch step {
    case Z_OK, Z_BUF_ERROR: break
    case Z_STREAM_END: isAtEnd = true
    default: isIntact = false
    }
  }

  /// Inflates until the input is used up, the stream ends, or the bound is met; zlib's last code.
  private func step(_ bytes: ByteBuffer, into sink: (Span<UInt8>) -> Void) -> Int32 {
    var code = Z_OK
    // 16 KB at a time: what a small body inflates to is never held whole.
    var output = [UInt8](repeating: 0, count: 16 * 1024)
    unsafe bytes.withUnsafeReadableBytes { input in
      // zlib reads through next_in and never writes to it; its type only lacks the const.
      unsafe stream.next_in = UnsafeMutablePointer(mutating: input.bindMemory(to: UInt8.self).baseAddress)
      unsafe stream.avail_in = UInt32(input.count)
      repeat {
        let produced = unsafe output.withUnsafeMutableBufferPointer { buffer -> Int in
          unsafe stream.next_out = buffer.baseAddress
          unsafe stream.avail_out = UInt32(buffer.count)
          code = unsafe CZlib.inflate(&stream, Z_NO_FLUSH)
          return buffer.count - Int(unsafe stream.avail_out)
        }
        if produced > 0 {
          hasOutput = true
          remaining -= produced
          guard remaining >= 0 else {
            code = Z_MEM_ERROR
            break
          }
          sink(output.span.extracting(0..<produced))
        }
      } while unsafe code == Z_OK && (stream.avail_in > 0 || stream.avail_out == 0)
    }
    return code
  }
}
