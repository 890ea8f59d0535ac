// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Reads a file that another program appends to, line by line, in memory that does not grow with it.
final class LineFile {
  enum Line {
    /// Its bytes were put where they were asked for.
    case whole
    /// The last one, without a line feed: it may be half of one.
    case unfinished
    case tooLong
  }

  /// A tool's output can be large; a longer line is told as unreadable.
  static let maximumBytes = 64 << 20

  let path: String
  private let maximum: Int
  /// The number of the line read last, from 1.
  private(set) var number = 0
  private let descriptor: Int32
  private var buffer: [UInt8] = []
  private var start = 0
  /// Where the search for a line feed goes on.
  private var searched = 0
  private var isAtEnd = false

  /// - Throws: ``StoreError`` `missing`, `permission` or `cannotOpen`.
  init(_ path: String, maximumBytes: Int = LineFile.maximumBytes) throws(StoreError) {
    self.path = path
    maximum = maximumBytes
    // A fifo would make the open wait, a terminal the read.
    descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw Self.error(path, errno) }
    var info = stat()
    guard unsafe fstat(descriptor, &info) == 0, info.st_mode & S_IFMT == S_IFREG else {
      close(descriptor)
      throw StoreError(.cannotOpen, "\(path) is no file; name a file or a directory.", path: path)
    }
  }

  deinit { close(descriptor) }

  static func error(_ path: String, _ code: Int32) -> StoreError {
    let reason = unsafe String(cString: strerror(code)).lowercased()
    let kind: StoreError.Code =
      switch code {
      case ENOENT, ENOTDIR: .missing
      case EACCES, EPERM: .permission
      case EIO: .io
      default: .cannotOpen
      }
    return StoreError(kind, "\(path) cannot be read: \(reason).", path: path)
  }

  /// Puts the next line, without its line feed, into `line`; nil at the end.
  /// - Throws: ``StoreError`` `io` when the file cannot be read any further.
  func next(into line: inout [UInt8]) throws(StoreError) -> Line? {
    var isTooLong = false
    while true {
      if let end = lineFeed() {
        number += 1
        line.removeAll(keepingCapacity: true)
        if !isTooLong { line.append(contentsOf: buffer[start..<end]) }
        start = end + 1
        searched = start
        return isTooLong ? .tooLong : .whole
      }
      if isAtEnd {
        guard start < buffer.count || isTooLong else { return nil }
        number += 1
        line.removeAll(keepingCapacity: true)
        if !isTooLong { line.append(contentsOf: buffer[start...]) }
        start = buffer.count
        searched = start
        return isTooLong ? .tooLong : .unfinished
      }
      if buffer.count - start > maximum {
        isTooLong = true
        buffer.removeAll()
        (start, searched) = (0, 0)
      }
      try fill()
    }
  }

  private func lineFeed() -> Int? {
    let count = buffer.count - searched
    guard count > 0 else { return nil }
    let found: Int? = unsafe buffer.withUnsafeBytes { bytes in
      guard let place = unsafe memchr(bytes.baseAddress! + searched, 0x0A, count) else { return nil }
      return unsafe UnsafeRawPointer(place) - bytes.baseAddress!
    }
    if found == nil { searched = buffer.count }
    return found
  }

  private func fill() throws(StoreError) {
    if start > 0 {
      buffer.removeFirst(start)
      searched -= start
      start = 0
    }
    let piece = 256 << 10
    let held = buffer.count
    buffer.append(contentsOf: repeatElement(0, count: piece))
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { bytes in
        unsafe read(descriptor, bytes.baseAddress! + held, piece)
      }
      if count < 0, errno == EINTR { continue }
      let code = errno
      buffer.removeLast(piece - max(count, 0))
      guard count >= 0 else { throw Self.error(path, code) }
      isAtEnd = count == 0
      return
    }
  }
}
