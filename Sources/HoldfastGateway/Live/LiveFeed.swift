// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage
import NIOCore

/// Tells subscribers of `/api/events` what goes on, as server-sent events.
///
/// The data path wakes nobody. While anyone listens, one task looks four times a second, and what has changed since
/// its last look is written once and handed to all: many changes of a request between two looks are one event.
/// Each subscriber has a short queue of such batches; who does not read it is let go, and asks anew.
final class LiveFeed: Sendable {
  static let period = Duration.milliseconds(250)
  static let maximumSubscribers = 32
  /// Batches a subscriber may be behind.
  static let maximumBatches = 16
  /// Requests told of in one batch.
  static let maximumOfBatch = 200
  /// Looks between two comments that keep a silent connection alive and find out dead ones: fifteen seconds.
  static let looksPerBeat = 60
  /// Looks between two questions about the daemon's own state: two seconds.
  static let looksPerStatus = 8

  /// One that listens, for as long as it is kept.
  final class Subscription: Sendable {
    let batches: AsyncStream<ByteBuffer>
    private let id: Int
    private let feed: LiveFeed

    fileprivate init(id: Int, batches: AsyncStream<ByteBuffer>, feed: LiveFeed) {
      (self.id, self.batches, self.feed) = (id, batches, feed)
    }

    deinit { feed.leave(id) }
  }

  /// Why nobody else can listen.
  enum Refusal: Error {
    case full
    case stopping
  }

  struct Counts: Sendable, Equatable {
    var subscribers = 0
    /// Subscribers that were let go because they did not read.
    var dropped: UInt64 = 0
  }

  private struct State {
    var subscribers: [Int: AsyncStream<ByteBuffer>.Continuation] = [:]
    var nextID = 0
    var dropped: UInt64 = 0
    var isStopped = false
    var isLooking = false
    var isListening = false
    var told: [UInt64: Told] = [:]
    var toldEnded: UInt64 = 0
    var looks = 0
    var hasUsage = false
    var budgets: [String] = []
    var status: String?
    var toldStatus: String?
  }

  /// What was last told of a request.
  private struct Told: Equatable {
    var progress: LiveRequest.Progress
    var model: String?
    var provider: String
  }

  private let requests: LiveRequests
  private let origin: String
  private let price: @Sendable (inout UsageRow) -> Void
  private let changes: (any UsageChangeSource)?
  private let status: (@Sendable () async -> LiveStatus)?
  private let looksByItself: Bool
  private let state = Monitor(State())

  /// - Parameters:
  ///   - origin: stands before every request's number, so that two daemons' requests are never one.
  ///   - looksByItself: false for tests, which call ``look()``.
  ///   - status: how the daemon is; asked every two seconds while anyone listens.
  ///   - changes: hears of rows that have landed.
  ///   - price: what a row costs; called when somebody looks, never on the data path.
  init(
    _ requests: LiveRequests, origin: String, looksByItself: Bool = true,
    changes: (any UsageChangeSource)? = nil, status: (@Sendable () async -> LiveStatus)? = nil,
    price: @escaping @Sendable (inout UsageRow) -> Void = { _ in }
  ) {
    self.requests = requests
    self.origin = origin
    self.looksByItself = looksByItself
    self.changes = changes
    self.status = status
    self.price = price
  }

  /// How many requests are in flight.
  var running: Int { requests.count }

  var counts: Counts {
    state.withLock { Counts(subscribers: $0.subscribers.count, dropped: $0.dropped) }
  }

  /// What goes on now, for those who ask once.
  func overview() -> LiveOverview {
    let view = requests.view()
    return LiveOverview(
      running: view.count,
      requests: view.running.suffix(Self.maximumOfBatch).reversed().map { LiveReport($0, origin: origin) },
      ended: view.ended.reversed().map(report))
  }

  // MARK: Subscribers

  /// Listens from now on; first comes everything in flight.
  func subscribe() throws(Refusal) -> Subscription {
    let (stream, continuation) = AsyncStream.makeStream(
      of: ByteBuffer.self, bufferingPolicy: .bufferingOldest(Self.maximumBatches))
    let (id, status) = try state.withLock { (state) throws(Refusal) -> (Int, String?) in
      if state.isStopped { throw .stopping }
      if state.subscribers.count >= Self.maximumSubscribers { throw .full }
      if state.subscribers.isEmpty {
        // What happened while nobody listened is not told.
        state.told = [:]
        state.toldEnded = requests.view(endedAfter: .max).endedCount
        state.hasUsage = false
        state.budgets = []
        state.status = nil
        state.toldStatus = nil
      }
      let id = state.nextID
      state.nextID += 1
      state.subscribers[id] = continuation
      return (id, state.toldStatus)
    }
    var events = EventWriter()
    events.retry(milliseconds: 1000)
    if let status { events.event("status", text: status) }
    for running in requests.view(endedAfter: .max).running.suffix(Self.maximumOfBatch) {
      events.event("request", LiveReport(running, origin: origin))
    }
    continuation.yield(events.bytes)
    startLooking()
    return Subscription(id: id, batches: stream, feed: self)
  }

