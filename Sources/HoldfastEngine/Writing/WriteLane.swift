// SPDX-License-Identifier: Apache-2.0

import CHoldfast

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The queue of all writers of one file, across processes: a turnstile of two kernel locks.
///
/// SQLite's busy handler sleeps and polls, so under load one process is served thousands of times while
/// another waits for seconds (row A02). Here a writer takes lock Q, then lock M, gives Q back, works, and
/// gives M back. M is the turn. Only one writer at a time waits for M, the one that has Q, so the kernel's
/// queue for Q is the order of service and the one who just left cannot overtake those who wait.
///
/// The lane orders *our* writers. SQLite's own lock stays what makes writing correct, so a foreign writer
/// that knows nothing of the lane is safe beside it.
final class WriteLane: Sendable {
  private static let queue: Int64 = 0
  private static let turn: Int64 = 1
  /// Held shared by every process that has the database open.
  private static let alive: Int64 = 2
  /// Behind the lock bytes: who holds the turn and since when. Read by those who wait; it means something
  /// only while the kernel says that the lock is held.
  static let noteOffset = 16

  let file: LockFile

  init(databasePath: String) throws(StoreError) {
    file = try LockFile(path: databasePath + "-lane")
  }

  /// Waits for the turn, in the kernel, without a limit: the caller's deadline is watched elsewhere.
  func enter() throws(StoreError) {
    try file.lock(.exclusive, at: Self.queue)
    do {
      try file.lock(.exclusive, at: Self.turn)
    } catch {
      file.unlock(at: Self.queue)
      throw error
    }
    file.unlock(at: Self.queue)
    LaneNote(pid: getpid(), since: .now()).write(to: file.descriptor)
  }

  /// Takes the turn if nobody has it or waits for it.
  func tryEnter() throws(StoreError) -> Bool {
    guard try file.tryLock(.exclusive, at: Self.queue) else { return false }
    defer { file.unlock(at: Self.queue) }
    guard try file.tryLock(.exclusive, at: Self.turn) else { return false }
    LaneNote(pid: getpid(), since: .now()).write(to: file.descriptor)
    return true
  }

  /// Says to whoever watches the lane's file that a commit has just become visible.
  func markCommit() {
    LaneNote(pid: getpid(), since: .now()).write(to: file.descriptor)
  }

  /// Shows others, until the lane's file is closed, that this process has the database open.
  func markAlive() {
    // A shared lock that only the question below conflicts with, so it cannot be refused.
    _ = try? file.tryLock(.shared, at: Self.alive)
  }

  /// Whether another process has the database open through the engine.
  var othersAreAlive: Bool {
    file.isBlocked(.exclusive, at: Self.alive)
  }

  /// Gives the turn to the next.
  func leave() {
    file.unlock(at: Self.turn)
  }

  /// Whether another process waits behind the one that has the turn.
  var isContended: Bool {
    file.isBlocked(.exclusive, at: Self.queue)
  }
}

/// Who entered the lane last, as written into the side file: 16 bytes, host byte order.
struct LaneNote: Equatable {
  var pid: Int32
  var since: UnixTime

  private static let magic: UInt32 = 0x4846_4c31  // "HFL1"

  func write(to descriptor: Int32) {
    var bytes = (Self.magic, pid, since.nanoseconds)
    _ = unsafe withUnsafeBytes(of: &bytes) {
      unsafe pwrite(descriptor, $0.baseAddress, $0.count, off_t(WriteLane.noteOffset))
    }
  }

  init(pid: Int32, since: UnixTime) {
    self.pid = pid
    self.since = since
  }

  init?(descriptor: Int32) {
    var bytes: (UInt32, Int32, Int64) = (0, 0, 0)
    let count = unsafe withUnsafeMutableBytes(of: &bytes) {
      unsafe pread(descriptor, $0.baseAddress, $0.count, off_t(WriteLane.noteOffset))
    }
    guard count == 16, bytes.0 == Self.magic else { return nil }
    self.init(pid: bytes.1, since: UnixTime(nanoseconds: bytes.2))
  }
}
