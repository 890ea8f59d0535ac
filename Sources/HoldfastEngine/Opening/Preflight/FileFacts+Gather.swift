// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

extension FileFacts {
  /// Looks at the files of the database at a path. Blocks; changes nothing and drops no lock (row B01).
  ///
  /// Writers may be at work meanwhile, and no lock is taken: what looks wrong is looked at again until two
  /// looks agree, so that one that fell between a writer's steps is not taken for damage. The -shm is never
  /// opened: SQLite's locks are on it.
  ///
  /// - Parameters:
  ///   - spelledPath: the database; its directory must exist, the database need not.
  ///   - descriptor: one of the database that the caller has and keeps open.
  ///   - scansWAL: whether to read all of the -wal; it is read in any case where the database is not whole
  ///     without it.
  /// - Throws: ``StoreError`` when the path cannot be resolved.
  package static func gather(
    _ spelledPath: String, through descriptor: Int32? = nil, scansWAL: Bool = false
  ) throws(StoreError) -> FileFacts {
    let path = try CanonicalPath.of(spelledPath)
    var facts = look(path, through: descriptor, scansWAL: scansWAL)
    for _ in 0..<5 {
      switch Preflight.judge(facts).verdict {
      case .healthy, .fresh, .busy: return facts
      default: break
      }
      let again = look(path, through: descriptor, scansWAL: scansWAL)
      if again == facts { break }
      facts = again
    }
    return facts
  }

  private static func look(_ path: String, through descriptor: Int32?, scansWAL: Bool) -> FileFacts {
    var facts = FileFacts(path: path)
    let name = path.fileName
    let directory = String(path.dropLast(name.count))
    facts.directoryIsWritable = unsafe access(directory, W_OK | X_OK) == 0
    facts.filesystem = Filesystem.of(path)
    facts.marker = StoreMarker(ofDatabaseAt: path)
    // Asked before and after: a writer that ends in between must not leave its journal looking like a dead one's.
    let holders = LockTable.locks(ofDatabaseAt: path).map(\.holder)
    facts.journal = Entry(path: path + "-journal")
    if facts.journal?.kind == .regular { facts.readJournal() }
    if Entry(path: path)?.kind == .regular { facts.readDatabase(through: descriptor) }
    // After the header: a file that grew meanwhile is not one cut short.
    facts.database = Entry(path: path)
    facts.wal = Entry(path: path + "-wal")
    facts.sharedMemory = Entry(path: path + "-shm")
    if facts.wal?.kind == .regular, scansWAL || !facts.isWholeByItself {
      facts.walFrames = WALSummary(walAt: path + "-wal")
    }
    var seen: Set<LockHolder> = []
    facts.holders = (holders + LockTable.locks(ofDatabaseAt: path).map(\.holder)).filter {
      seen.insert($0).inserted
    }
    return facts
  }

  /// Through ``ImageFile``, whose close drops no lock of this process.
  private mutating func readDatabase(through descriptor: Int32?) {
    guard let file = try? ImageFile(path, through: descriptor),
      let first = try? file.bytes(at: 0, count: 65_536)
    else { return }
    header = Array(first.prefix(100))
    isAllZero = !first.isEmpty && first.allSatisfy { $0 == 0 } && Self.isZero(file)
  }

  /// Behind the first 64 KiB up to 16 samples.
  private static func isZero(_ file: ImageFile) -> Bool {
    for offset in stride(from: 65_536, to: file.size, by: max(65_536, Int((file.size - 65_536) / 16))) {
      guard let sample = try? file.bytes(at: offset, count: 65_536), sample.allSatisfy({ $0 == 0 }) else {
        return false
      }
    }
    return true
  }

  mutating func readJournal() {
    guard let file = try? ImageFile(path + "-journal"), let bytes = try? file.bytes(at: 0, count: 28) else {
      return
    }
    journalFirstByte = bytes.first
    journalHeader = JournalHeader(bytes: bytes)
  }
}

extension FileFacts.Entry {
  /// What is at the path, by lstat(2): a link is a link; nil when there is nothing.
  init?(path: String) {
    var info = stat()
    guard unsafe lstat(path, &info) == 0 else { return nil }
    self.init(size: Int64(info.st_size))
    switch info.st_mode & S_IFMT {
    case S_IFREG: kind = .regular
    case S_IFDIR: kind = .directory
    case S_IFLNK: kind = .symlink
    default: kind = .other
    }
    mode = UInt16(info.st_mode & 0o7777)
    owner = UInt32(info.st_uid)
    isReadable = unsafe access(path, R_OK) == 0
    isWritable = unsafe access(path, W_OK) == 0
    #if os(Linux)
      let time = info.st_mtim
    #else
      let time = info.st_mtimespec
    #endif
    modified = UnixTime(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
  }
}

extension StoreMarker {
  /// What the lane's file beside a database has on record; nil when there is no such file or no record.
  init?(ofDatabaseAt path: String) {
    guard FileFacts.Entry(path: path + "-lane")?.kind == .regular, let file = try? ImageFile(path + "-lane"),
      let bytes = try? file.bytes(at: WriteLane.recordOffset, count: 24)
    else { return nil }
    guard bytes.count == 24 else { return nil }
    let words = unsafe bytes.withUnsafeBytes { raw in
      (0..<3).map { unsafe raw.loadUnaligned(fromByteOffset: $0 * 8, as: UInt64.self) }
    }
    guard words[0] == WriteLane.recordMagic, words[2] != 0 else { return nil }
    self.init(device: words[1], inode: words[2])
  }
}
