// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastSessions
import HoldfastUsage
import Logging
import NIOCore

/// Turns exchanges into messages of their sessions, one after the other, behind the requests' backs.
///
/// New messages go through the spool, so a locked database holds nobody up. What a session already has is kept in
/// memory for the sessions used last and read from the store for the others; while it cannot be read, that session's
/// exchanges wait, within the bound of memory. What is lost on the way, by a bound or a kill, is new again with the
/// client's next request, which tells the whole history.
actor SessionCapture {
  /// Bytes of one exchange, and of all that wait or run.
  static let mostOfOne = 32 << 20
  static let mostHeld = 64 << 20
  /// Sessions whose transcripts are known in memory.
  private static let mostKnown = 256

  private struct Known {
    var transcript: KnownTranscript
    /// Whether the store was told what is known of the session.
    var isDescribed = false
    var lastUse: UInt64 = 0
  }

  nonisolated let counts: CaptureCounts
  nonisolated let plan: CapturePlan
  private let store: @Sendable () async throws -> any SessionStore
  private let rates: @Sendable () -> RateCardTable
  private let logger: Logger
  private nonisolated let queue: AsyncStream<CapturedExchange>
  private nonisolated let input: AsyncStream<CapturedExchange>.Continuation
  private var worker: Task<Void, Never>?
  private var retry: Task<Void, Never>?
  private var known: [String: Known] = [:]
  private var uses: UInt64 = 0
  /// Exchanges of sessions that cannot be read now, in their order.
  private var waiting: [String: [CapturedExchange]] = [:]

  /// - Parameter store: the store, or why it cannot be used now.
  init(
    plan: CapturePlan, rates: @escaping @Sendable () -> RateCardTable, logger: Logger,
    mostHeld: Int = SessionCapture.mostHeld,
    store: @escaping @Sendable () async throws -> any SessionStore
  ) {
    (self.plan, self.rates, self.logger, self.store) = (plan, rates, logger, store)
    counts = CaptureCounts(limit: mostHeld)
    (queue, input) = AsyncStream.makeStream()
  }

  /// The tap of a request that is to be captured; the given one where it is not.
  nonisolated func tap(_ usage: UsageTap, _ head: RequestHead, _ route: RouteTable.Route) -> any ExchangeTap {
    switch route.kind {
    case .anthropicMessages, .openAIChat: break
    // A compaction's answer is sealed.
    case .openAIResponses where !head.targetText.prefix(while: { $0 != "?" }).hasSuffix("/compact"): break
    default: return usage
    }
    let fields = head.fields
    let origin = RequestOrigin(
      headers: fields.fields.lazy.map { (name: fields.name($0), value: fields.value($0)) })
    guard plan.captures(origin.source), let session = Self.session(of: origin) else { return usage }
    return CaptureTap(usage: usage, head, kind: route.kind, session: session, capture: self)
  }

  /// A sub-agent's requests are a session of their own, as imports have it.
  nonisolated static func session(of origin: RequestOrigin) -> String? {
    guard let session = origin.session, !session.isEmpty else { return nil }
    let id = origin.agent.map { subagent($0, of: session) } ?? session
    return id.unicodeScalars.count <= 256 ? id : nil
  }

  private static func subagent(_ agent: String, of session: String) -> String { "\(session)/agent-\(agent)" }

  /// Takes an exchange at memory speed; called on event loops.
  nonisolated func take(_ exchange: CapturedExchange) {
    counts.noteWaiting(1)
    if case .terminated = input.yield(exchange) { skip(exchange, .stopped) }
  }

  private nonisolated func skip(_ exchange: CapturedExchange, _ reason: CaptureCounts.Reason) {
    counts.noteSkip(reason, "The daemon was stopped while requests waited to be captured.")
    letGo(exchange)
  }

  private nonisolated func letGo(_ exchange: CapturedExchange) {
    counts.release(exchange.size)
    counts.noteWaiting(-1)
  }

  /// Begins to work off what is taken.
  func start() {
    guard worker == nil else { return }
    worker = Task(priority: .utility) { [weak self, queue] in
      for await exchange in queue { await self?.process(exchange) }
    }
  }

  /// Works off what was taken, as far as that goes in a moment, and takes no more.
  func finish(within: Duration) async {
    input.finish()
    try? await Deadline.wait(within, for: "what was taken was not captured") { [worker] in
      await worker?.value
    }
    worker?.cancel()
    retry?.cancel()
    await retryWaiting()
    let left = waiting.values.flatMap(\.self)
    waiting = [:]
    for exchange in left { skip(exchange, .stopped) }
    let all = counts.snapshot
    // What the worker had not come to is still counted as waiting.
    if all.waiting > 0 || !all.skipped.isEmpty {
      let reasons = all.skipped.map { "\($0.key.rawValue): \($0.value)" }.sorted().joined(separator: ", ")
      logger.warning(
        "not everything was captured", metadata: ["skipped": "\(reasons)", "waiting": "\(all.waiting)"])
    }
  }

  private func process(_ exchange: CapturedExchange) async {
    if waiting[exchange.session] != nil {
      waiting[exchange.session]?.append(exchange)
    } else if await capture(exchange) {
      letGo(exchange)
    } else {
      waiting[exchange.session] = [exchange]
      if retry == nil { retry = Task { await keepRetrying() } }
    }
  }

  private func keepRetrying() async {
    while !waiting.isEmpty, !Task.isCancelled {
      try? await Task.sleep(for: .seconds(1))
      await retryWaiting()
    }
    retry = nil
  }

  private func retryWaiting() async {
    for session in waiting.keys.sorted() {
      while let exchange = waiting[session]?.first {
        guard await capture(exchange) else { return }
        letGo(exchange)
        waiting[session]?.removeFirst()
        if waiting[session]?.isEmpty == true { waiting[session] = nil }
      }
    }
  }

  /// - Returns: false when its session cannot be read now; it is tried again then.
  private func capture(_ exchange: CapturedExchange) async -> Bool {
    guard let (turn, model) = read(exchange) else { return true }
    do {
      let store = try await store()
      var known: Known
      if let found = self.known[exchange.session] {
        known = found
      } else {
        known = Known(transcript: try await Self.transcript(of: exchange.session, in: store))
      }
      var plan = known.transcript.plan(turn)
      if !plan.isContinuation, let fresh = try? await Self.transcript(of: exchange.session, in: store) {
        // Others may have written to the session, too.
        known.transcript = fresh
        plan = fresh.plan(turn)
      }
      remember(exchange.session, append(plan, to: &known, exchange, model: model, in: store))
    } catch {
      logger.debug(
        "a session cannot be read; its requests wait to be captured", metadata: ["reason": "\(error)"])
      return false
    }
    return true
  }

  private func append(
    _ plan: KnownTranscript.Plan, to known: inout Known, _ exchange: CapturedExchange, model: String?,
    in store: any SessionStore
  ) -> Known {
    var count = 0
    for addition in plan.additions {
      let new = known.isDescribed ? nil : description(exchange, model: model, plan)
      do {
        try store.accept(addition.message, for: exchange.session, making: new)
      } catch {
        counts.noteSkip(.spoolRefused, "\(error)")
        break
      }
      known.isDescribed = true
      known.transcript.note(addition)
      count += 1
    }
    counts.noteTurn(messages: count, edits: plan.edits)
    return known
  }

  private func remember(_ session: String, _ entry: Known) {
    uses += 1
    var entry = entry
    entry.lastUse = uses
    known[session] = entry
    if known.count > Self.mostKnown, let oldest = known.min(by: { $0.value.lastUse < $1.value.lastUse }) {
      known[oldest.key] = nil
    }
  }

  /// What a session has, those messages included that still wait in the spool.
  private static func transcript(
    of session: String, in store: any SessionStore
  ) async throws -> KnownTranscript {
    try await Deadline.wait(.seconds(5), for: "the session was not read") {
      try await read(session, in: store)
    }
  }

  private static func read(_ session: String, in store: any SessionStore) async throws -> KnownTranscript {
    if await store.status().depth > 0 { try await store.flush(within: .seconds(2)) }
    var transcript = KnownTranscript()
    // By their sequence: in the order they were appended, whatever stands between them now.
    var messages: [MessageRecord] = []
    var page = TranscriptPage(limit: 1000, states: Set(MessageState.allCases))
    do {
      while true {
        let piece = try await store.page(of: session, page)
        // The beginning of another's id is nobody's.
        guard piece.session.id == session else { return transcript }
        messages += piece.messages.filter { !$0.synthetic }
        guard let next = piece.next else { break }
        page.place = .after(next)
      }
    } catch let error as SessionError where error.code == .notFound || error.code == .ambiguous {
      return transcript
    }
    for record in messages.sorted(by: { $0.seq < $1.seq }) { transcript.note(record.message) }
    return transcript
  }

  // MARK: - Reading

  private func read(_ exchange: CapturedExchange) -> (ConversationTurn, model: String?)? {
    guard let body = Self.decoded(exchange.request, exchange.requestCoding),
      let value = JSONValue(wire: body), let request = WireConversation.request(value, exchange.kind)
    else {
      counts.noteSkip(.unreadable, "A request of \(exchange.kind.rawValue) could not be read.")
      return nil
    }
    var turn = ConversationTurn(history: request.messages, continues: request.continues)
    guard exchange.responseCoding != .unsupported else {
      counts.noteSkip(.compressed, "An answer was compressed in a way Holdfast cannot read.")
      return (turn, request.model)
    }
    guard let bytes = Self.decoded(exchange.response, exchange.responseCoding),
      let answer = exchange.isStream
        ? WireAnswer.stream(bytes, exchange.kind) : WireAnswer.body(bytes, exchange.kind)
    else {
      // Cut before it said anything, it is no answer.
      if exchange.isComplete { counts.noteSkip(.unreadable, "An answer could not be read.") }
      return (turn, request.model)
    }
    turn.answerID = answer.id
    turn.answers = answer.messages.map { message in
      var message = message
      message.model = message.model ?? exchange.row.model
      return message
    }
    let isWhole = answer.isWhole && exchange.isComplete
    if let last = turn.answers.indices.last {
      if !isWhole { turn.answers[last].finishReason = KnownTranscript.cutReason }
      price(&turn.answers[last], exchange.row)
    }
    return (turn, request.model)
  }

  /// The answer bears what its request cost.
  private func price(_ message: inout NewMessage, _ row: UsageRow) {
    var row = row
    if row.costMicrodollars == nil { rates().price(&row) }
    (message.inputTokens, message.cacheReadTokens) = (row.inputTokens, row.cacheReadTokens)
    if row.cacheWrite5mTokens != nil || row.cacheWrite1hTokens != nil {
      message.cacheWriteTokens = (row.cacheWrite5mTokens ?? 0) + (row.cacheWrite1hTokens ?? 0)
    }
    (message.outputTokens, message.costMicrodollars) = (row.outputTokens, row.costMicrodollars)
  }

  private static func decoded(_ bytes: [UInt8], _ coding: ContentDecoder.Coding) -> [UInt8]? {
    guard coding != .identity else { return bytes }
    var out: [UInt8] = []
    let decoder = ContentDecoder(coding)
    decoder.decode(ByteBuffer(bytes: bytes)) { piece in
      for index in 0..<piece.count { out.append(piece[index]) }
    }
    return decoder.isIntact ? out : nil
  }

  private func description(
    _ exchange: CapturedExchange, model: String?, _ plan: KnownTranscript.Plan
  ) -> NewSession {
    var new = NewSession(id: exchange.session)
    (new.source, new.model) = (exchange.row.source, model)
    if let project = exchange.row.project { new.metadata = .object(["project": .string(project)]) }
    if let session = exchange.row.session, let agent = exchange.row.agent {
      let above = exchange.row.parentAgent.flatMap { $0 == agent ? nil : $0 }
      new.parent = above.map { Self.subagent($0, of: session) } ?? session
      new.edge = .subagent
    }
    if let title = plan.additions.lazy.compactMap({ CapturedTitle.title(of: $0.message) }).first {
      (new.title, new.titleFrom) = (title, .derived)
    }
    return new
  }
}

/// What a session is called until somebody calls it otherwise.
enum CapturedTitle {
  /// The first line a person wrote, cut; nil when the message has none.
  static func title(of message: NewMessage) -> String? {
    guard message.role == "user" else { return nil }
    let texts: [String] =
      switch message.content {
      case .text(let text): [text]
      case .json(.array(let parts)): parts.compactMap { $0["text"]?.text }
      case .json: []
      }
    for text in texts {
      // Programs put their own notes between tags before what was asked.
      let plain = text.trimmingPrefix(/\s+/)
      guard !plain.isEmpty, !plain.hasPrefix("<") else { continue }
      var title = ""
      for scalar in plain.unicodeScalars {
        if scalar == "\n" || scalar == "\r" || title.unicodeScalars.count == 100 { break }
        if scalar.value >= 0x20 { title.unicodeScalars.append(scalar) }
      }
      if !title.isEmpty { return title }
    }
    return nil
  }
}
