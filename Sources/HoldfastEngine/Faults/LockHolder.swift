// SPDX-License-Identifier: Apache-2.0

/// A process that holds a lock of a state file, as the kernel's lock table has it (row A16).
public struct LockHolder: Hashable, Sendable {
  /// The process id, as seen from this process's pid namespace.
  public var pid: Int32
  /// The program and its arguments, cut to 120 characters, with whatever looks like a secret masked.
  public var command: String
  /// What is held, in the field's terms, as in "the WAL write lock".
  public var lock: String
  /// Since when, where the holder left a note of it (our own writers do).
  public var since: UnixTime?
  /// Whether the process is stopped (SIGSTOP, a debugger) and so cannot let go (row A17).
  public var isStopped: Bool

  /// Makes a holder.
  public init(pid: Int32, command: String, lock: String, since: UnixTime? = nil, isStopped: Bool = false) {
    self.pid = pid
    self.command = command
    self.lock = lock
    self.since = since
    self.isStopped = isStopped
  }
}

extension LockHolder: CustomStringConvertible {
  /// As in `pid 4711 (python3 hold.py), the WAL write lock, since 2026-11-21T10:00:00.123Z, stopped`.
  public var description: String {
    var text = "pid \(pid) (\(command)), \(lock)"
    if let since { text += ", since \(since)" }
    if isStopped { text += ", stopped" }
    return text
  }
}

/// One advisory lock as the kernel lists it.
struct KernelLock: Equatable {
  enum Family: Equatable { case posix, ofd }
  enum Mode: Equatable { case read, write }

  var family: Family
  var mode: Mode
  /// -1 for OFD locks: they belong to an open file, which several processes may share.
  var pid: Int32
  var device: UInt64
  var inode: UInt64
  var start: Int64
  /// Inclusive; nil up to the end of the file.
  var end: Int64?

  /// Parses a line of `/proc/locks`, or of `/proc/PID/fdinfo/FD` behind its `lock:` mark.
  ///
  /// As in `2: POSIX  ADVISORY  WRITE 4711 fe:00:131081 120 120` (proc_locks(5)). A line with `->` is a
  /// waiter, not a holder, and gives nil.
  init?(line: some StringProtocol) {
    var fields = line.split(omittingEmptySubsequences: true) { $0 == " " || $0 == "\t" }.map { String($0) }
    if fields.first == "lock:" { fields.removeFirst() }
    guard fields.count >= 8, fields[1] != "->" else { return nil }
    switch fields[1] {
    case "POSIX": family = .posix
    case "OFDLCK": family = .ofd
    default: return nil
    }
    switch fields[3] {
    case "READ": mode = .read
    case "WRITE": mode = .write
    default: return nil
    }
    let place = fields[5].split(separator: ":")
    guard let pid = Int32(fields[4]), place.count == 3,
      let major = UInt64(place[0], radix: 16), let minor = UInt64(place[1], radix: 16),
      let inode = UInt64(place[2]), let start = Int64(fields[6])
    else { return nil }
    self.pid = pid
    self.device = major << 32 | minor
    self.inode = inode
    self.start = start
    self.end = Int64(fields[7])
  }

  /// What the lock of the lane's turn is called.
  static let nameOfTurn = "the turn to write"
  /// What the locks of a lane are called.
  static let namesInQueue: Set<String> = [nameOfTurn, "the head of the write queue"]

  func covers(_ byte: Int64) -> Bool {
    start <= byte && (end.map { byte <= $0 } ?? true)
  }
}

/// The bytes SQLite and the lane lock, by name.
///
/// Sources: `os.h` (PENDING_BYTE, RESERVED_BYTE, SHARED_FIRST, SHARED_SIZE) and `walformat.html`, section
/// "WAL locks".
enum LockedFile: CaseIterable {
  case database, sharedMemory, lane

  func name(of lock: KernelLock) -> String? {
    switch self {
    case .sharedMemory:
      if lock.mode == .write {
        if lock.covers(120) { return "the WAL write lock" }
        if lock.covers(121) { return "the checkpoint lock" }
        if lock.covers(122) { return "the WAL recovery lock" }
      } else if let mark = (123...127).first(where: lock.covers) {
        return "a read transaction (mark \(mark - 123))"
      }
      return nil
    case .database:
      if lock.mode == .write, lock.covers(0x4000_0002) { return "an EXCLUSIVE lock" }
      if lock.mode == .write, lock.covers(0x4000_0000) { return "a PENDING lock" }
      if lock.mode == .write, lock.covers(0x4000_0001) { return "a RESERVED lock" }
      if lock.mode == .read, lock.covers(0x4000_0002) { return "a SHARED lock" }
      return nil
    case .lane:
      guard lock.mode == .write else { return nil }
      if lock.covers(WriteLane.turn) { return KernelLock.nameOfTurn }
      return lock.start >= WriteLane.firstTicket ? "the head of the write queue" : nil
    }
  }

  func path(of database: String) -> String {
    switch self {
    case .database: database
    case .sharedMemory: database + "-shm"
    case .lane: database + "-lane"
    }
  }
}
