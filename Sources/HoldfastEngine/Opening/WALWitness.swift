// SPDX-License-Identifier: Apache-2.0

import GRDB
import GRDBSQLite

/// Notices that a live -wal was cut short or overwritten in place: `truncate -s 0 x.db-wal`, `>` or `cp` onto it.
///
/// Identity does not tell, the inode stays; and SQLite never looks at what it wrote. It goes on committing behind the
/// hole, and the next recovery stops at the hole: everything behind is lost, acknowledged or not. But the index in
/// the shared memory knows how many frames there are, with which salts and which running checksum
/// (<https://www.sqlite.org/walformat.html>). So with the turn, before a transaction and again before it is
/// acknowledged, the file must be as long as that, begin with those salts, and end in that checksum. All is read
/// through the connection's own descriptors: no file is opened, and none closed (row B01).
///
/// A few bytes changed in the middle, with the length and both ends as they were, are not noticed.
struct WALWitness {
  /// What the index says of the -wal; the fields of SQLite's `WalIndexHdr` and `WalCkptInfo`.
  struct Index: Equatable {
    var pageSize: Int
    /// Frames that are committed.
    var frames: Int
    /// How many of them are folded back.
    var folded: Int
    /// As the header of the last frame has it.
    var checksum: [UInt8]
    /// As the header of the -wal has them.
    var salts: [UInt8]

    /// Where a frame begins, the first being 0.
    func offset(ofFrame number: Int) -> Int64 { 32 + Int64(number) * Int64(24 + pageSize) }
  }

  /// A frame that was seen to be right, and how long the file was then.
  private struct Mark {
    var salts: [UInt8]
    var frames: Int
    var checksum: [UInt8]
    var size: Int64
  }

  private var mark: Mark?

  /// Whether the -wal holds what its index says, and what it held when it was last looked at.
  ///
  /// - Parameter db: the writer's connection, with the turn and without a transaction.
  mutating func isWhole(_ db: Database) -> Bool {
    // A foreign writer may commit, or start the -wal over, between two of these looks; what is wrong stays wrong.
    for _ in 0..<4 {
      guard let index = Self.index(db), index.frames > 0 else {
        mark = nil
        return true
      }
      switch looks(index, db) {
      case .whole(let size):
        mark = Mark(salts: index.salts, frames: index.frames, checksum: index.checksum, size: size)
        return true
      case .broken: if Self.index(db) == index { return false }
      // The device would not say: that is its own error, and SQLite's to report.
      case .unreadable: continue
      }
    }
    return true
  }

  private enum Finding {
    case whole(size: Int64)
    case broken
    case unreadable
  }

  private func looks(_ index: Index, _ db: Database) -> Finding {
    guard let file = ConnectionFile(db, SQLITE_FCNTL_JOURNAL_POINTER), let size = file.size else {
      return .unreadable
    }
    guard size >= index.offset(ofFrame: index.frames) else { return .broken }
    if let mark, mark.frames == index.frames, mark.size == size, mark.salts == index.salts,
      mark.checksum == index.checksum
    {
      // Nobody has committed since. Should its bytes have been replaced, the look behind the commit finds that.
      return .whole(size: size)
    }
    guard let salts = file.bytes(at: 16, count: 8),
      let end = file.bytes(at: index.offset(ofFrame: index.frames - 1) + 8, count: 16)
    else { return .unreadable }
    guard salts == index.salts, end == index.salts + index.checksum else { return .broken }
    // What was there before this commit: a hole may be behind the beginning and before the end.
    guard let mark, mark.salts == index.salts, mark.frames < index.frames else { return .whole(size: size) }
    guard let earlier = file.bytes(at: index.offset(ofFrame: mark.frames - 1) + 8, count: 16) else {
      return .unreadable
    }
    return earlier == mark.salts + mark.checksum ? .whole(size: size) : .broken
  }

  /// Reads the index; nil when there is none, or none that is finished.
  static func index(_ db: Database) -> Index? {
    guard let file = ConnectionFile(db, SQLITE_FCNTL_FILE_POINTER) else { return nil }
    for _ in 0..<100 {
      guard let bytes = file.index else { return nil }
      // Written twice, the second copy first: alike they are whole.
      guard bytes[..<48].elementsEqual(bytes[48..<96]) else { continue }
      func word(_ at: Int) -> UInt32 {
        unsafe bytes.withUnsafeBytes { unsafe $0.loadUnaligned(fromByteOffset: at, as: UInt32.self) }
      }
      guard word(0) == 3_007_000, bytes[12] != 0 else { return nil }
      let noted = unsafe bytes.withUnsafeBytes {
        unsafe $0.loadUnaligned(fromByteOffset: 14, as: UInt16.self)
      }
      return Index(
        pageSize: noted == 1 ? 65_536 : Int(noted), frames: Int(word(16)), folded: Int(word(96)),
        checksum: [word(24), word(28)].flatMap { sum in
          (0..<4).map { UInt8(truncatingIfNeeded: sum >> (24 - 8 * $0)) }
        },
        salts: Array(bytes[32..<40]))
    }
    return nil
  }
}
