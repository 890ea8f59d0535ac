// SPDX-License-Identifier: Apache-2.0

import CHoldfast

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The queue of all writers of one file, across processes: strictly first come, first served, made of kernel
/// locks that die with their process.
///
/// SQLite's busy handler sleeps and polls, so under load one process is served thousands of times while
/// another waits for seconds (row A02). Here a writer draws a ticket, locks the ticket's own byte, and waits
/// for the byte of the ticket before; then it takes the turn, works, and gives both back. Whoever waits is
/// woken by the one before it and by nobody else, and nobody can slip in between: the kernel grants a lock
/// that is free to whoever asks first, which on a single lock lets the one who just left overtake those it
/// is still waking.
///
/// A ticket's lock is only a place in the queue. If a waiter dies its successor is woken early, so what makes
/// a turn exclusive is the lock of the turn. And the lane orders *our* writers only: SQLite's own lock stays
/// what makes writing correct, so a foreign writer that knows nothing of the lane is safe beside it.
///
/// `@unchecked Sendable`: `ticket` is written by the thread that enters and read by the one that has the turn,
/// which are the same or handed over under a monitor (``enter(by:)``).
final class WriteLane: @unchecked Sendable {
  /// Held for the few microseconds it takes to draw a ticket.
  private static let drawing: Int64 = 0
  static let turn: Int64 = 1
  /// Held shared by every process that has the database open.
  private static let alive: Int64 = 2
  /// Held by the process that folds a large WAL back beside the writers.
  private static let folding: Int64 = 3
  /// Ticket n has the byte at this offset plus n; nothing is ever stored there.
  static let firstTicket: Int64 = 1 << 32
  /// Tickets that have a byte; the range outlasts every machine.
  private static let tickets: Range<Int64> = 0..<1 << 62
  /// Where the last ticket drawn is stored.
  private static let lastTicketOffset: Int64 = 40
  /// Who holds the turn and since when. Read by those who wait; it means something only while the kernel
  /// says that the lock is held.
  static let noteOffset = 16

  let file: LockFile
  /// The ticket of the turn this process has or waits for.
  private var ticket: Int64 = 0

  init(databasePath: String) throws(StoreError) {
    file = try LockFile(path: databasePath + "-lane")
  }

  /// Waits for the turn, in the kernel, without a limit: the caller's deadline is watched elsewhere.
  func enter() throws(StoreError) {
    try file.lock(.exclusive, at: Self.drawing)
    let before = lastTicket
    do throws(StoreError) {
      try draw(after: before)
    } catch {
      file.unlock(at: Self.drawing)
      throw error
    }
    file.unlock(at: Self.drawing)
    do throws(StoreError) {
      try file.lock(.exclusive, at: Self.firstTicket + before)
      file.unlock(at: Self.firstTicket + before)
      try file.lock(.exclusive, at: Self.turn)
    } catch {
      file.unlock(at: Self.firstTicket + ticket)
      throw error
    }
    LaneNote(pid: getpid(), since: .now()).write(to: file.descriptor)
  }

  /// Takes the turn if nobody has it or waits for it.
  func tryEnter() throws(StoreError) -> Bool {
    guard try file.tryLock(.exclusive, at: Self.drawing) else { return false }
    defer { file.unlock(at: Self.drawing) }
    let before = lastTicket
    guard !file.isBlocked(.exclusive, at: Self.firstTicket + before),
      try file.tryLock(.exclusive, at: Self.turn)
    else { return false }
    do throws(StoreError) {
      try draw(after: before)
    } catch {
      file.unlock(at: Self.turn)
      throw error
    }
    LaneNote(pid: getpid(), since: .now()).write(to: file.descriptor)
    return true
  }

  /// The last ticket drawn, as the file has it.
  ///
  /// It is a note that an editor, a copy or a full disk may have garbled. A number that is no ticket's would
  /// name a byte out of fcntl's range, or the very byte of the turn: counting starts over then, which costs
  /// those who wait their order and nobody the turn.
  private var lastTicket: Int64 {
    let noted = Int64(bitPattern: file.read(words: 1, at: Self.lastTicketOffset).first ?? 0)
    return Self.tickets.contains(noted) ? noted : 0
  }

  private func draw(after before: Int64) throws(StoreError) {
    ticket = before + 1
    // Nobody else can have this byte: tickets are drawn one at a time and never twice.
    try file.lock(.exclusive, at: Self.firstTicket + ticket)
    file.write(words: [UInt64(bitPattern: ticket)], at: Self.lastTicketOffset)
  }

  /// Says to whoever watches the lane's file that a commit has just become visible.
  func markCommit() {
    LaneNote(pid: getpid(), since: .now()).write(to: file.descriptor)
  }

  /// Gives the turn to the next.
  func leave() {
    file.unlock(at: Self.turn)
    file.unlock(at: Self.firstTicket + ticket)
  }

  /// Whether somebody has drawn a ticket since, and so waits behind the one that has the turn.
  var isContended: Bool { lastTicket != ticket }

  /// Shows others, until the lane's file is closed, that this process has the database open.
  func markAlive() {
    // A shared lock that only the question below conflicts with, so it cannot be refused.
    _ = try? file.tryLock(.shared, at: Self.alive)
  }

  /// Takes the part of the one, in all processes, that folds a large WAL back; no turn.
  /// - Returns: false while another process has it.
  func tryFold() throws(StoreError) -> Bool { try file.tryLock(.exclusive, at: Self.folding) }

  /// Ends ``tryFold()``.
  func endFold() { file.unlock(at: Self.folding) }

  /// Whether another process has the database open through the engine.
  var othersAreAlive: Bool {
    file.isBlocked(.exclusive, at: Self.alive)
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
