// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
public import HoldfastSessions

/// What every `SessionStore` promises, asked of one implementation.
///
/// A method is a promise: it returns when it is kept and throws ``BrokenPromise`` when it is not. Each wants stores
/// that nothing has been written to, so make one of these for each.
///
/// ```swift
/// @Test func orderIsNoTime_D02() async throws {
///   try await SessionStoreConformance(open: open, hold: hold).orderIsThatOfAcknowledgement()
/// }
/// ```
public struct SessionStoreConformance: NamedStoreConformance {
  typealias Refusal = SessionError

  /// Opens the store of a name: for a name that is new an empty one, for another the same once more, as another
  /// process would have it.
  public typealias Opening = @Sendable (_ name: String) async throws -> any SessionStore
  /// Keeps a store that was opened from being written, as another program's transaction does, until what it
  /// returns is called.
  public typealias Holding = @Sendable (_ name: String) async throws -> @Sendable () async throws -> Void

  let source: StoreSource<any SessionStore>

  /// The promises, to be asked of the stores that `open` opens.
  public init(open: @escaping Opening, hold: @escaping Holding) {
    source = StoreSource(open: open, hold: hold) { await $0.close() }
  }
}

extension SessionStoreConformance {
  /// A message of an assistant that cost something.
  static func costing(_ cost: Int64, uid: String? = nil) -> NewMessage {
    var message = NewMessage(uid: uid, role: "assistant", "done")
    (message.costMicrodollars, message.outputTokens) = (cost, 10)
    return message
  }

  /// A session that came from another.
  static func session(_ id: String, from parent: String, _ edge: SessionEdge = .subagent) -> NewSession {
    var new = NewSession(id: id)
    (new.parent, new.edge) = (parent, edge)
    return new
  }

  /// Makes a session that was last active on the first day of a year, as an import does.
  static func plant(
    _ id: String, below parent: String? = nil, year: Int, messages: Int = 0, in store: any SessionStore,
    _ change: (inout SessionRecord) -> Void = { _ in }
  ) async throws {
    let time = "\(year)-01-01T00:00:00.000Z"
    var record = SessionRecord(id: id, started: time, lastActive: time)
    if let parent { (record.parent, record.edge) = (parent, .subagent) }
    change(&record)
    var lines = [SessionTransferLine.session(record)]
    for number in 0..<messages {
      var message = NewMessage(uid: "\(number)", role: "user", "\(number)")
      (message.time, message.costMicrodollars) = (time, 1)
      lines.append(
        .message(
          MessageRecord(
            seq: Int64(number + 1), state: .live, synthetic: false, streaming: false, message: message)))
    }
    _ = try await store.take(lines, into: nil)
  }
}

extension SessionTranscript {
  /// What the messages say.
  var contents: [MessageContent] { messages.map(\.message.content) }
  /// What the messages say, of those that are texts.
  var texts: [String] {
    messages.map { if case .text(let text) = $0.message.content { text } else { "(parts)" } }
  }
}