  private func leave(_ id: Int) { state.withLock { _ = $0.subscribers.removeValue(forKey: id) } }

  /// Ends every subscription and takes no more: what is still queued is sent.
  func stop() {
    let all = state.withLock { state in
      state.isStopped = true
      defer { state.subscribers = [:] }
      return Array(state.subscribers.values)
    }
    for one in all { one.finish() }
  }

  // MARK: News

  /// How the daemon is: told with the next look, when it is news.
  func note(_ status: LiveStatus) {
    guard let text = try? JSONLine.text(status) else { return }
    state.withLock { $0.status = text }
  }

  /// Rows have landed: told with the next look.
  func noteUsage() { state.withLock { $0.hasUsage = true } }

  /// A budget's state has changed.
  ///
  /// - Parameter json: the budget as `/api/budgets` tells it, on one line.
  func noteBudget(_ json: String) {
    state.withLock { state in
      guard !state.subscribers.isEmpty, state.budgets.count < Self.maximumOfBatch else { return }
      state.budgets.append(json)
    }
  }

  /// Tells all who listen what has changed since the last look.
  func look() {
    let news = state.withLock { state in
      state.looks += 1
      let isBeat = state.looks % Self.looksPerBeat == 0
      defer {
        state.hasUsage = false
        state.budgets = []
      }
      let status = state.status == state.toldStatus ? nil : state.status
      state.toldStatus = state.status
      return (state.toldEnded, state.told, state.hasUsage, state.budgets, status, isBeat)
    }
    let (toldEnded, told, hasUsage, budgets, status, isBeat) = news
    let view = requests.view(endedAfter: toldEnded)
    var events = EventWriter()
    var now: [UInt64: Told] = [:]
    for running in view.running.suffix(Self.maximumOfBatch) {
      let mark = Told(
        progress: running.request.progress, model: running.facts.model, provider: running.facts.provider)
      if told[running.request.number] != mark {
        events.event("request", LiveReport(running, origin: origin))
      }
      now[running.request.number] = mark
    }
    for ended in view.ended { events.event("request", report(ended)) }
    if hasUsage { events.event("usage", text: "{}") }
    if let status { events.event("status", text: status) }
    for budget in budgets { events.event("budget", text: budget) }
    if isBeat { events.comment() }

    let batch = events.bytes
    let slow = state.withLock { state in
      (state.told, state.toldEnded) = (now, view.endedCount)
      guard batch.readableBytes > 0 else { return [AsyncStream<ByteBuffer>.Continuation]() }
      var slow: [AsyncStream<ByteBuffer>.Continuation] = []
      for (id, one) in state.subscribers {
        if case .dropped = one.yield(batch) {
          slow.append(one)
          state.subscribers[id] = nil
          state.dropped += 1
        }
      }
      return slow
    }
    for one in slow { one.finish() }
  }

  private func report(_ ended: LiveRequests.Ended) -> LiveReport {
    var ended = ended
    if ended.row.costMicrodollars == nil { price(&ended.row) }
    return LiveReport(ended, origin: origin)
  }

  // MARK: Looking

  private var isHeard: Bool { state.withLock { !$0.subscribers.isEmpty } }

  private func startLooking() {
    guard looksByItself else { return }
    let (looks, listens) = state.withLock { state in
      defer { (state.isLooking, state.isListening) = (true, true) }
      return (!state.isLooking, !state.isListening)
    }
    if looks { Task { await lookAgainAndAgain() } }
    if listens, let changes { Task { await listen(changes) } }
  }

  private func lookAgainAndAgain() async {
    var looks = 0
    repeat {
      if looks % Self.looksPerStatus == 0, let status { note(await status()) }
      looks += 1
      look()
      try? await Task.sleep(for: Self.period)
    } while state.withLock { state in
      // Settled in one step with the subscription that starts the next task.
      state.isLooking = !state.subscribers.isEmpty
      return state.isLooking
    }
  }

  /// Hears of commits for as long as anyone listens. A database that cannot be opened is asked for again.
  private func listen(_ source: any UsageChangeSource) async {
    repeat {
      if let stream = try? await source.changes() {
        // What landed before the first look counts, too.
        noteUsage()
        for await _ in stream {
          noteUsage()
          if !isHeard { break }
        }
      }
      if isHeard { try? await Task.sleep(for: .seconds(1)) }
    } while state.withLock { state in
      state.isListening = !state.subscribers.isEmpty
      return state.isListening
    }
  }
}

/// Writes server-sent events (WHATWG HTML, 9.2.5).
private struct EventWriter {
  private(set) var bytes = ByteBuffer()

  mutating func retry(milliseconds: Int) { bytes.writeString("retry: \(milliseconds)\n\n") }

  /// JSON on one line holds no line ending, so it is one data field.
  mutating func event(_ name: String, text: String) {
    bytes.writeString("event: \(name)\ndata: \(text)\n\n")
  }

  mutating func event(_ name: String, _ value: some Encodable) {
    if let text = try? JSONLine.text(value) { event(name, text: text) }
  }

  mutating func comment() { bytes.writeStaticString(": still here\n\n") }
}
