// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Keeps every other program from a database while its files are repaired: the lane's turn against programs
/// of ours, SQLite's EXCLUSIVE lock against all others.
final class RepairExclusion {
  let path: String
  let lane: WriteLane
  /// Whether the lane's file was made for this repair, beside a database that is no store of ours.
  private let madeLane: Bool
  /// The database's; nil when there is none, or while others are admitted.
  private(set) var fileGuard: FileGuard?

  /// Waits for the turn and locks everybody out. Blocks.
  ///
  /// - Throws: ``StoreError`` with code `transient` and the holders while the file is in use, or changed since
  ///   `stamps` were taken; nothing was touched then.
  init(_ path: String, unless stamps: [FileStamp?], patience: Duration = .seconds(2)) throws {
    self.path = path
    var made = false
    var lane: WriteLane?
    repeat {
      made = !QuarantineFiles.exists(path + "-lane")
      let opened = try WriteLane(databasePath: path)
      do throws(StoreError) {
        try opened.enter(by: .now + patience)
      } catch {
        if error.code == .deadline { throw Self.inUse(path, error.holders) }
        throw error
      }
      // Another repair may have taken the file away between its opening and the turn.
      if FileIdentity(path: path + "-lane") == FileIdentity(descriptor: opened.file.descriptor) {
        lane = opened
      }
    } while lane == nil
    guard let lane else { preconditionFailure("the loop ends with a lane") }
    self.lane = lane
    madeLane = made
    do {
      try requireUnheld()
      if FileIdentity(path: path) != nil {
        let opened = try FileGuard(databasePath: path, creates: false)
        fileGuard = opened
        guard try opened.excludeOthers() else {
          throw Self.inUse(path, LockTable.holders(ofDatabaseAt: path).filter { $0.pid != getpid() })
        }
      }
      guard FileStamp.ofSet(path) == stamps else {
        throw StoreError(
          .transient, "\(path.fileName) changed since it was examined, so nothing was done: run this again.",
          path: path)
      }
    } catch {
      end()
      throw error
    }
  }

  /// Lets others, and this process's own connections, at the file again; the turn is kept.
  ///
  /// The guard goes with it: closed later, it would drop the locks of a connection made meanwhile (row B01).
  func admitOthers() {
    fileGuard?.admitOthers()
    fileGuard?.file.close()
    fileGuard = nil
  }

  /// Refuses while another process has one of the files open, with or without a lock.
  func requireUnheld() throws(StoreError) {
    var users: [FileUser] = []
    // Asked again for a moment: a child that this process is just starting has its descriptors, and with them
    // the very locks taken here, until it runs its own program.
    for attempt in 0..<10 {
      if attempt > 0 { BlockingThread.sleep(.milliseconds(20)) }
      users = FileUsers.of(path).processes.filter { $0.pid != getpid() }
      if users.isEmpty { break }
    }
    guard users.isEmpty, !lane.othersAreAlive else { throw Self.inUse(path, users.map(\.lockHolder)) }
    #if os(Linux)
      let own = Set(["", "-wal", "-shm"].compactMap { FileIdentity(path: path + $0) })
      guard fileGuard != nil || ProcFile.filesOpen(inProcess: getpid()).isDisjoint(with: own) else {
        throw StoreError(
          .misuse, "\(path.fileName) is open in this very process: close it before it is repaired.",
          path: path)
      }
    #endif
  }

  /// Ends the exclusion.
  func end() {
    admitOthers()
    // Beside a database that is no store of ours the lane's file says nothing; whoever waits for it keeps it.
    if madeLane, lane.recordedGeneration == nil, !lane.isContended, !lane.othersAreAlive {
      _ = unsafe unlink(path + "-lane")
    }
    lane.leave()
    lane.file.close()
  }

  private static func inUse(_ path: String, _ holders: [LockHolder]) -> StoreError {
    StoreError(
      .transient, "\(path.fileName) is in use, so nothing was changed: stop who has it and try again.",
      path: path, holders: holders)
  }
}

extension FileUser {
  /// The same as an error names it.
  var lockHolder: LockHolder {
    LockHolder(
      pid: pid, command: command, lock: holdsLock ? locks.joined(separator: ", ") : "the file open",
      isStopped: isStopped)
  }
}
