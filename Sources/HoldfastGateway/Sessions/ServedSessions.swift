// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
public import HoldfastSessions
public import HoldfastUsage
public import Logging
public import ServiceLifecycle

/// The sessions of a daemon's home: the store, its search and the indexing in the background, and what the gateway
/// captures.
///
/// A lock, a full disk or a failed start disables none of it for good: it goes on trying, and ``status()`` says so
/// meanwhile. No request waits for it.
public actor ServedSessions: Service {
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
    /// What was captured; nil when nothing is to be.
    var capture: CaptureCounts.Snapshot?

    /// A status of which nothing is known.
    public init() {}
  }

  /// Captures requests and their answers; nil when nobody asked for it.
  nonisolated let capture: SessionCapture?
  private nonisolated let opened: OpenedSessions
  private let open: @Sendable () async throws -> OpenedSessions.Stores
  private let logger: Logger
  private var keeper: Task<Void, Never>?
  private var asking: Task<Int64?, any Error>?

  /// The longest an answer waits for the store.
  private static let patience = Duration.seconds(5)
  /// The longest a status waits for the index.
  private static let glance = Duration.seconds(1)

  /// The sessions of `home`; nothing is opened yet.
  ///
  /// - Parameters:
  ///   - home: the home directory.
  ///   - capture: whose conversations are kept as sessions; nil for nobody's.
  ///   - rates: the prices of what is captured, as they are when they are asked for.
  public init(
    home: String, capture: CapturePlan? = nil,
    rates: @escaping @Sendable () -> RateCardTable = { .builtIn }, logger: Logger
  ) {
    self.init(capture: capture, rates: rates, logger: logger) {
      let store = try await SQLiteSessionStore.open(home: home)
      return OpenedSessions.Stores(store: store, search: store.makeSearch())
    }
  }

  init(
    capture plan: CapturePlan? = nil, rates: @escaping @Sendable () -> RateCardTable = { .builtIn },
    logger: Logger,
    open: @escaping @Sendable () async throws -> OpenedSessions.Stores
  ) {
    let opened = OpenedSessions()
    (self.opened, self.open, self.logger) = (opened, open, logger)
    capture = plan.map { plan in
      SessionCapture(plan: plan, rates: rates, logger: logger) { try opened.stores().store }
    }
  }

  /// Opens the store, indexes and captures until told to stop, then lands what waits and lets go of the files.
  public func run() async throws {
    start()
    // Also over when the group is cancelled, after another service has failed.
    try? await gracefulShutdown()
    await close()
  }

  /// Begins to open the store, and tries again for as long as it takes; returns at once.
  func start() {
    guard keeper == nil else { return }
    keeper = Task {
      await capture?.start()
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
      guard opened.note(found) else {
        await Self.close(found)
        return true
      }
      await found.search.startIndexing()
      return true
    } catch {
      let fault = error as? StoreError ?? StoreError(.cannotOpen, "\(error)", underlying: error)
      if opened.note(fault) {
        logger.warning("the sessions cannot be opened; trying again", metadata: ["reason": "\(fault)"])
      }
      return false
    }
  }

  /// Asks the store or its search, for a bounded time.
  ///
  /// - Throws: what `body` throws; `StoreError` when the store is not open or the time is over.
  nonisolated func ask<Value: Sendable>(
    _ body: @escaping @Sendable (OpenedSessions.Stores) async throws -> Value
  ) async throws -> Value {
    let stores = try opened.stores()
    do {
      return try await Deadline.wait(Self.patience, for: "the session store did not answer") {
        try await body(stores)
      }
    } catch let error as StoreError where error.code == .deadline {
      // While the file cannot be opened, that is the reason.
      let status = await stores.store.status()
      if let fault = status.fault { throw fault }
      var told = error
      if told.holders.isEmpty { told.holders = status.holders }
      throw told
    }
  }

  /// How things are.
  public func status() async -> Status {
    var status = Status()
    status.fault = opened.fault?.description
    status.capture = capture?.counts.snapshot
    guard let stores = try? opened.stores() else { return status }
    status.store = await stores.store.status()
    status.isIndexer = await stores.search.isIndexer
    let running =
      asking
      ?? Task {
        defer { asking = nil }
        return try await stores.search.lag()
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

  /// Captures what was relayed, lands what it can and lets go of the files.
  func close() async {
    keeper?.cancel()
    await capture?.finish(within: .seconds(5))
    guard let stores = opened.close() else { return }
    await Self.close(stores)
    let status = await stores.store.status()
    if status.depth > 0 {
      logger.warning(
        "messages wait in the spool; they land when the home is next served",
        metadata: [
          "messages": "\(status.depth)",
          "reason": "\(status.fault.map(String.init(describing:)) ?? "none")",
        ])
    }
  }

  private static func close(_ stores: OpenedSessions.Stores) async {
    // Indexing may be waiting for a lock; it ends with the process.
    try? await Deadline.wait(.seconds(3), for: "the search did not end") { await stores.search.close() }
    await stores.store.close()
  }
}
