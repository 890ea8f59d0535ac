// SPDX-License-Identifier: Apache-2.0

import Logging

/// Which journal a store is to have where it is (row C14).
///
/// WAL needs memory shared by all who have the file open, and a filesystem that is not one machine's own gives each
/// of them another: readers go silently stale and writers overwrite each other. So WAL is for filesystems that are
/// known to be coherent, and what once was kept from it stays so: a directory that one machine has on its disk may
/// be another's network share.
enum JournalPolicy: Hashable, Sendable {
  /// WAL, unless others who use the file are in the way of the change.
  case wal
  /// A rollback journal.
  case rollback(Reason)
  /// It is not known what the file is on: its mode is left as it is, and a new file gets a rollback journal.
  case asItIs

  /// Why a file is kept from WAL.
  enum Reason: Hashable, Sendable {
    /// It is on a filesystem that is not known to be coherent.
    case filesystem(Filesystem)
    /// Somebody who had it open before found a reason, and wrote it down beside the file.
    case recorded
    /// The program asks for it.
    case chosen
  }

  /// - Parameters:
  ///   - path: canonical.
  ///   - isRecorded: whether the lane's file says that this very file is kept from WAL.
  static func decide(
    _ path: String, configuration: StateFileConfiguration, isRecorded: Bool
  ) -> JournalPolicy {
    if configuration.mountTable == nil, configuration.journal == .automatic, !isRecorded,
      Filesystem.isKnownCoherent(path)
    {
      return .wal
    }
    return decide(
      filesystem: Filesystem.of(path, mountTable: configuration.mountTable), journal: configuration.journal,
      isRecorded: isRecorded)
  }

  /// The same without a look at the mount table.
  static func decide(
    filesystem: Filesystem?, journal: StateFileConfiguration.Journal, isRecorded: Bool
  ) -> JournalPolicy {
    if journal == .rollback { return .rollback(.chosen) }
    guard let filesystem else { return isRecorded ? .rollback(.recorded) : .asItIs }
    if !filesystem.isCoherent { return .rollback(.filesystem(filesystem)) }
    return isRecorded ? .rollback(.recorded) : .wal
  }

  /// Whether what another machine wrote may be missing from what a connection, or the kernel, still remembers.
  var needsFreshConnections: Bool {
    if case .rollback(.filesystem) = self { true } else { false }
  }

  /// Whether a file whose header asks for WAL, or for a rollback journal, is as it is to be.
  func accepts(_ header: DatabaseHeader) -> Bool {
    switch self {
    case .wal: header == .wal
    case .rollback: header == .rollback
    case .asItIs: header == .wal || header == .rollback
    }
  }
}

extension JournalPolicy {
  /// Files this process has spoken of, by path.
  private static let spokenOf = Monitor<Set<String>>([])

  /// Says once in a process that a file is kept from WAL, and why.
  func say(of path: String) {
    guard self != .wal, Self.spokenOf.withLock({ $0.insert(path).inserted }) else { return }
    let reason =
      switch self {
      case .rollback(.filesystem(let filesystem)):
        "\(filesystem.type) on \(filesystem.mountPoint) is not known to keep WAL coherent"
      case .rollback(.recorded): "it was kept from WAL before, as \(path.fileName)-lane says"
      case .rollback(.chosen): "the program asks for it"
      case .asItIs, .wal: "what filesystem it is on is not known"
      }
    engineLog.notice(
      "a store is not put in WAL mode", metadata: ["file": "\(path.fileName)", "reason": "\(reason)"])
  }
}

/// That a file is kept from WAL, in the lane's file. Written with the turn.
extension WriteLane {
  private static let rollbackOffset: Int64 = 128
  private static let rollbackMagic: UInt64 = 0x4846_4a52_4e4c31  // "HFJRNL1"

  /// Whether the database with this identity is kept from WAL.
  ///
  /// By the inode alone: the device is another one for each machine that shares the directory, and a copy of the
  /// database, on a disk that is coherent, is another file.
  func isKeptFromWAL(_ database: FileIdentity) -> Bool {
    file.read(words: 2, at: Self.rollbackOffset) == [Self.rollbackMagic, database.inode]
  }

  /// Writes down that it is.
  func keepFromWAL(_ database: FileIdentity) {
    guard !isKeptFromWAL(database) else { return }
    file.write(words: [Self.rollbackMagic, database.inode], at: Self.rollbackOffset)
  }
}
