// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Reads a file that another program appends to, or what comes by standard input, line by line, in memory that does
/// not grow with it.
///
/// `@unchecked Sendable`: it has one user at a time, and whoever hands it to another thread does not touch it again.
/// Reading blocks.
package final class LineReader: @unchecked Sendable {
  /// What was read.
  package enum Line: Sendable {
    /// Its bytes were put where they were asked for.
    case whole
    /// The last one, without a line feed: it may be half of one.
    case unfinished
    /// It is longer than the reader keeps; it was passed over.
    case tooLong
  }

  /// What is read.
  package enum Source: Sendable {
    /// A file; anything else is refused, without waiting for it.
    case file(String)
    /// Anything that can be read, a fifo say.
    case stream(String)
    case standardInput
  }

  /// A tool's output can be large; a longer line is told as too long, unless the reader was given another bound.
  package static let usualMaximum = 64 << 20

  /// What is read, as a message names it.
  package let path: String
  /// The longest line that is kept, in bytes.
  package let maximumBytes: Int
  /// The number of the line read last, from 1.
  package private(set) var number: Int
  /// Where in the file the line read last begins, in bytes.
  package private(set) var lineStart: Int64
  private let descriptor: Int32
  private let ownsDescriptor: Bool
  private var buffer: [UInt8] = []
  /// Where a read puts its bytes; nothing is read of it but those.
  private var piece = unsafe [UInt8](unsafeUninitializedCapacity: 256 << 10) { bytes, count in
    count = bytes.count
  }
  /// Where in the file the buffer begins.
  private var base: Int64
  private var start = 0
  /// Where the search for a line feed goes on.
  private var searched = 0
  private var isAtEnd = false

  /// - Parameters:
  ///   - offset: where in a file to begin, in bytes: the beginning of a line.
  ///   - line: the number of the line before that, so that those that are read have their own.
  /// - Throws: ``StoreError`` `missing`, `permission` or `cannotOpen`.
  package init(
    _ source: Source, from offset: Int64 = 0, after line: Int = 0, maximumBytes: Int = usualMaximum
  ) throws(StoreError) {
    self.maximumBytes = maximumBytes
    (number, base, lineStart) = (line, offset, offset)
    switch source {
    case .standardInput:
      (path, descriptor, ownsDescriptor) = ("-", STDIN_FILENO, false)
      return
    case .stream(let path):
      self.path = path
      descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    case .file(let path):
      self.path = path
      // A fifo would make the open wait, a terminal the read.
      descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    }
    ownsDescriptor = true
    guard descriptor >= 0 else { throw Self.error(path, errno) }
    var info = stat()
    let isKnown = unsafe fstat(descriptor, &info) == 0
    let kind = info.st_mode & S_IFMT
    if case .stream = source {
      guard isKnown, kind != S_IFDIR else {
        throw StoreError(.cannotOpen, "\(path) cannot be read: it is a directory.", path: path)
      }
    } else {
      guard isKnown, kind == S_IFREG else {
        throw StoreError(.cannotOpen, "\(path) is no file; name a file or a directory.", path: path)
      }
    }
    if offset > 0, lseek(descriptor, off_t(offset), SEEK_SET) < 0 { throw Self.error(path, errno) }
  }

  /// What file it is and how long it is now; nil when the system does not say.
  package var stamp: FileWriteStamp? { FileWriteStamp(descriptor: descriptor) }

  /// The bytes right before a place in a file, at most so many; none where they cannot be read.
  package func bytes(before place: Int64, most: Int) -> [UInt8] {
    let start = max(0, place - Int64(most))
    var bytes = [UInt8](repeating: 0, count: Int(place - start))
    let count = unsafe bytes.withUnsafeMutableBytes { bytes in
      unsafe pread(descriptor, bytes.baseAddress, bytes.count, off_t(start))
    }
    return count == bytes.count ? bytes : []
  }

  /// Where in the file the line after the one read last begins, in bytes.
  package var offset: Int64 { base + Int64(start) }

  deinit { if ownsDescriptor, descriptor >= 0 { close(descriptor) } }

  /// Why a path cannot be read.
  package static func error(_ path: String, _ code: Int32) -> StoreError {
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
  ///
  /// - Throws: ``StoreError`` `io` when it cannot be read any further.
  package func next(into line: inout [UInt8]) throws(StoreError) -> Line? {
    var isTooLong = false
    lineStart = offset
    while true {
      if let end = lineFeed() { return take(to: end, into: &line, isTooLong) ? .whole : .tooLong }
      if isAtEnd {
        guard start < buffer.count || isTooLong else { return nil }
        return take(to: buffer.count, into: &line, isTooLong) ? .unfinished : .tooLong
      }
      if buffer.count - start > maximumBytes {
        isTooLong = true
        base += Int64(buffer.count)
        buffer.removeAll()
        (start, searched) = (0, 0)
      }
      try fill()
    }
  }

  /// Whether ``next(into:)`` has a line without waiting for one.
  package var hasLine: Bool { lineFeed() != nil }

  /// Ends a line; the byte at `end`, if there is one, is its line feed.
  /// - Returns: whether the line was kept.
  private func take(to end: Int, into line: inout [UInt8], _ isTooLong: Bool) -> Bool {
    number += 1
    let isKept = !isTooLong && end - start <= maximumBytes
    line.removeAll(keepingCapacity: true)
    if isKept { line.append(contentsOf: buffer[start..<end]) }
    start = min(end + 1, buffer.count)
    searched = start
    return isKept
  }

  private func lineFeed() -> Int? {
    let count = buffer.count - searched
    guard count > 0 else { return nil }
    let found: Int? = unsafe buffer.withUnsafeBytes { bytes in
      guard let place = unsafe memchr(bytes.baseAddress! + searched, 0x0A, count) else { return nil }
      return unsafe UnsafeRawPointer(place) - bytes.baseAddress!
    }
    // Found again without a search, when it was only asked whether there is one.
    searched = found ?? buffer.count
    return found
  }

  private func fill() throws(StoreError) {
    if start > 0 {
      buffer.removeFirst(start)
      base += Int64(start)
      searched -= start
      start = 0
    }
    while true {
      let count = unsafe piece.withUnsafeMutableBytes { bytes in
        unsafe read(descriptor, bytes.baseAddress!, bytes.count)
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else {
        throw StoreError(.io, Self.error(path, errno).message, path: path)
      }
      buffer.append(contentsOf: piece[..<count])
      isAtEnd = count == 0
      return
    }
  }
}
