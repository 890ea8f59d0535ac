// SPDX-License-Identifier: Apache-2.0

import GRDB

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Saves what was committed into a -wal that lost its name, while a connection still reaches it.
///
/// The connection's descriptor keeps the file alive, so a checkpoint through it folds every committed frame
/// into the database, which still has its name. Then the names of the old -wal and -shm are cleared away,
/// and whoever opens next begins a new generation on a database that has everything.
struct WALRescue {
  enum Outcome: Equatable {
    /// Everything committed through the old -wal is in the database.
    case folded
    /// Another generation has committed since: the old frames do not fit on it and were set aside.
    case superseded
  }

  let path: String
  let generation: Generation

  /// Folds the old WAL into the database. The caller has the turn.
  /// - Throws: `DatabaseError`; ``StoreError`` with code `deadline` while a reader needs the old frames.
  func run(
    through database: DatabaseQueue, recorded: Generation?, deadline: ContinuousClock.Instant
  ) throws -> Outcome {
    if let recorded, recorded != generation { return .superseded }
    if foreignGenerationHasCommitted { return .superseded }
    try fold(through: database, deadline: deadline)
    clearNames()
    return .folded
  }

  private func fold(through database: DatabaseQueue, deadline: ContinuousClock.Instant) throws {
    // The rescue does not take the writer lock through a second connection as a checkpoint does: a second
    // connection would open the new -wal. The turn keeps our writers out, and foreign ones are on other files.
    while true {
      let (pages, folded) = try database.inDatabase { try $0.checkpoint(.passive) }
      if folded >= pages { return }
      guard ContinuousClock.now < deadline else {
        throw StoreError(
          .deadline,
          """
          The -wal of \(path.fileName) was removed under this process, and a read that is still running keeps it \
          from being saved; end that read and try again.
          """, path: path, outcome: .unknown)
      }
      usleep(2000)
    }
  }

  /// Whether the -wal now at the path holds commits that are not ours.
  ///
  /// An empty or garbled one holds nothing, and one with the salts of ours is a copy of it.
  private var foreignGenerationHasCommitted: Bool {
    guard let there = FileIdentity(path: path + "-wal"), there != generation.wal,
      let theirs = WALHeader(path: path + "-wal")
    else { return false }
    return ownHeader.map { $0.salts != theirs.salts } ?? true
  }

  /// The header of the -wal our connection has open, whatever its name is now.
  private var ownHeader: WALHeader? {
    #if os(Linux)
      // Through the descriptor SQLite holds. The -wal carries no POSIX locks (they are on the database and
      // the -shm), so opening and closing it drops none.
      for descriptor in ProcFile.descriptors() {
        let link = "/proc/self/fd/\(descriptor)"
        if FileIdentity(path: link) == generation.wal { return WALHeader(path: link) }
      }
    #endif
    return nil
  }

  /// Makes room for a new -wal and -shm. What is at the names and not empty is kept under another name.
  private func clearNames() {
    let stamp = UnixTime.now().milliseconds
    if let size = fileSize(path + "-wal") {
      if size == 0 || FileIdentity(path: path + "-wal") == generation.wal {
        remove(path + "-wal")
      } else {
        move(path + "-wal", to: "\(path)-wal.set-aside-\(stamp)")
      }
    }
    // The -shm is an index of the -wal that is gone; SQLite makes it anew.
    remove(path + "-shm")
  }

  // Both are best effort: what cannot be renamed here cannot be opened next either, and that says why.
  private func remove(_ file: String) { _ = unsafe unlink(file) }
  private func move(_ file: String, to name: String) { _ = unsafe rename(file, name) }

  /// Sets aside the -wal and -shm of a database that is no longer at the path, so that they are not taken
  /// for those of the database that is (row B04).
  func setAsideSidecars() {
    let stamp = UnixTime.now().milliseconds
    if let wal = generation.wal, FileIdentity(path: path + "-wal") == wal {
      move(path + "-wal", to: "\(path)-wal.set-aside-\(stamp)")
    }
    if let sharedMemory = generation.sharedMemory, FileIdentity(path: path + "-shm") == sharedMemory {
      remove(path + "-shm")
    }
  }
}

/// The first 32 bytes of a -wal. Source: <https://www.sqlite.org/fileformat.html#the_write_ahead_log>.
struct WALHeader: Equatable {
  var salts: [UInt8]

  /// Reads the header of a file; nil when there is none, or when its magic or its checksum is wrong.
  init?(path: String) {
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return nil }
    defer { _ = close(descriptor) }
    var bytes = [UInt8](repeating: 0, count: 32)
    let count = unsafe bytes.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
    self.init(bytes: Array(bytes[..<max(0, count)]))
  }

  init?(bytes: [UInt8]) {
    guard bytes.count == 32 else { return nil }
    func word(_ at: Int, bigEndian: Bool = true) -> UInt32 {
      let quad = bigEndian ? Array(bytes[at..<(at + 4)]) : bytes[at..<(at + 4)].reversed()
      return quad.reduce(0) { $0 << 8 | UInt32($1) }
    }
    guard word(0) & ~1 == 0x377f_0682 else { return nil }
    // The magic's last bit says in which byte order the checksum reads the words.
    let bigEndian = word(0) & 1 == 1
    var first: UInt32 = 0
    var second: UInt32 = 0
    for at in stride(from: 0, to: 24, by: 8) {
      first = first &+ word(at, bigEndian: bigEndian) &+ second
      second = second &+ word(at + 4, bigEndian: bigEndian) &+ first
    }
    guard first == word(24), second == word(28) else { return nil }
    salts = Array(bytes[16..<24])
  }
}
