// SPDX-License-Identifier: Apache-2.0

public import GRDB

/// Reads an SQLite file that another program owns and may be writing right now.
///
/// It never writes, never checkpoints and never recovers: a journal that looks hot belongs to a writer that
/// may be alive, and rolling it back would undo a transaction under its feet (row C02). Errors that such a
/// writer causes by starting, resetting or recovering are waited out for a short, bounded time; each attempt
/// has a fresh connection, since a read-only handle that once met a hot journal keeps failing.
///
/// ```swift
/// let reader = try ForeignReader("/home/me/.local/share/opencode/opencode.db")
/// let rows = try await reader.read { db in try Row.fetchAll(db, sql: "SELECT id, data FROM message") }
/// ```
public struct ForeignReader: Sendable {
  /// The database's canonical path.
  public let path: String
  /// How long transients are waited out.
  public let patience: Duration

  /// Names the file; nothing is opened yet.
  /// - Throws: ``StoreError`` with code `cannotOpen` when the directory does not exist.
  public init(_ path: String, patience: Duration = .seconds(2)) throws(StoreError) {
    self.path = try CanonicalPath.of(path)
    self.patience = patience
  }

  /// Reads from one consistent snapshot.
  ///
  /// - Throws: what `body` throws; ``StoreError`` with code `transient` when the file stayed in a passing
  ///   state for the whole patience (its message and `holders` say by whom), or what else SQLite says.
  public func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
    let (path, patience) = (path, patience)
    return try await BlockingThread.run(named: "hf-foreign") {
      try Self.attempt(path: path, deadline: .now + patience) { busy in
        let queue = try Connection.open(path, as: .reader, configuration: .init(), patience: busy)
        // A reader's close writes nothing; should it fail, the handle goes with its last reference.
        defer { try? queue.close() }
        return try queue.read(body)
      }
    }
  }

  /// Calls `body` until it does not fail for a passing reason, the deadline is near, or nobody waits. Blocks.
  static func attempt<T>(
    path: String, deadline: ContinuousClock.Instant, isWaiting: @escaping @Sendable () -> Bool = { true },
    _ body: (BusyPatience) throws -> T
  ) throws -> T {
    let busy = BusyPatience()
    var retries = TransientRetries(deadline: deadline)
    while true {
      busy.wait { ContinuousClock.now < deadline && isWaiting() }
      do {
        return try body(busy)
      } catch let error as DatabaseError {
        switch retries.failed(with: error.extendedResultCode.rawValue, at: isWaiting() ? .now : deadline) {
        case .tryAgain(let pause): BlockingThread.sleep(pause)
        case .giveUp: throw Self.passing(error, path: path)
        case .notPassing: throw StoreError(error, path: path, doing: "Reading")
        }
      }
    }
  }

  private static func passing(_ error: DatabaseError, path: String) -> StoreError {
    StoreError(
      .transient,
      """
      \(path.fileName) could not be read while its writer is at work or has died in the middle of it (code \
      \(error.extendedResultCode.rawValue)); nothing was changed: try again, or have its own program open it.
      """, path: path, holders: LockTable.holders(ofDatabaseAt: path), underlying: error)
  }
}

/// Decides whether a failed read of a file that others own is tried again: a pure value.
struct TransientRetries {
  enum Decision: Equatable {
    case tryAgain(after: Duration)
    case giveUp
    case notPassing
  }

  let deadline: ContinuousClock.Instant
  private var pause = Duration.milliseconds(1)

  init(deadline: ContinuousClock.Instant) {
    self.deadline = deadline
  }

  /// - Parameter code: SQLite's extended result code.
  mutating func failed(with code: Int32, at now: ContinuousClock.Instant) -> Decision {
    switch ResultClass(extendedCode: code) {
    case .lock, .staleSnapshot, .readOnlyTransient: break
    // Seen while the WAL is reset or recovered and while a journal is deleted (row C04). The same codes also
    // stand for lasting trouble, which the last attempt then reports.
    case .cannotOpen, .io: break
    default: return .notPassing
    }
    guard now + pause < deadline else {
      return ResultClass(extendedCode: code).isTransient ? .giveUp : .notPassing
    }
    defer { pause = min(pause * 2, .milliseconds(50)) }
    return .tryAgain(after: pause)
  }
}
