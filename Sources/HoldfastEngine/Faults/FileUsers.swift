// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A process that uses a database: the locks it holds on its files, or that it merely has one of them open.
package struct FileUser: Hashable, Sendable, Codable {
  /// What stands in ``locks`` for a process that has the file open and holds nothing.
  package static let openWithoutLock = "open, no lock"

  /// The process id, as seen from here.
  package var pid: Int32
  /// The program and its arguments, cut, with whatever looks like a secret masked.
  package var command: String
  /// The locks in the field's terms, each once.
  package var locks: [String]
  /// Whether the process is stopped and so cannot let go (row A17).
  package var isStopped: Bool

  /// Makes a user of a file.
  package init(pid: Int32, command: String, locks: [String], isStopped: Bool = false) {
    self.pid = pid
    self.command = command
    self.locks = locks
    self.isStopped = isStopped
  }

  /// Whether it holds a lock.
  package var holdsLock: Bool { locks != [Self.openWithoutLock] }

  private enum CodingKeys: String, CodingKey {
    case pid, command, locks
    case isStopped = "stopped"
  }
}

/// Everybody who uses a database's files at one moment.
package struct FileUsers: Hashable, Sendable {
  /// The processes, by id; this one too when it has the file open.
  package var processes: [FileUser]
  /// Whether the kernel lists a lock whose process cannot be seen from here: another user's, or one in a
  /// container of its own.
  package var hasInvisibleHolder: Bool

  /// Makes a list of users.
  package init(processes: [FileUser] = [], hasInvisibleHolder: Bool = false) {
    self.processes = processes
    self.hasInvisibleHolder = hasInvisibleHolder
  }

  /// Whether nobody is known to use the file.
  package var isEmpty: Bool { processes.isEmpty && !hasInvisibleHolder }

  /// Whether somebody holds a lock of one of the files, and does not merely have it open.
  package var holdLocks: Bool { hasInvisibleHolder || processes.contains(where: \.holdsLock) }

  /// The same as an error names them, one entry a process.
  ///
  /// - Parameter hasTurn: whether the caller has the turn to write: then whoever only stands in the queue behind
  ///   it uses nothing yet.
  func holders(hasTurn: Bool = false) -> [LockHolder] {
    processes.compactMap { user in
      var locks = user.locks
      if hasTurn { locks.removeAll(where: KernelLock.namesInQueue.contains) }
      guard !locks.isEmpty else { return nil }
      return LockHolder(
        pid: user.pid, command: user.command,
        lock: user.holdsLock ? locks.joined(separator: ", ") : "the file open", isStopped: user.isStopped)
    }
  }

  /// Merges what the kernel's tables say, one entry a process.
  ///
  /// - Parameters:
  ///   - locks: named locks with their process; an id below 1 is a process that cannot be seen.
  ///   - openers: processes that have one of the files open.
  static func merge(
    locks: [(pid: Int32, name: String)], openers: Set<Int32>, describe: (Int32) -> FileUser
  ) -> FileUsers {
    var names: [Int32: [String]] = [:]
    for pid in openers { names[pid] = [] }
    for lock in locks where lock.pid > 0 && !(names[lock.pid]?.contains(lock.name) ?? false) {
      names[lock.pid, default: []].append(lock.name)
    }
    let processes = names.keys.sorted().map { pid in
      var user = describe(pid)
      user.locks = names[pid].flatMap { $0.isEmpty ? nil : $0.sorted() } ?? [FileUser.openWithoutLock]
      return user
    }
    return FileUsers(processes: processes, hasInvisibleHolder: locks.contains { $0.pid < 1 })
  }

  #if os(Linux)
    /// Looks who uses the database at `path` now: its file, -wal, -shm, -journal and lane. Blocks.
    ///
    /// Reads proc(5) and drops no lock (row B01). A file is known by device and inode, so a process in another
    /// container is found by whatever name it has the file. Processes whose descriptors may not be looked at
    /// are found by the POSIX locks in `/proc/locks`, and one that is in neither, such as the host's seen from
    /// inside a container, by asking for a lock of the database that it would have to give.
    package static func of(_ path: String) -> FileUsers {
      // Before the tables are read: what was let go in between is not a holder nobody can see.
      let isHeld = isHeld(path)
      var users = seen(path)
      guard isHeld, !users.showsHolder else { return users }
      users = seen(path)
      if !users.showsHolder, Self.isHeld(path) { users.hasInvisibleHolder = true }
      return users
    }

    /// Whether this process has one of these files open.
    static func areOpenHere(_ identities: Set<FileIdentity>) -> Bool {
      !ProcFile.filesOpen(inProcess: getpid()).isDisjoint(with: identities)
    }

    /// Whether the tables explain a lock of the database.
    private var showsHolder: Bool {
      let names = ["a SHARED lock", "a RESERVED lock", "a PENDING lock", "an EXCLUSIVE lock"]
      return hasInvisibleHolder || processes.contains { !$0.locks.allSatisfy { !names.contains($0) } }
    }

    private static func isHeld(_ path: String) -> Bool { (try? ImageFile(path))?.isLocked ?? false }

    private static func seen(_ path: String) -> FileUsers {
      let places = LockedFile.places(ofDatabaseAt: path)
      // The lane's file says only that the engine knows the database, not that it is open.
      var files = Set(places.filter { $0.value != .lane }.keys)
      for suffix in ["-wal", "-journal"] {
        if let identity = FileIdentity(path: path + suffix) { files.insert(identity) }
      }
      var locks: [(pid: Int32, name: String)] = []
      var openers: Set<Int32> = []
      var openFileLocks: Set<String> = []
      for pid in ProcFile.processes() {
        for descriptor in ProcFile.names(in: "/proc/\(pid)/fd") {
          guard let identity = FileIdentity(path: "/proc/\(pid)/fd/\(descriptor)") else { continue }
          let isLane = places[identity] == .lane
          guard isLane || files.contains(identity) else { continue }
          if !isLane { openers.insert(pid) }
          for line in ProcFile.lines("/proc/\(pid)/fdinfo/\(descriptor)") where line.hasPrefix("lock:") {
            // These are locks of the very file the descriptor is of, by whatever device the kernel lists them.
            guard let lock = KernelLock(line: line), let file = places[identity] else { continue }
            if lock.family == .ofd { openFileLocks.insert(lock.place) }
            if let name = file.name(of: lock) { locks.append((pid, name)) }
          }
        }
      }
      for line in ProcFile.lines("/proc/locks") {
        guard let lock = KernelLock(line: line), let file = places[lock.identity] else { continue }
        switch lock.family {
        case .posix:
          if let name = file.name(of: lock) { locks.append((lock.pid, name)) }
        case .ofd:
          // These carry no process id; one that no visible descriptor explains belongs to somebody unseen.
          if file != .lane, !openFileLocks.contains(lock.place), let name = file.name(of: lock) {
            locks.append((-1, name))
          }
        }
      }
      return merge(locks: locks, openers: openers) { pid in
        FileUser(
          pid: pid, command: ProcFile.command(ofProcess: pid), locks: [], isStopped: ProcFile.isStopped(pid))
      }
    }
  #else
    /// Elsewhere the system does not tell.
    package static func of(_ path: String) -> FileUsers { FileUsers() }

    /// Whether this process has one of these files open; true, since that is not known.
    static func areOpenHere(_ identities: Set<FileIdentity>) -> Bool { true }
  #endif
}

extension KernelLock {
  /// Where and how it lies, whoever holds it.
  fileprivate var place: String {
    "\(device):\(inode):\(start):\(end.map(String.init) ?? "eof"):\(mode)"
  }
}
