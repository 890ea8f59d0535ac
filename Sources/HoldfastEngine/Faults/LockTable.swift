// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Reads who holds a state file's locks from the kernel.
///
/// Linux has `/proc/locks`, which names the process of every POSIX lock (SQLite's) but not of an OFD lock
/// (the lane's); those are listed in `/proc/PID/fdinfo` of whoever has the file open. Nothing here opens
/// the database or a sidecar: stat(2) is enough, and an open and close would drop our own locks (row B01).
/// Elsewhere nothing is known and the lists are empty.
public enum LockTable {
  /// The processes that keep others from writing to the database at `path`, the lane's turn included.
  ///
  /// - Parameter path: the database's canonical path.
  /// - Returns: writers and exclusive holders; where there are none, those with read locks.
  public static func holders(ofDatabaseAt path: String) -> [LockHolder] {
    let found = locks(ofDatabaseAt: path)
    let writing = found.filter { $0.mode == .write }
    var seen: Set<LockHolder> = []
    return (writing.isEmpty ? found : writing).map(\.holder).filter { seen.insert($0).inserted }
  }
}

extension LockTable {
  /// The processes with a read transaction open, which keep the WAL of the database at `path` from being
  /// folded back and so from starting over (row A12).
  public static func walReaders(ofDatabaseAt path: String) -> [LockHolder] {
    let marks = locks(ofDatabaseAt: path).map(\.holder).filter { $0.lock.hasPrefix("a read transaction") }
    var seen: Set<LockHolder> = []
    return marks.filter { seen.insert($0).inserted }
  }
}

extension LockTable {
  /// The processes that share an open file with a lock of the file at `path`: those the kernel would have to see
  /// the end of before the lock is free. Not this one; nor those whose descriptors this user may not see.
  ///
  /// - Parameter path: of a file whose locks are OFD locks; it is not opened.
  public static func processes(withLockedFileAt path: String) -> [Int32] {
    #if os(Linux)
      guard let identity = FileIdentity(path: path) else { return [] }
      return ProcFile.processes().filter { pid in
        guard pid != getpid() else { return false }
        return ProcFile.names(in: "/proc/\(pid)/fd").contains { descriptor in
          FileIdentity(path: "/proc/\(pid)/fd/\(descriptor)") == identity
            && ProcFile.lines("/proc/\(pid)/fdinfo/\(descriptor)").contains { $0.hasPrefix("lock:") }
        }
      }
    #else
      return []
    #endif
  }
}

#if os(Linux)
  extension LockTable {
    static func locks(ofDatabaseAt path: String) -> [(holder: LockHolder, mode: KernelLock.Mode)] {
      let places = LockedFile.places(ofDatabaseAt: path)
      var found: [(holder: LockHolder, mode: KernelLock.Mode)] = []
      var ofdSeen = false
      for line in ProcFile.lines("/proc/locks") {
        guard let lock = KernelLock(line: line), let file = places[lock.identity] else { continue }
        if lock.family == .ofd {
          ofdSeen = ofdSeen || file == .lane
        } else if let name = file.name(of: lock) {
          found.append((describe(pid: lock.pid, lock: name), lock.mode))
        }
      }
      if ofdSeen { found += laneHolders(ofDatabaseAt: path, places: places).map { ($0, .write) } }
      return found
    }

    /// Looks through the open files of every process we may look at for the one with the lane's turn; if
    /// nobody has it, for the one with the lowest ticket, whom the others wait for.
    private static func laneHolders(
      ofDatabaseAt path: String, places: [FileIdentity: LockedFile]
    ) -> [LockHolder] {
      let note = LaneNote(path: LockedFile.lane.path(of: path))
      var first: (pid: Int32, lock: KernelLock, name: String)?
      // Usually the note says who; only when it does not fit are all processes looked through.
      for pid in [note?.pid].compactMap({ $0 }) + ProcFile.processes() {
        for line in ProcFile.lockLines(ofProcess: pid) {
          guard let lock = KernelLock(line: line), lock.family == .ofd, places[lock.identity] == .lane,
            let name = LockedFile.lane.name(of: lock)
          else { continue }
          if lock.covers(WriteLane.turn) {
            return [describe(pid: pid, lock: name, since: note?.pid == pid ? note?.since : nil)]
          }
          if first.map({ lock.start < $0.lock.start }) ?? true { first = (pid, lock, name) }
        }
      }
      return first.map { [describe(pid: $0.pid, lock: $0.name)] } ?? []
    }

    private static func describe(pid: Int32, lock: String, since: UnixTime? = nil) -> LockHolder {
      LockHolder(
        pid: pid, command: ProcFile.command(ofProcess: pid), lock: lock, since: since,
        isStopped: ProcFile.isStopped(pid))
    }
  }

  extension LaneNote {
    init?(path: String) {
      // The lane's locks are OFD locks: this open and close drops none of them.
      let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
      guard descriptor >= 0 else { return nil }
      defer { _ = close(descriptor) }
      self.init(descriptor: descriptor)
    }
  }

  extension LockedFile {
    /// The files of a database by what stat(2) calls them and, where that differs, by what `/proc/locks` does.
    static func places(ofDatabaseAt path: String) -> [FileIdentity: LockedFile] {
      var places: [FileIdentity: LockedFile] = [:]
      let device = Filesystem.lockDevice(of: path)
      for file in allCases {
        guard let identity = FileIdentity(path: file.path(of: path)) else { continue }
        places[identity] = file
        if let device { places[FileIdentity(device: device, inode: identity.inode)] = file }
      }
      return places
    }
  }

  extension KernelLock {
    var identity: FileIdentity { FileIdentity(device: device, inode: inode) }
  }
#else
  extension LockTable {
    static func locks(ofDatabaseAt path: String) -> [(holder: LockHolder, mode: KernelLock.Mode)] { [] }
  }
#endif
