// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A database's files as the doctor sees them: by stat(2) and by bytes, never by SQLite.
struct DoctorInput {
  /// One file, as it was at one moment.
  struct Stamp: Hashable {
    var size: Int64
    var mode: UInt32
    var owner: UInt32
    var inode: UInt64
    var seconds: Int
    var nanoseconds: Int
    var isRegular: Bool
  }

  /// The names SQLite keeps beside a database.
  static let suffixes = ["", "-wal", "-journal"]

  let path: String
  /// By suffix; none where there is no such file.
  let stamps: [String: Stamp]

  init(path: String) {
    self.path = path
    var found: [String: Stamp] = [:]
    for suffix in Self.suffixes {
      var info = stat()
      guard unsafe stat(path + suffix, &info) == 0 else { continue }
      #if os(Linux)
        let time = info.st_mtim
      #else
        let time = info.st_mtimespec
      #endif
      found[suffix] = Stamp(
        size: Int64(info.st_size), mode: UInt32(info.st_mode) & 0o7777, owner: info.st_uid,
        inode: UInt64(info.st_ino), seconds: time.tv_sec, nanoseconds: time.tv_nsec,
        isRegular: info.st_mode & S_IFMT == S_IFREG)
    }
    stamps = found
  }

  var database: Stamp? { stamps[""] }
  var walBytes: Int64 { stamps["-wal"]?.size ?? 0 }

  /// Reads from the beginning of a file; nil when it may not be read.
  ///
  /// Opens and closes the file, which drops this process's POSIX locks on it (row B01): only for files this
  /// process does not have open.
  func bytes(of suffix: String, count: Int) -> [UInt8]? {
    let descriptor = unsafe open(path + suffix, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return nil }
    defer { _ = close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: count)
    let got = unsafe bytes.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
    return got < 0 ? nil : Array(bytes[..<got])
  }

  /// Whether every byte of the database is NUL; stops at the first that is not.
  func isAllZero() -> Bool {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
    guard descriptor >= 0 else { return false }
    defer { _ = close(descriptor) }
    var piece = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let got = unsafe piece.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
      if got <= 0 { return got == 0 }
      if piece[..<got].contains(where: { $0 != 0 }) { return false }
    }
  }

  /// Whether the -journal would be rolled back: it begins with the magic, says that pages follow, and has
  /// them. Whether its writer is alive is another question.
  ///
  /// A count of 0 is that of a journal that was never synced, so nothing in the database was changed yet; -1
  /// means all up to the file's end (<https://www.sqlite.org/fileformat.html#the_rollback_journal>).
  var journalHoldsPages: Bool {
    guard let stamp = stamps["-journal"], stamp.isRegular,
      let bytes = bytes(of: "-journal", count: 28), let header = JournalHeader(bytes: bytes)
    else { return false }
    return header.pageCount != 0 && stamp.size > Int64(header.sectorSize)
  }

  /// A big-endian word of a header.
  static func word(_ bytes: [UInt8], _ at: Int) -> UInt32 {
    bytes[at..<(at + 4)].reduce(0) { $0 << 8 | UInt32($1) }
  }
}
