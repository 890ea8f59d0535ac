// SPDX-License-Identifier: Apache-2.0

/// Which files a set of connections works on: the database, its -wal and its -shm, by identity.
///
/// A path is only a name. Once the -wal is unlinked or the database replaced, the connections that were
/// open go on with files nobody else will ever see, and every commit they make "succeeds" (rows B01 to B03).
struct Generation: Equatable {
  var database: FileIdentity
  /// nil in rollback-journal mode.
  var wal: FileIdentity?
  var sharedMemory: FileIdentity?

  /// What the path stands for now; nil when the database is gone.
  static func current(ofDatabaseAt path: String, inWALMode: Bool) -> Generation? {
    guard let database = FileIdentity(path: path) else { return nil }
    guard inWALMode else { return Generation(database: database) }
    return Generation(
      database: database, wal: FileIdentity(path: path + "-wal"),
      sharedMemory: FileIdentity(path: path + "-shm"))
  }

  /// How the files at the path differ from these.
  enum Breach: Equatable {
    /// The database's name is gone: the home was deleted or moved away.
    case databaseGone
    /// The name stands for another file.
    case databaseReplaced
    /// The file is the same and its contents are not those it had: see ``ContentMark``.
    case databaseOverwritten
    /// The -wal or the -shm was unlinked or replaced.
    case walLost
    /// The -wal is the same file and does not hold what it held: see ``WALWitness``.
    case walCut
  }

  func breach(ofDatabaseAt path: String) -> Breach? {
    guard let now = Generation.current(ofDatabaseAt: path, inWALMode: wal != nil) else {
      return .databaseGone
    }
    if now.database != database { return .databaseReplaced }
    return now == self ? nil : .walLost
  }
}

/// The generation all of a file's living openers agreed on, kept in the lane's file.
///
/// Read and written only with the turn. It tells the first process that finds the -wal lost (it must save
/// what only its descriptors still reach) from the later ones (somebody saved it already: what they have
/// not acknowledged is done again, the rest is in the file).
extension WriteLane {
  /// Where the record begins in the lane's file.
  static let recordOffset: Int64 = 64
  /// What a record begins with.
  static let recordMagic: UInt64 = 0x4846_4745_4e31  // "HFGEN1"

  var recordedGeneration: Generation? {
    let words = file.read(words: 7, at: Self.recordOffset)
    guard words.count == 7, words[0] == Self.recordMagic else { return nil }
    func identity(_ at: Int) -> FileIdentity? {
      words[at + 1] == 0 ? nil : FileIdentity(device: words[at], inode: words[at + 1])
    }
    return identity(1).map { Generation(database: $0, wal: identity(3), sharedMemory: identity(5)) }
  }

  func record(_ generation: Generation) {
    var words: [UInt64] = [Self.recordMagic]
    for identity in [generation.database, generation.wal, generation.sharedMemory] {
      words += [identity?.device ?? 0, identity?.inode ?? 0]
    }
    file.write(words: words, at: Self.recordOffset)
  }
}
