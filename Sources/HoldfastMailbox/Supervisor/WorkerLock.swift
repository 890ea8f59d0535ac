// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The kernel's own word on whether anything of a session's worker lives.
///
/// A worker gets as its standard input a descriptor of `worker.lock` that carries a shared OFD lock. Such a lock is
/// the open file's and goes with its last descriptor, through fork(2) and exec(2), in whatever process group or
/// session: as long as the lock is in the way of an exclusive one, some process of the worker's tree lives; when it
/// is not, none does that kept its input. A host that was killed has nothing to do with it, so the next one may ask
/// (row B07). What a worker reads from its standard input is the end of an empty file.
public final class WorkerLock: Sendable {
  /// The file's name in a mailbox's directory.
  public static let fileName = "worker.lock"
  private static let byte: Int64 = 0

  private let file: LockFile
  /// Where the file is.
  public var path: String { file.path }

  /// Opens the lock of a mailbox, making its file if there is none.
  ///
  /// - Throws: `StoreError` with code `permission` or `cannotOpen`.
  public init(mailbox directory: String) throws(StoreError) {
    file = try LockFile(path: directory + "/" + Self.fileName)
  }

  /// Whether anything of a worker lives.
  public var isHeld: Bool { file.isBlocked(.exclusive, at: Self.byte) }

  /// An open file with the shared lock on it, to be a worker's standard input. The lock is held until the last
  /// descriptor of it is closed: the caller's own and the worker's.
  func share() throws(StoreError) -> LockFile {
    let shared = try LockFile(path: path, creates: false, isReadOnly: true)
    guard try shared.tryLock(.shared, at: Self.byte) else {
      throw StoreError(
        .transient, "worker.lock is held exclusively: another host recovers this mailbox; try again.",
        path: path)
    }
    return shared
  }

  /// Waits until nothing of a worker lives, ending by force whatever is found meanwhile.
  ///
  /// - Parameter force: called before each look but the first; it may signal what is known beyond the lock.
  func waitUntilFree(force: @Sendable () -> Void) async {
    var pause = Duration.milliseconds(1)
    while isHeld {
      force()
      for pid in LockTable.processes(withLockedFileAt: path) {
        // Known by the open file it holds a moment ago, and so by more than its number.
        ProcessStamp(pid: pid)?.send(SIGKILL)
      }
      try? await Task.sleep(for: pause)
      pause = min(pause * 2, .milliseconds(100))
    }
  }

  /// Rolls back what the dead worker left half done in a database; refused while anything of a worker lives.
  func recoverJournal(of path: String) async throws(StoreError) -> JournalRecovery.Outcome {
    try await JournalRecovery.recoverJournal(of: path, afterAllWhoHold: file, at: Self.byte)
  }
}

/// One host for a session: a kernel lock on `host.lock`, which dies with its holder (row B14).
final class HostLock: Sendable {
  static let fileName = "host.lock"
  private let file: LockFile

  /// - Throws: `StoreError` with code `refused` while another host watches over the session.
  init(mailbox directory: String, address: MailboxAddress) throws(StoreError) {
    file = try LockFile(path: directory + "/" + Self.fileName)
    guard try file.tryLock(.exclusive, at: 0) else {
      let holders = LockTable.processes(withLockedFileAt: file.path)
      let who =
        holders.isEmpty ? "another process" : holders.map { "process \($0)" }.joined(separator: " and ")
      throw StoreError(
        .refused, "The worker of \(address) is watched over by \(who): stop that one, or leave it to it.",
        path: file.path)
    }
  }
}
