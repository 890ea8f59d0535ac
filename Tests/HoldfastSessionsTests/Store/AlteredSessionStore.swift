// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastSessions

/// A session store that leaves everything to another and breaks one promise at most.
///
/// Made of nothing but what the protocol shows, so it also says that another module can make one.
struct AlteredSessionStore: SessionStore {
  private struct State {
    var accepted: [(message: NewMessage, session: String)] = []
    var reasons: [String: String] = [:]
    var stream: (any MessageStream)?
  }

  private let base: any SessionStore
  private let alteration: Alteration?
  private let state = Monitor(State())

  init(_ base: any SessionStore, _ alteration: Alteration?) {
    (self.base, self.alteration) = (base, alteration)
  }

  // MARK: Sessions

  func create(_ session: NewSession) async throws -> SessionAcknowledgement {
    var session = session
    switch alteration {
    case .refusedCreationStays:
      var alone = session
      (alone.parent, alone.edge) = (nil, nil)
      try await base.create(alone)
    case .lateParentIsIgnored:
      if let id = session.id, (try? await base.session(id)) != nil {
        (session.parent, session.edge) = (nil, nil)
      }
    default: break
    }
    var made = try await base.create(session)
    if alteration == .alwaysCreated { made.created = true }
    return made
  }

  func session(_ id: String) async throws -> SessionRecord {
    var session = try await base.session(id)
    if alteration == .costsStayBelow {
      (session.total, session.costMicrodollars) = (session.own, session.own.costMicrodollars)
    }
    if let reason = state.withLock({ $0.reasons[session.id] }) { session.endedReason = reason }
    return session
  }

  func list(_ filter: SessionFilter) async throws -> SessionList {
    var filter = filter
    if alteration == .fewIDs { filter.ids = filter.ids.map { Array($0.prefix(32_766)) } }
    var list = try await base.list(filter)
    if alteration == .piecesOfListsSkip, filter.after != nil { list.sessions.removeFirst() }
    return list
  }

  func tree(of id: String, limit: Int) async throws -> SessionTree {
    var tree = try await base.tree(of: id, limit: limit)
    if alteration == .treeIsNeverCut { tree.truncated = nil }
    return tree
  }

  func rename(_ id: String, to title: String, from: TitleSource) async throws -> String {
    try await base.rename(id, to: title, from: alteration == .modelOverrules ? .user : from)
  }

  func end(_ id: String, reason: String, failed: Bool) async throws {
    try await base.end(id, reason: reason, failed: failed)
    if alteration == .endsAgain { state.withLock { $0.reasons[id] = reason } }
  }

  func archive(_ id: String, _ isArchived: Bool) async throws { try await base.archive(id, isArchived) }

  func delete(_ id: String) async throws -> Int {
    if alteration == .deletionTakesForks {
      for child in try await base.list(SessionFilter()).sessions where child.edge == .fork {
        try await base.delete(child.id)
      }
    }
    return try await base.delete(id)
  }

  // MARK: Messages

  func append(_ messages: [NewMessage], to session: String) async throws -> [MessageAcknowledgement] {
    var messages = messages
    switch alteration {
    case .appendNeedsTheSession: _ = try await base.session(session)
    case .appendsOneByOne:
      var made: [MessageAcknowledgement] = []
      for message in messages { made.append(try await base.append(message, to: session)) }
      return made
    case .uidsAreIgnored: for index in messages.indices { messages[index].uid = nil }
    default: break
    }
    var made = try await base.append(messages, to: session)
    for index in made.indices {
      if alteration == .repairsInSilence { made[index].repaired = nil }
      if alteration == .toldPlacesRepeat { made[index].seq = (made[index].seq + 1) / 2 }
    }
    return made
  }

  func accept(
    _ message: NewMessage, for session: String, making new: NewSession?
  ) throws -> MessageAcknowledgement {
    switch alteration {
    case .acceptsTwice:
      var again = message
      again.uid = nil
      try base.accept(again, for: session, making: new)
    case .acceptsInMemory:
      state.withLock { $0.accepted.append((message, session)) }
      return MessageAcknowledgement(uid: message.uid ?? "", seq: 0)
    default: break
    }
    return try base.accept(message, for: session, making: new)
  }

  func flush(within: Duration?) async throws {
    let accepted = state.withLock { state in
      defer { state.accepted = [] }
      return state.accepted
    }
    for (message, session) in accepted { try await base.append(message, to: session) }
    try await base.flush(within: within)
  }

  func transcript(of id: String, states: Set<MessageState>) async throws -> SessionTranscript {
    var transcript = try await base.transcript(
      of: id, states: alteration == .undoneIsGone ? states.subtracting([.undone]) : states)
    if alteration == .ordersByTime {
      transcript.messages.sort { ($0.message.time ?? "") < ($1.message.time ?? "") }
    }
    return transcript
  }

  func page(of id: String, _ page: TranscriptPage) async throws -> SessionTranscript {
    var piece = try await base.page(of: id, page)
    if alteration == .piecesOfTranscriptsSkip, piece.previous != nil { piece.messages.removeFirst() }
    return piece
  }

  func resume(_ id: String) async throws -> SessionTranscript {
    alteration == .resumeKeepsNothing ? try await base.transcript(of: id) : try await base.resume(id)
  }

