// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// What the host keeps of a session's worker, durably: the one row of `worker` in `inbound.db`.
///
/// Whether the worker is wanted is beside it and not in it, since other processes set that.
public struct WorkerRecord: Hashable, Sendable {
  /// What the worker was last known to be.
  public enum State: String, Hashable, Sendable, CaseIterable {
    /// There is none.
    case stopped
    /// One is being started.
    case starting
    /// One runs.
    case running
    /// One has been told to end.
    case stopping
    /// It ended and is started again when the pause is over.
    case waiting
    /// It ended so often that it is tried only now and then.
    case broken
  }

  /// Counts the workers of this session; each has a number of its own.
  public var incarnation: Int64 = 0
  /// What it is.
  public var state = State.stopped
  /// `process`, or the name of a container command line.
  public var runtime = "process"
  /// The process that was started, known beyond its number.
  public var process: ProcessStamp?
  /// The container's name.
  public var container: String?
  /// When it was started, in milliseconds since 1970.
  public var startedAt: Int64?
  /// Ends in a row that were not wanted.
  public var restarts = 0
  /// When it is started again at the earliest, in milliseconds since 1970.
  public var nextStart: Int64?
  /// How it last ended, as in `exit 1` or `signal 9`.
  public var lastExit: String?
  /// Why it last ended, as in `stuck`.
  public var lastReason: String?

  /// The record of a session that never had a worker.
  public init() {}
}

/// What the supervisor needs of a session's mailbox. Every call may fail by itself; the session's supervision goes
/// on and tries again, and no other session notices (row E03).
public protocol WorkerBook: Sendable {
  /// Makes the mailbox where it is missing.
  func make() async throws
  /// Does something with the worker's file while nobody else in this process has it open: a descriptor of another's,
  /// closed, would take their locks along (row B01).
  func alone<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T
  /// Makes the worker's file what it is to be, before a worker starts: nobody writes it then.
  func prepare() async throws
  /// What was last saved; nil when nothing was.
  func worker() async throws -> WorkerRecord?
  /// Keeps it. Whether the worker is wanted stays as it is.
  func save(_ record: WorkerRecord) async throws
  /// Whether the worker is wanted; true when nobody ever said otherwise.
  func isWanted() async throws -> Bool
  /// Keeps whether the worker is wanted, for this and every later host.
  func want(_ isWanted: Bool) async throws
  /// The claims that are held.
  func claims() async throws -> [WorkerClaim]
  /// How many messages are due that wake a worker.
  func dueCount() async throws -> Int
  /// A number that changes whenever the worker finishes or sends something.
  func progress() async throws -> Int64
  /// Brings everything the worker wrote to where the host acts on it: acknowledgements and outbound messages
  /// (row E07).
  func drain() async throws
  /// Signs that something in the mailbox may have changed, for looking at once; it may be silent.
  func changes() async -> AsyncStream<Void>
  /// Gives the messages that workers up to this incarnation hold back to the queue.
  /// - Returns: how many.
  @discardableResult func releaseClaims(through incarnation: Int64) async throws -> Int
}

extension WorkerBook {
  /// Silent.
  public func changes() async -> AsyncStream<Void> { AsyncStream { $0.finish() } }
}
