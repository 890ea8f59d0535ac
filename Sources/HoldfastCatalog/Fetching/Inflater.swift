// SPDX-License-Identifier: Apache-2.0

import CZlib

/// Takes gzip off a body piece by piece, no faster than the pieces are taken: a small body that inflates without end
/// never takes more memory than its reader grants.
@safe
final class Inflater {
  /// The bytes are no gzip.
  struct Fault: Error {}

  private var stream = unsafe z_stream()
  private var input: [UInt8] = []
  private var place = 0
  /// Whether the end of the body was met.
  private(set) var isAtEnd = false

  /// - Throws: ``Fault`` when there is no memory for it.
  init() throws(Fault) {
    // 15 bits of window, plus 32: gzip and zlib are told apart by their headers.
    guard unsafe czlib_inflate_init(&stream, 47) == Z_OK else { throw Fault() }
  }

  deinit { _ = unsafe inflateEnd(&stream) }

  /// Takes the next piece of the body; what is left of the one before must have been read.
  func feed(_ bytes: [UInt8]) { (input, place) = (bytes, 0) }

  /// The next inflated bytes, at most so many; none when another piece is needed, or at the end.
  func read(most: Int) throws(Fault) -> [UInt8] {
    guard !isAtEnd else { return [] }
    var output = [UInt8](repeating: 0, count: most)
    var code = Z_OK
    let count = unsafe input.withUnsafeMutableBufferPointer { input in
      unsafe output.withUnsafeMutableBufferPointer { output in
        unsafe stream.next_in = input.baseAddress.map { unsafe $0 + place }
        unsafe stream.avail_in = UInt32(input.count - place)
        unsafe stream.next_out = output.baseAddress
        unsafe stream.avail_out = UInt32(output.count)
        code = unsafe inflate(&stream, Z_NO_FLUSH)
        place = unsafe input.count - Int(stream.avail_in)
        return unsafe output.count - Int(stream.avail_out)
      }
    }
    switch code {
    case Z_OK, Z_BUF_ERROR: break
    case Z_STREAM_END: isAtEnd = true
    default: throw Fault()
    }
    output.removeLast(output.count - count)
    return output
  }
}