  func fork(_ id: String, upTo seq: Int64?, as new: NewSession) async throws -> SessionAcknowledgement {
    try await base.fork(id, upTo: alteration == .forkTakesAll ? nil : seq, as: new)
  }

  func rewind(_ id: String, after seq: Int64) async throws -> Int {
    if alteration == .rewindWantsTheWholeID, try await base.session(id).id != id {
      throw SessionError(.notFound, "There is no session “\(id)”.")
    }
    return try await base.rewind(id, after: seq)
  }

  func compact(_ id: String, upTo seq: Int64, summary: NewMessage) async throws -> MessageAcknowledgement {
    guard alteration == .summaryComesLast else {
      return try await base.compact(id, upTo: seq, summary: summary)
    }
    return try await base.append(summary, to: id)
  }

  func continuation(
    of id: String, summary: NewMessage, as new: NewSession
  ) async throws -> SessionAcknowledgement {
    guard alteration == .continuationEndsNothing else {
      return try await base.continuation(of: id, summary: summary, as: new)
    }
    var new = new
    (new.parent, new.edge) = (id, .continuation)
    let made = try await base.create(new)
    if made.created { try await base.append(summary, to: made.id) }
    return made
  }

  func appendStreaming(_ message: NewMessage, to session: String) async throws -> any MessageStream {
    switch alteration {
    case .streamsInMemory:
      return AlteredMessageStream(.heldBack(base, session), message: message)
    case .streamLosesPieces, .streamForgetsItsBeginning, .streamsGiveUpWhenHeld:
      let stream = try await base.appendStreaming(message, to: session)
      return AlteredMessageStream(.altered(stream, alteration), message: message)
    case .streamsMix:
      let stream = try await base.appendStreaming(message, to: session)
      let other = state.withLock { state in
        defer { state.stream = stream }
        return state.stream
      }
      return AlteredMessageStream(.mixed(stream, other ?? stream), message: message)
    default: return try await base.appendStreaming(message, to: session)
    }
  }

  // MARK: Keeping

  func prunable(_ pruning: SessionPruning) async throws -> SessionPruned {
    alteration == .dryRunPrunes ? try await base.prune(pruning) : try await base.prunable(pruning)
  }

  func prune(_ pruning: SessionPruning) async throws -> SessionPruned {
    var pruning = pruning
    if alteration == .pruningIgnoresTheSource { pruning.source = nil }
    return try await base.prune(pruning)
  }

  func export(_ ids: [String]?, _ take: (SessionTransferLine) throws -> Void) async throws -> [RowFault] {
    try await base.export(ids) { line in
      if alteration == .exportIsOfTheLive, case .message(let message) = line, message.state != .live {
        return
      }
      try take(line)
    }
  }

  func take(_ lines: [SessionTransferLine], into session: String?) async throws -> SessionsTaken {
    guard alteration == .takesLineByLine else { return try await base.take(lines, into: session) }
    var taken = SessionsTaken(last: session)
    for line in lines {
      let one = try await base.take([line], into: taken.last)
      (taken.sessions, taken.messages) = (taken.sessions + one.sessions, taken.messages + one.messages)
      taken.last = one.last
    }
    return taken
  }

  func status() async -> SessionStoreStatus {
    var status = await base.status()
    if alteration == .waitingIsNotTold { status.depth = 0 }
    return status
  }

  func close() async {
    if alteration != .closeLeavesOpen { await base.close() }
  }
}

/// A stream that leaves everything to another, but for what breaks a promise.
private actor AlteredMessageStream: MessageStream {
  enum Kind {
    /// Its pieces go nowhere before its end.
    case heldBack(any SessionStore, String)
    case altered(any MessageStream, Alteration?)
    /// Its pieces go into another's message.
    case mixed(any MessageStream, any MessageStream)
  }

  nonisolated let uid: String
  nonisolated let seq: Int64
  private let kind: Kind
  private var message: NewMessage
  private var pieces = 0

  init(_ kind: Kind, message: NewMessage) {
    (self.kind, self.message) = (kind, message)
    switch kind {
    case .heldBack: (uid, seq) = (message.uid ?? "", 1)
    case .altered(let stream, _), .mixed(let stream, _): (uid, seq) = (stream.uid, stream.seq)
    }
  }

  func add(_ piece: String) async {
    pieces += 1
    switch kind {
    case .heldBack:
      if case .text(let text) = message.content { message.content = .text(text + piece) }
    case .altered(let stream, let alteration):
      if alteration == .streamLosesPieces, pieces % 100 == 0 { return }
      if alteration == .streamsGiveUpWhenHeld, pieces > 10 { return }
      await stream.add(piece)
    case .mixed(_, let other): await other.add(piece)
    }
  }

  func finish(_ end: NewMessage?) async throws -> MessageAcknowledgement {
    switch kind {
    case .heldBack(let store, let session): return try await store.append(message, to: session)
    case .altered(let stream, .streamForgetsItsBeginning):
      var end = end ?? NewMessage(role: "assistant", "")
      end.costMicrodollars = end.costMicrodollars ?? 0
      return try await stream.finish(end)
    case .altered(let stream, _), .mixed(let stream, _): return try await stream.finish(end)
    }
  }
}
