// SPDX-License-Identifier: Apache-2.0

/// One message as search sees it.
public struct SearchDocument: Hashable, Sendable {
  /// The message's number in its store, never used again.
  public var id: Int64
  /// The session it is in.
  public var session: String
  /// The root of that session's lineage; the session itself when it has no parent.
  public var lineage: String
  /// Its place in the session.
  public var seq: Int64
  /// Its own id.
  public var uid: String
  /// Who speaks, in lower case.
  public var role: String
  /// The program the session came from.
  public var source: String
  /// When, in milliseconds since 1970, UTC.
  public var timeMilliseconds: Int64
  /// Everything in it that is to be found.
  public var text: String

  /// A message.
  public init(
    id: Int64, session: String, lineage: String? = nil, seq: Int64, uid: String, role: String, source: String,
    timeMilliseconds: Int64, text: String
  ) {
    self.id = id
    self.session = session
    self.lineage = lineage ?? session
    self.seq = seq
    self.uid = uid
    self.role = role
    self.source = source
    self.timeMilliseconds = timeMilliseconds
    self.text = text
  }
}

/// How far something has followed a message store: both numbers only ever grow.
public struct SearchPosition: Hashable, Sendable {
  /// The highest number given to a message.
  public var messages: Int64
  /// The highest number given to an edit, a change of state or a deletion.
  public var changes: Int64

  /// Before the first message.
  public static let start = SearchPosition(messages: 0, changes: 0)

  /// A position.
  public init(messages: Int64, changes: Int64) { (self.messages, self.changes) = (messages, changes) }

  /// How many messages and changes lie between an earlier position and this.
  func distance(from earlier: SearchPosition) -> Int64 {
    max(0, messages - earlier.messages) + max(0, changes - earlier.changes)
  }

  /// Whether this is at `other` or, in any respect, before it.
  func isWithin(_ other: SearchPosition) -> Bool { messages <= other.messages && changes <= other.changes }
}

/// What happened in a store after a position.
public struct SearchChanges: Hashable, Sendable {
  /// A message is as given now, or, with nil, no longer to be found.
  public struct Step: Hashable, Sendable {
    /// The message.
    public var id: Int64
    /// What it is.
    public var document: SearchDocument?
  }

  /// In their order; of several for one message the last counts.
  public var steps: [Step]
  /// The position after them.
  public var end: SearchPosition
}

/// What an index has not followed yet.
public struct SearchTail: Hashable, Sendable {
  /// Where the store is.
  public var head: SearchPosition
  /// What happened between; more may have been appended since `head` was read.
  public var changes: SearchChanges
  /// Whether there was too much, and the newest is here.
  public var isCut: Bool

  /// A tail.
  public init(head: SearchPosition, changes: SearchChanges, isCut: Bool) {
    (self.head, self.changes, self.isCut) = (head, changes, isCut)
  }
}

/// Where search gets its messages: the message store's two sequences, of new messages and of changes to old ones.
///
/// Insertions, edits, state changes and deletions all have a number in them, so an index that follows the
/// numbers misses nothing. A number must become visible after those below it, as it does when each is minted
/// inside its own write transaction.
public protocol SearchFeed: Sendable {
  /// Which store this is; an index made from another one is thrown away.
  func identity() async throws -> String
  /// Where the store is now.
  func head() async throws -> SearchPosition
  /// What happened after a position, at most so many messages and so many changes.
  func changes(after position: SearchPosition, limit: Int) async throws -> SearchChanges
  /// Where the store is, and the newest of what happened after a position: `limit` messages and as many changes.
  func tail(after position: SearchPosition, limit: Int) async throws -> SearchTail
  /// The newest messages that are to be found, newest first: what is scanned when there is no index.
  func newest(limit: Int) async throws -> [SearchDocument]
}

extension SearchFeed {
  /// Asks for both, one after the other.
  public func tail(after position: SearchPosition, limit: Int) async throws -> SearchTail {
    let head = try await head()
    guard position.isWithin(head), position != head else {
      return SearchTail(head: head, changes: SearchChanges(steps: [], end: position), isCut: false)
    }
    let start = position.tail(before: head, limit: limit)
    // More may have been appended since `head` was read; what is there is taken.
    let changes = try await changes(after: start, limit: limit * 2)
    return SearchTail(head: head, changes: changes, isCut: start != position)
  }
}

extension SearchPosition {
  /// Where to begin for at most so many messages and changes before a head.
  func tail(before head: SearchPosition, limit: Int) -> SearchPosition {
    SearchPosition(
      messages: max(messages, head.messages - Int64(limit)),
      changes: max(changes, head.changes - Int64(limit)))
  }
}
