// SPDX-License-Identifier: Apache-2.0

/// Where sessions and their messages live. Implemented on SQLite by ``SQLiteSessionStore``.
///
/// Every `id` a call takes may be the beginning of one, when only one session's id begins like that; calls that
/// make what is missing take it as it is.
///
/// What an implementation owes beyond the signatures is what `SessionStoreConformance` of `HoldfastTestKit` asks.
public protocol SessionStore: Sendable {
  /// Makes a session, and the parent it names; one that is there gets what it lacks and keeps what it has (D04).
  ///
  /// - Throws: ``SessionError`` `cycle`, `invalid`; a store's own error when it cannot be written.
  @discardableResult
  func create(_ session: NewSession) async throws -> SessionAcknowledgement

  /// Appends messages in one atomic, durable step, in their order; makes the session when it is missing (D03).
  ///
  /// A message whose uid is there with the same content changes nothing; with other content it is kept under a
  /// new uid, and the acknowledgement says so (D05).
  @discardableResult
  func append(_ messages: [NewMessage], to session: String) async throws -> [MessageAcknowledgement]

  /// Takes a message at memory speed, to land exactly once when the store can be written; ``status()`` tells how
  /// many wait.
  ///
  /// - Parameter new: what the session is to be made with, or to get where it lacks it, when the message lands.
  /// - Returns: what is known yet: the uid it will have unless that is another message's, and no `seq` (0).
  @discardableResult
  func accept(
    _ message: NewMessage, for session: String, making new: NewSession?
  ) throws -> MessageAcknowledgement

  /// Waits until every message accepted before the call is in the store, or set aside with its reason.
  func flush(within: Duration?) async throws

  /// Begins a message that is written while it is being said; makes the session when it is missing.
  ///
  /// It is there at once, marked as `streaming` until ``MessageStream/finish(_:)``.
  /// - Parameter message: what is known at the beginning; a text, which pieces are added to.
  /// - Throws: ``SessionError`` `invalid` when its content is no text or there is a message with its uid.
  func appendStreaming(_ message: NewMessage, to session: String) async throws -> any MessageStream

  /// The one session whose id is `id` or begins with it.
  func session(_ id: String) async throws -> SessionRecord

  /// The sessions that pass a filter, those last active first; rows that cannot be read are told apart (D14).
  func list(_ filter: SessionFilter) async throws -> SessionList

  /// The messages of a session in their order; those of the states wanted.
  func transcript(of id: String, states: Set<MessageState>) async throws -> SessionTranscript

  /// A piece of a session's messages, in their order.
  func page(of id: String, _ page: TranscriptPage) async throws -> SessionTranscript

  /// A session and all that came from it, `limit` sessions below it at most.
  func tree(of id: String, limit: Int) async throws -> SessionTree

  /// The live messages, after every tool call without a result got a synthetic one, once and for good (D06).
  func resume(_ id: String) async throws -> SessionTranscript

  /// A copy of the live messages up to `seq` (all when nil) that goes its own way; the copies cost nothing again.
  func fork(_ id: String, upTo seq: Int64?, as new: NewSession) async throws -> SessionAcknowledgement

  /// Lets a summary stand for the live messages up to `seq`; they stay, as `compacted`.
  ///
  /// The summary is read where they were. Sending the same one again, by its uid, changes nothing.
  @discardableResult
  func compact(_ id: String, upTo seq: Int64, summary: NewMessage) async throws -> MessageAcknowledgement

  /// Makes the session that goes on where `id` was compacted: its first message is the summary, and `id` ends as
  /// `continued`. What the new one does not say of its source, model and place it takes over.
  ///
  /// Asked again for the same new id it changes nothing.
  @discardableResult
  func continuation(
    of id: String, summary: NewMessage, as new: NewSession
  ) async throws -> SessionAcknowledgement

  /// Takes back the live messages after `seq`; they stay, as `undone`. Returns how many.
  @discardableResult
  func rewind(_ id: String, after seq: Int64) async throws -> Int

  /// Gives a session a title; one that is taken gets a number, “Title (2)”, which it keeps when it is asked for
  /// again. A title of the user's is only replaced by the user. Returns the title it has now.
  @discardableResult
  func rename(_ id: String, to title: String, from: TitleSource) async throws -> String

  /// Marks a session as ended; doing it again changes nothing.
  func end(_ id: String, reason: String, failed: Bool) async throws

  /// Puts a session away, or back.
  func archive(_ id: String, _ isArchived: Bool) async throws

