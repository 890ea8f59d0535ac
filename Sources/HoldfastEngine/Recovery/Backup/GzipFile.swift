// SPDX-License-Identifier: Apache-2.0

import CZlib

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Compressed backups: gzip files (RFC 1952), written and read a megabyte at a time.
enum GzipFile {
  /// What is added to a compressed backup's name.
  static let suffix = ".gz"
  /// About half the time of zlib's default level, for a few percent more of bytes.
  private static let level: Int32 = 3
  /// Window bits: the largest window, in a gzip wrapper and no other.
  private static let wrapper: Int32 = 31
  /// How much is written before it is sent to the disk, so that no sync is long enough to be felt by those who commit.
  private static let syncedBytes: Int64 = 1 << 20

  /// What went through.
  struct Summary: Hashable {
    /// SHA-256 of the compressed file, and its size.
    var file: String
    var fileBytes: Int64
    /// SHA-256 of what is in it, and its size.
    var content: String
    var contentBytes: Int64
  }

  /// Whether a file begins like a gzip file; false when it cannot be read.
  ///
  /// Only for files whose name says so: any other may be a database whose locks a close would drop (row B01).
  static func isOne(_ path: String) -> Bool {
    guard path.hasSuffix(suffix), let input = try? GzipInput(path) else { return false }
    var magic: [UInt8] = [0, 0]
    return (try? input.read(into: &magic)) == 2 && magic == [0x1f, 0x8b]
  }

  /// Compresses a whole database that no connection has open.
  static func compress(
    _ source: BackupTemporary, into destination: BackupTemporary
  ) throws(StoreError) -> Summary {
    let codec = unsafe try Codec(path: destination.path) { unsafe czlib_deflate_init(&$0, level, wrapper) }
    defer { unsafe codec.end { unsafe deflateEnd(&$0) } }
    var (file, content) = (BackupDigest(), BackupDigest())
    var input = [UInt8](repeating: 0, count: BackupDigest.stretch)
    var output = [UInt8](repeating: 0, count: BackupDigest.stretch)
    var synced: Int64 = 0
    var isEnd = false
    while !isEnd {
      let count = try source.read(into: &input, at: content.bytes)
      unsafe input.withUnsafeBytes { unsafe content.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
      isEnd = count == 0
      var isDrained = false
      codec.feed(count)
      while !isDrained {
        let (code, produced) = unsafe codec.step(input, &output) {
          unsafe deflate(&$0, isEnd ? Z_FINISH : Z_NO_FLUSH)
        }
        guard code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR else {
          throw StoreError(
            .io, "Compressing \(destination.finalName) failed (zlib's code \(code)); try again without it.",
            path: destination.path)
        }
        try destination.write(output, count: produced, at: file.bytes)
        unsafe output.withUnsafeBytes {
          unsafe file.update(UnsafeRawBufferPointer(rebasing: $0[..<produced]))
        }
        isDrained = produced < output.count
      }
      if file.bytes - synced >= syncedBytes {
        destination.writeBack()
        synced = file.bytes
      }
    }
    try destination.sync()
    return Summary(
      file: file.text, fileBytes: file.bytes, content: content.text, contentBytes: content.bytes)
  }

  /// Expands a compressed backup.
  ///
  /// - Parameters:
  ///   - destination: where its content goes; nil only looks at it.
  ///   - limit: the most bytes its content may have.
  /// - Throws: ``StoreError`` with code `damaged` when it is no whole gzip file, or more than `limit`.
  static func expand(
    _ path: String, into destination: BackupTemporary?, limit: Int64?
  ) throws(StoreError) -> Summary {
    let source = try GzipInput(path)
    let codec = unsafe try Codec(path: path) { unsafe czlib_inflate_init(&$0, wrapper) }
    defer { unsafe codec.end { unsafe inflateEnd(&$0) } }
    var (file, content) = (BackupDigest(), BackupDigest())
    var input = [UInt8](repeating: 0, count: BackupDigest.stretch)
    var output = [UInt8](repeating: 0, count: BackupDigest.stretch)
    var synced: Int64 = 0
    var isEnd = false
    while true {
      let count = try source.read(into: &input)
      unsafe input.withUnsafeBytes { unsafe file.update(UnsafeRawBufferPointer(rebasing: $0[..<count])) }
      if count == 0 { break }
      // One stream is all of it: what follows its end is nothing of ours.
      guard !isEnd else { throw damaged(path, "something follows its end") }
      codec.feed(count)
      var isDrained = false
      while !isDrained {
        let (code, produced) = unsafe codec.step(input, &output) { unsafe inflate(&$0, Z_NO_FLUSH) }
        guard code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR else {
          throw damaged(path, "it cannot be decompressed")
        }
        unsafe output.withUnsafeBytes {
          unsafe content.update(UnsafeRawBufferPointer(rebasing: $0[..<produced]))
        }
        if let limit, content.bytes > limit { throw damaged(path, "more is in it than was saved") }
        try destination?.write(output, count: produced, at: content.bytes - Int64(produced))
        isEnd = code == Z_STREAM_END
        if isEnd, codec.unread > 0 { throw damaged(path, "something follows its end") }
        isDrained = isEnd || produced < output.count
      }
      if let destination, content.bytes - synced >= syncedBytes {
        destination.writeBack()
        synced = content.bytes
      }
    }
    guard isEnd else { throw damaged(path, "its end is missing") }
    return Summary(
      file: file.text, fileBytes: file.bytes, content: content.text, contentBytes: content.bytes)
  }

  private static func damaged(_ path: String, _ what: String) -> StoreError {
    StoreError(.damaged, "\(path.fileName) is damaged (\(what)): use another backup.", path: path)
  }
}

/// A stream of zlib's and where it is in its input.
@safe private final class Codec {
  private let stream: UnsafeMutablePointer<z_stream>
  private var given = 0
  /// How much of what it was given it has not read yet.
  private(set) var unread = 0

