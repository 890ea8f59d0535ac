// SPDX-License-Identifier: Apache-2.0

public import Logging

/// What a worker is started with.
public struct WorkerLaunch: Hashable, Sendable {
  /// Whose worker it is.
  public var address: MailboxAddress
  /// The mailbox's directory, absolute.
  public var directory: String
  /// Its number.
  public var incarnation: Int64
  /// How often it is to touch its heartbeat file.
  public var heartbeatSeconds: Int

  /// Makes a launch.
  public init(address: MailboxAddress, directory: String, incarnation: Int64, heartbeatSeconds: Int) {
    self.address = address
    self.directory = directory
    self.incarnation = incarnation
    self.heartbeatSeconds = heartbeatSeconds
  }

  /// What the worker finds in its environment.
  ///
  /// - Parameter mailbox: where the directory is for the worker, whose filesystem may be another.
  func environment(mailbox: String) -> [String: String] {
    [
      "HOLDFAST_MAILBOX": mailbox,
      "HOLDFAST_INCARNATION": String(incarnation),
      "HOLDFAST_AGENT": address.agent,
      "HOLDFAST_SESSION": address.session,
      "HOLDFAST_HEARTBEAT_SECONDS": String(heartbeatSeconds),
    ]
  }
}

/// How workers are run.
public protocol WorkerRuntime: Sendable {
  /// What the record calls it.
  var name: String { get }
  /// Starts a worker.
  ///
  /// - Throws: what kept it from starting; then nothing of it lives.
  func start(_ launch: WorkerLaunch, lock: WorkerLock, logger: Logger) async throws -> any RunningWorker
  /// The worker that an earlier host started, if it or anything it started may still live.
  func orphan(
    of record: WorkerRecord, address: MailboxAddress, lock: WorkerLock, logger: Logger
  ) async throws -> (any RunningWorker)?
}

/// A worker that may live.
public protocol RunningWorker: Sendable {
  /// What it is known by.
  var identity: WorkerIdentity { get }
  /// Asks it and all it started to end (SIGTERM). Nothing happens when they have.
  func terminate() async throws
  /// Ends it and all it started (SIGKILL). Nothing happens when they have.
  func kill() async throws
  /// Waits until it and all it started are gone.
  func end() async -> WorkerExit
}

/// Why a worker could not be started, in one sentence.
public struct WorkerRuntimeError: Error, Sendable, CustomStringConvertible {
  /// The sentence.
  public var message: String

  /// Makes an error.
  public init(_ message: String) { self.message = message }

  /// The sentence.
  public var description: String { message }
}
