// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
public import HoldfastSessions
public import Logging
public import ServiceLifecycle

/// The sessions of a daemon's home: the store, its search, and the indexing in the background.
///
/// A lock, a full disk or a failed start disables none of it for good: it goes on trying, and ``status()`` says so
/// meanwhile. Nothing of the daemon waits for it.
public actor ServedSessions: Service {
  /// What is open.
  struct Opened: Sendable {
    var store: any SessionStore
    var search: MessageSearch
  }

  /// How things are with the sessions, told without waiting for them for more than a moment.
  public struct Status: Sendable {
    /// The store; nil while it could not be opened.
    public var store: SessionStoreStatus?
    /// Why the store could not be opened, while that lasts.
    public var fault: String?
    /// Messages and changes the search index has not followed yet; nil while there is no index.
    public var lag: Int64?
    /// Why ``lag`` is not known, when something is in the way.
    public var searchFault: String?
    /// Whether this process is the one that indexes.
    public var isIndexer = false

    /// A status of which nothing is known.
    public init() {}
  }

  private let open: @Sendable () async throws -> Opened
  private let logger: Logger
  private var opened: Opened?
  private var fault: StoreError?
  private var keeper: Task<Void, Never>?
  private var asking: Task<Int64?, any Error>?
  private var isClosed = false

  /// The longest an answer waits for the store.
  static let patience = Duration.seconds(10)
  /// The longest a status waits for the index.
  private static let glance = Duration.seconds(1)

  /// The sessions of `home`; nothing is opened yet.
  public init(home: String, logger: Logger) {
    self.init(logger: logger) {
      let store = try await SQLiteSessionStore.open(home: home)
      return Opened(store: store, search: store.makeSearch())
    }
  }

  init(logger: Logger, open: @escaping @Sendable () async throws -> Opened) {
    (self.logger, self.open) = (logger, open)
  }

  /// Opens the store, indexes until told to stop, then lands what waits and lets go of the files.
  public func run() async throws {
    start()
    // Also over when the group is cancelled, after another service has failed.
    try? await gracefulShutdown()
    await close()
  }

  /// Begins to open the store, and tries again for as long as it takes; returns at once.
  func start() {
    guard keeper == nil, !isClosed else { return }
    keeper = Task {
      var pause = Duration.milliseconds(100)
      while !Task.isCancelled {
        if await openOnce() { return }
        try? await Task.sleep(for: pause)
        pause = min(pause * 2, .seconds(5))
      }
    }
  }

  /// - Returns: whether there is nothing left to do.
  private func openOnce() async -> Bool {
    do {
      let found = try await open()
      guard !isClosed else {
        await Self.close(found)
        return true
      }
      (opened, fault) = (found, nil)
      await found.search.startIndexing()
      return true
    } catch {
      let new = error as? StoreError ?? StoreError(.cannotOpen, "\(error)", underlying: error)
      if fault?.message != new.message {
        logger.warning("the sessions cannot be opened; trying again", metadata: ["reason": "\(new)"])
      }
      fault = new
      return false
    }
  }

  /// Asks the store or its search, for ``patience`` at most.
  ///
  /// - Throws: what `body` throws; `StoreError` when the store is not open or the time is over.
  func ask<Value: Sendable>(
    _ body: @escaping @Sendable (Opened) async throws -> Value
  ) async throws -> Value {
    guard let opened else {
      throw fault
        ?? StoreError(
          isClosed ? .closed : .cannotOpen, "The sessions are \(isClosed ? "closed" : "being opened").")
    }
    do {
      return try await Deadline.wait(Self.patience, for: "the session store did not answer") {
        try await body(opened)
      }
    } catch let error as StoreError where error.code == .deadline {
      // While the file cannot be opened, that is the reason.
      throw await opened.store.status().fault ?? error
    }
  }

  /// How things are.
  public func status() async -> Status {
    var status = Status()
    status.fault = fault?.description
    guard let opened else { return status }
    status.store = await opened.store.status()
    status.isIndexer = await opened.search.isIndexer
    let running =
      asking
      ?? Task {
        defer { asking = nil }
        return try await opened.search.lag()
      }
    asking = running
    do {
      status.lag = try await Deadline.wait(Self.glance, for: "the search index did not tell its lag") {
        try await running.value
      }
    } catch {
      status.searchFault = "\(error)"
    }
    return status
  }

  /// Lands what it can and lets go of the files.
  func close() async {
    isClosed = true
    keeper?.cancel()
    guard let opened else { return }
    self.opened = nil
    await Self.close(opened)
    let status = await opened.store.status()
    if status.depth > 0 {
      logger.warning(
        "messages wait in the spool; they land when the home is next served",
        metadata: [
          "messages": "\(status.depth)",
          "reason": "\(status.fault.map(String.init(describing:)) ?? "none")",
        ])
    }
  }

  private static func close(_ opened: Opened) async {
    // Indexing may be waiting for a lock; it ends with the process.
    try? await Deadline.wait(.seconds(3), for: "the search did not end") { await opened.search.close() }
    await opened.store.close()
  }
}
