// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Which processes have files open, by the files' identities.
///
/// A process that has a database open need not hold any lock of it: an idle connection in rollback-journal mode has
/// none. Linux tells of every process this user may look at; elsewhere nothing is known.
enum OpenFiles {
  /// The processes that have one of a database's files open, or a lock of it.
  ///
  /// - Parameter hasTurn: whether the caller has the turn to write, which is no use of the files by others then.
  static func holders(ofDatabaseAt path: String, hasTurn: Bool = false) -> [LockHolder] {
    let identities = Set(["", "-wal", "-shm", "-journal"].compactMap { FileIdentity(path: path + $0) })
    guard !identities.isEmpty else { return [] }
    var found = LockTable.holders(ofDatabaseAt: path)
    if hasTurn {
      let turn = KernelLock.nameOfTurn
      found.removeAll { $0.pid == getpid() && $0.lock == turn }
    }
    #if os(Linux)
      for pid in ProcFile.processes() where !found.contains(where: { $0.pid == pid }) {
        guard !ProcFile.filesOpen(inProcess: pid).isDisjoint(with: identities) else { continue }
        found.append(
          LockHolder(
            pid: pid, command: ProcFile.command(ofProcess: pid), lock: "the file open",
            isStopped: ProcFile.isStopped(pid)))
      }
    #endif
    return found
  }

  /// Whether this process has one of these files open; true where that is not known.
  static func areOpenHere(_ identities: Set<FileIdentity>) -> Bool {
    #if os(Linux)
      !ProcFile.filesOpen(inProcess: getpid()).isDisjoint(with: identities)
    #else
      true
    #endif
  }
}