  /// Deletes a session with the sub-agents below it, in one step; its forks and continuations go on under its
  /// parent. What it cost stays in its ancestors' totals. Returns how many sessions went.
  @discardableResult
  func delete(_ id: String) async throws -> Int

  /// What ``prune(_:)`` would remove now.
  func prunable(_ pruning: SessionPruning) async throws -> SessionPruned

  /// Removes sessions for good, the longest inactive first, in pieces short enough for nobody to be held up
  /// (row A11).
  ///
  /// What they cost stays in their ancestors' totals. Work that is stopped half way leaves whole pieces; a session
  /// that somebody writes to while its messages go keeps those that are left.
  /// - Returns: what was removed.
  @discardableResult
  func prune(_ pruning: SessionPruning) async throws -> SessionPruned

  /// Hands out sessions with their messages of every state, a bounded piece at a time.
  ///
  /// - Parameters:
  ///   - ids: only these, by their whole ids; all when nil.
  ///   - take: called with each line in order.
  /// - Returns: rows that could not be read and were left out.
  func export(_ ids: [String]?, _ take: (SessionTransferLine) throws -> Void) async throws -> [RowFault]

  /// Takes in lines of an export in one step; doing it again changes nothing.
  ///
  /// - Parameters:
  ///   - lines: in the order of the export.
  ///   - session: the id of the session the first messages belong to, when the lines begin with messages.
  /// - Throws: ``SessionError`` `invalid` when it is not known whose a message is.
  func take(_ lines: [SessionTransferLine], into session: String?) async throws -> SessionsTaken

  /// What the store holds and what it refused; waits for nothing.
  func status() async -> SessionStoreStatus

  /// Refuses further work, lands what it can, and lets go of its files.
  func close() async
}

extension SessionStore {
  /// Appends one message.
  @discardableResult
  public func append(_ message: NewMessage, to session: String) async throws -> MessageAcknowledgement {
    let all = try await append([message], to: session)
    return all[0]
  }

  /// Takes a message at memory speed, for a session of which nothing is said.
  @discardableResult
  public func accept(_ message: NewMessage, for session: String) throws -> MessageAcknowledgement {
    try accept(message, for: session, making: nil)
  }

  /// Hands out every session with its messages.
  public func export(_ take: (SessionTransferLine) throws -> Void) async throws -> [RowFault] {
    try await export(nil, take)
  }

  /// Waits until every message accepted before the call is settled, as long as it takes.
  public func flush() async throws { try await flush(within: nil) }

  /// The live messages of a session.
  public func transcript(of id: String) async throws -> SessionTranscript {
    try await transcript(of: id, states: [.live])
  }
}

/// Who gave a title.
public enum TitleSource: String, Sendable, Hashable, Codable, CaseIterable {
  /// A person.
  case user
  /// A model.
  case model
  /// An import.
  case imported = "import"
  /// The first message.
  case derived
}

/// Which sessions are wanted; what is nil does not matter.
public struct SessionFilter: Sendable, Hashable {
  /// Only these; any number.
  public var ids: [String]?
  /// Only those of this program.
  public var source: String?
  /// Only those that came directly from this one, by its whole id.
  public var parent: String?
  /// Only those put away, or only those not.
  public var archived: Bool?
  /// Only those that came from no other.
  public var isRoot: Bool?
  /// Only those with this in their id, title, source, model or working directory, whatever the case of A to Z.
  public var text: String?
  /// Only those behind this place: ``SessionList/next`` of the piece before.
  public var after: SessionPlace?
  /// At most so many.
  public var limit: Int?

  /// A filter that lets every session through.
  public init() {}
}

/// Sessions, and the rows that could not be read.
public struct SessionList: Sendable, Hashable {
  /// The sessions.
  public var sessions: [SessionRecord] = []
  /// What could not be read.
  public var faults: [RowFault] = []
  /// Where the next piece begins; nil at the end, and when no limit was asked for.
  public var next: SessionPlace?

  /// No sessions.
  public init() {}
}

/// A session with its messages, and the rows that could not be read.
public struct SessionTranscript: Sendable, Hashable {
  /// The session.
  public var session: SessionRecord
  /// Its messages, in order.
  public var messages: [MessageRecord] = []
  /// What could not be read.
  public var faults: [RowFault] = []
  /// Where the messages behind this piece begin; nil when there are none, or all were asked for.
  public var next: MessagePlace?
  /// Where the messages before this piece end; nil when there are none, or all were asked for.
  public var previous: MessagePlace?

  /// A session of which no message is told.
  public init(session: SessionRecord) { self.session = session }
}