  init(path: String, _ start: (inout z_stream) -> Int32) throws(StoreError) {
    // zlib keeps the stream's address, so it stays at one.
    unsafe stream = .allocate(capacity: 1)
    unsafe stream.initialize(to: z_stream())
    let code = unsafe start(&stream.pointee)
    guard code == Z_OK else {
      throw StoreError(.io, "zlib could not be started (code \(code)): it has no memory.", path: path)
    }
  }

  deinit { unsafe stream.deallocate() }

  func end(_ finish: (inout z_stream) -> Int32) { _ = unsafe finish(&stream.pointee) }

  /// The next piece of input has this many bytes.
  func feed(_ count: Int) {
    given = count
    unread = count
  }

  /// Goes on as far as the output has room.
  func step(
    _ input: [UInt8], _ output: inout [UInt8], _ go: (inout z_stream) -> Int32
  ) -> (code: Int32, produced: Int) {
    unsafe input.withUnsafeBufferPointer { from in
      unsafe output.withUnsafeMutableBufferPointer { to in
        // zlib reads through next_in and never writes to it; its type only lacks the const.
        unsafe stream.pointee.next_in = UnsafeMutablePointer(mutating: from.baseAddress! + (given - unread))
        unsafe stream.pointee.avail_in = UInt32(unread)
        unsafe stream.pointee.next_out = to.baseAddress
        unsafe stream.pointee.avail_out = UInt32(to.count)
        let code = unsafe go(&stream.pointee)
        unread = Int(unsafe stream.pointee.avail_in)
        return (code, to.count - Int(unsafe stream.pointee.avail_out))
      }
    }
  }
}

/// A compressed file that is read from its beginning to its end. It is no database: its close drops nobody's locks.
private final class GzipInput {
  private let path: String
  private let descriptor: Int32

  init(_ path: String) throws(StoreError) {
    self.path = path
    descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { throw .opening(path, errno: errno) }
  }

  deinit { close(descriptor) }

  /// - Returns: how much was read; less than there is room for only at the end.
  func read(into bytes: inout [UInt8]) throws(StoreError) -> Int {
    unsafe try readWhole(into: &bytes, path: path) { unsafe systemRead(descriptor, $0, $1) }
  }
}

extension BackupTemporary {
  /// Reads the file at a place.
  /// - Returns: how much was read; less than there is room for only at the end.
  fileprivate func read(into bytes: inout [UInt8], at offset: Int64) throws(StoreError) -> Int {
    var at = offset
    let descriptor = rawDescriptor
    return unsafe try readWhole(into: &bytes, path: path) { place, room in
      let count = unsafe pread(descriptor, place, room, off_t(at))
      at += Int64(max(0, count))
      return count
    }
  }

  /// Writes the first `count` bytes at a place.
  fileprivate func write(_ bytes: [UInt8], count: Int, at offset: Int64) throws(StoreError) {
    var done = 0
    while done < count {
      let wrote = unsafe bytes.withUnsafeBytes {
        unsafe pwrite(rawDescriptor, $0.baseAddress! + done, count - done, off_t(offset) + off_t(done))
      }
      if wrote < 0, errno == EINTR { continue }
      guard wrote > 0 else { throw .writing(path, errno: wrote < 0 ? errno : ENOSPC) }
      done += wrote
    }
  }
}

private func readWhole(
  into bytes: inout [UInt8], path: String, _ read: (UnsafeMutableRawPointer, Int) -> Int
) throws(StoreError) -> Int {
  var got = 0
  while got < bytes.count {
    let room = bytes.count - got
    let count = unsafe bytes.withUnsafeMutableBytes { unsafe read($0.baseAddress! + got, room) }
    if count == 0 { break }
    if count < 0 {
      if errno == EINTR { continue }
      throw StoreError(
        .io,
        "Reading \(path.fileName) failed (\(unsafe String(cString: strerror(errno)))): check the disk and try again.",
        path: path)
    }
    got += count
  }
  return got
}

private func systemRead(_ descriptor: Int32, _ place: UnsafeMutableRawPointer, _ room: Int) -> Int {
  unsafe read(descriptor, place, room)
}
