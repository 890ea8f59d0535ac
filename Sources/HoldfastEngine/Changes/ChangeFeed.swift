// SPDX-License-Identifier: Apache-2.0

import GRDB

/// A sign that one commit or more became visible in a state file, made by any process.
public struct StateFileChange: Hashable, Sendable {
  /// SQLite's `data_version` as the feed's connection has it, or the counter in the file's header: different after every change, and nothing else.
  public var version: Int
}

/// Watches one file for commits and tells those who asked.
///
/// The kernel says that the -wal or the journal was written, which is before the commit becomes visible: the
/// WAL's index is updated after the sync. So the version is read until it moves, in growing steps and not
/// for longer than ``settling``; our own writers also mark the lane's file after a commit, which ends the
/// wait at once. While nobody writes, the thread sleeps.
final class ChangeFeed: Sendable {
  /// How long after the last sign of writing the version is still looked at.
  private static let settling = Duration.seconds(2)

  private struct State {
    var listeners: [Int: AsyncStream<StateFileChange>.Continuation] = [:]
    var nextID = 0
    var signs = 0
    var isRunning = false
    var isClosed = false
    var reopen = false
  }

  private let path: String
  private let configuration: StateFileConfiguration
  /// Whether each look has a connection of its own. On a filesystem that is not coherent the kernel tells nothing
  /// of what other machines write, and a connection that stays open may not see it (row C14).
  private let looksAfresh: Bool
  private let monitor = Monitor(State())

  init(path: String, configuration: StateFileConfiguration, looksAfresh: Bool) {
    self.path = path
    self.looksAfresh = looksAfresh
    self.configuration = configuration
  }

  /// Every change from now on; a slow listener gets the newest only. Blocks for the first listener, until
  /// the version everything is compared with was read: a commit made by the caller's next line must count.
  func listen() -> AsyncStream<StateFileChange> {
    let (stream, continuation) = AsyncStream.makeStream(
      of: StateFileChange.self, bufferingPolicy: .bufferingNewest(1))
    let ready = Monitor(false)
    let start: Bool? = monitor.withLock { state in
      guard !state.isClosed else { return nil }
      let id = state.nextID
      state.nextID += 1
      state.listeners[id] = continuation
      continuation.onTermination = { [weak self] _ in self?.drop(id) }
      defer { state.isRunning = true }
      return !state.isRunning
    }
    switch start {
    case nil: continuation.finish()
    case true?:
      BlockingThread.start(named: "hf-changes") {
        self.run {
          ready.withLock { $0 = true }
          ready.signal()
        }
      }
      ready.wait { $0 ? () : nil }
    case false?: break
    }
    return stream
  }

  /// Has the connection replaced: the path stands for other files now, which is a change too.
  func reopen() {
    monitor.withLock { $0.reopen = true }
    monitor.signal()
  }

  /// Ends every listener's stream and the thread. Blocks until the thread's connection is closed.
  func close() {
    let listeners = monitor.withLock { state in
      state.isClosed = true
      return Array(state.listeners.values)
    }
    for listener in listeners { listener.finish() }
    monitor.signal()
    monitor.wait { $0.isRunning ? nil : () }
  }

  private func drop(_ id: Int) {
    monitor.withLock { $0.listeners[id] = nil }
    monitor.signal()
  }

  private func run(_ ready: () -> Void) {
    let directory = String(path.dropLast(path.fileName.count))
    let name = path.fileName
    let token = DirectoryWatch.content.subscribe(
      directory: directory, names: [name, name + "-wal", name + "-journal", name + "-lane"]
    ) { [weak self] in
      self?.monitor.withLock { $0.signs += 1 }
      self?.monitor.signal()
    }
    defer { if let token { DirectoryWatch.content.cancel(token) } }

    let patience = BusyPatience()
    var connection: DatabaseQueue?
    var version = look(&connection, patience)
    ready()
    var seen = 0
    var settledAt = ContinuousClock.now
    var pause = Duration.microseconds(200)
    while true {
      let now = ContinuousClock.now
      // Without a watch the file is looked at four times a second for as long as somebody listens.
      let next =
        token == nil || looksAfresh
        ? now + .milliseconds(250) : now < settledAt ? now + pause : now + .seconds(3600)
      let event: Wake? = monitor.wait(until: next) { state in
        if state.isClosed || state.listeners.isEmpty { return .stop }
        if state.reopen {
          state.reopen = false
          return .reopen
        }
        guard state.signs != seen else { return nil }
        seen = state.signs
        return .signs
      }
      switch event {
      case .stop:
        try? connection?.close()
        connection = nil
        let ended = monitor.withLock { state in
          // Somebody may have begun to listen since.
          if state.isClosed || state.listeners.isEmpty { state.isRunning = false }
          return !state.isRunning
        }
        if ended {
          monitor.signal()
          return
        }
      case .reopen:
        try? connection?.close()
        connection = nil
        version = nil
      case .signs:
        settledAt = .now + Self.settling
        pause = .microseconds(200)
      case nil:
        pause = min(pause * 2, .milliseconds(100))
      }
      let found = look(&connection, patience)
      if let found, found != version {
        version = found
        for listener in monitor.withLock({ Array($0.listeners.values) }) {
          listener.yield(StateFileChange(version: found))
        }
      }
    }
  }

  private enum Wake { case stop, signs, reopen }

  private func look(_ connection: inout DatabaseQueue?, _ patience: BusyPatience) -> Int? {
    patience.wait(until: .now + .milliseconds(100))
    do {
      let queue =
        try connection ?? Connection.open(path, as: .reader, configuration: configuration, patience: patience)
      if looksAfresh {
        // Every connection counts its own versions; the counter in the file is everybody's.
        defer { try? queue.close() }
        return try queue.read { try ChangeCounter.value(in: $0) }
      }
      connection = queue
      return try queue.inDatabase { try Int.fetchOne($0, sql: "PRAGMA data_version") }
    } catch {
      // The file may be opened or recovered by somebody just now: the next look tries again.
      return nil
    }
  }
}
