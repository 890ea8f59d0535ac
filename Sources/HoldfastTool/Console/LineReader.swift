// SPDX-License-Identifier: Apache-2.0

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Reads lines from a file or from standard input as they come, a bounded piece at a time.
///
/// Used by one thread at a time; reading blocks.
final class LineReader: @unchecked Sendable {
  // Not shared: handed to the thread that reads, which is its only user from then on.

  /// A line with its number, from 1.
  struct Line {
    enum Content {
      case text([UInt8])
      case tooLong
    }

    var number: Int
    var content: Content
  }

  /// The longest line that is kept, in bytes, unless the reader was given another.
  static let usualMaximum = 1 << 20

  /// The longest line that this reader keeps, in bytes.
  let maximumBytes: Int
  private let descriptor: Int32
  private let path: String
  private let ownsDescriptor: Bool
  private var buffer: [UInt8] = []
  private var start = 0
  private var isAtEnd = false
  private var number = 0

  /// - Parameter path: a file, or `-` for standard input.
  /// - Throws: ``Failure`` with code 66 or 77.
  init(_ path: String, maximumBytes: Int = usualMaximum) throws {
    self.path = path
    self.maximumBytes = maximumBytes
    if path == "-" {
      descriptor = STDIN_FILENO
      ownsDescriptor = false
      return
    }
    descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    ownsDescriptor = true
    guard descriptor >= 0 else {
      let code = errno
      let reason = unsafe String(cString: strerror(code)).lowercased()
      throw Failure(
        code == EACCES ? ExitStatus.permission : ExitStatus.noInput, "\(path) cannot be read: \(reason).")
    }
  }

  deinit { if ownsDescriptor, descriptor >= 0 { close(descriptor) } }

  /// The next line without its line feed, or nil at the end.
  ///
  /// - Throws: ``Failure`` with code 74 when the input fails.
  func next() throws -> Line? {
    var skipped = false
    while true {
      if let end = buffer[start...].firstIndex(of: 0x0A) {
        let text = Array(buffer[start..<end])
        start = end + 1
        number += 1
        return Line(
          number: number, content: skipped || text.count > maximumBytes ? .tooLong : .text(text))
      }
      if isAtEnd {
        guard start < buffer.count || skipped else { return nil }
        let text = Array(buffer[start...])
        start = buffer.count
        number += 1
        return Line(
          number: number, content: skipped || text.count > maximumBytes ? .tooLong : .text(text))
      }
      if buffer.count - start > maximumBytes {
        skipped = true
        start = buffer.count
      }
      try fill()
    }
  }

  /// Whether ``next()`` has another line without waiting for one.
  var hasLine: Bool { buffer[start...].contains(0x0A) }

  private func fill() throws {
    buffer.removeFirst(start)
    start = 0
    let piece = 64 * 1024
    let held = buffer.count
    buffer.append(contentsOf: repeatElement(0, count: piece))
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { bytes in
        unsafe read(descriptor, bytes.baseAddress! + held, piece)
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else {
        let code = errno
        buffer.removeLast(piece)
        let reason = unsafe String(cString: strerror(code)).lowercased()
        throw Failure(
          code == EISDIR ? ExitStatus.noInput : ExitStatus.ioError, "\(path) cannot be read: \(reason).")
      }
      buffer.removeLast(piece - count)
      isAtEnd = count == 0
      return
    }
  }
}
