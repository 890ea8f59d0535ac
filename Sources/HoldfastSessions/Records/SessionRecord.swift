// SPDX-License-Identifier: Apache-2.0

/// How a session came from another.
public enum SessionEdge: String, Sendable, Hashable, Codable, CaseIterable {
  /// It came from none.
  case root
  /// A sub-agent of its parent.
  case subagent
  /// A copy that goes its own way.
  case fork
  /// What follows its parent, after compaction.
  case continuation
}

/// Tokens and money; in JSON `input_tokens`, …, `cost_microusd`.
public struct SessionSums: Sendable, Hashable, Codable {
  /// Prompt tokens outside any cache.
  public var inputTokens: Int64 = 0
  /// Prompt tokens read from a cache.
  public var cacheReadTokens: Int64 = 0
  /// Prompt tokens written to a cache.
  public var cacheWriteTokens: Int64 = 0
  /// Tokens produced.
  public var outputTokens: Int64 = 0
  /// Millionths of a dollar.
  public var costMicrodollars: Int64 = 0

  /// Nothing.
  public init() {}

  enum CodingKeys: String, CodingKey {
    case inputTokens = "input_tokens"
    case cacheReadTokens = "cache_read_tokens"
    case cacheWriteTokens = "cache_write_tokens"
    case outputTokens = "output_tokens"
    case costMicrodollars = "cost_microusd"
  }
}

/// A session to be made; what is nil is not known.
public struct NewSession: Sendable, Hashable, Codable {
  /// What it is called by; nil mints one.
  public var id: String?
  /// The program it belongs to.
  public var source: String?
  /// Its title.
  public var title: String?
  /// Who gave the title; the user when nothing is said.
  public var titleFrom: TitleSource?
  /// The model it runs on.
  public var model: String?
  /// The working directory.
  public var cwd: String?
  /// The git branch.
  public var gitBranch: String?
  /// The id of the session it came from; made when it is not there.
  public var parent: String?
  /// How it came from ``parent``; a sub-agent when nothing is said.
  public var edge: SessionEdge?
  /// Anything else, a JSON object.
  public var metadata: JSONValue?

  /// A session of which only the id is known.
  public init(id: String? = nil) { self.id = id }

  enum CodingKeys: String, CodingKey {
    case id, source, title, model, cwd, parent, edge, metadata
    case titleFrom = "title_from"
    case gitBranch = "git_branch"
  }
}

/// What became of a creation; in JSON `{id, created}` and, where a text was repaired, `repaired`.
public struct SessionAcknowledgement: Sendable, Hashable, Codable {
  /// The session's id.
  public var id: String
  /// False when it was there already.
  public var created: Bool
  /// Fields of which something could not be stored and was replaced by U+FFFD.
  public var repaired: [String]?

  /// What became of a creation.
  public init(id: String, created: Bool, repaired: [String]? = nil) {
    (self.id, self.created, self.repaired) = (id, created, repaired)
  }
}

/// A session as it is in the store.
public struct SessionRecord: Sendable, Hashable, Codable {
  /// What it is called by.
  public var id: String
  /// The program it belongs to.
  public var source: String?
  /// Its title.
  public var title: String?
  /// Who gave the title: `user`, `model`, `import`, `derived`.
  public var titleFrom: String?
  /// The id of the session it came from.
  public var parent: String?
  /// How it came from it.
  public var edge: SessionEdge
  /// The model it runs on.
  public var model: String?
  /// The working directory.
  public var cwd: String?
  /// The git branch.
  public var gitBranch: String?
  /// When it began, RFC 3339.
  public var started: String
  /// When its last message was written, RFC 3339.
  public var lastActive: String
  /// When it ended, RFC 3339.
  public var ended: String?
  /// Why it ended.
  public var endedReason: String?
  /// Whether it ended as failed.
  public var failed: Bool
  /// Whether it was put away.
  public var archived: Bool
  /// Whether pruning leaves it alone.
  public var pinned: Bool
  /// Anything else.
  public var metadata: JSONValue?
  /// Its messages, of every state.
  public var messages: Int64
  /// Sub-agents of it that failed.
  public var failedChildren: Int64
  /// What its own messages cost.
  public var own: SessionSums
  /// What it and all that came from it cost, what was deleted since included.
  public var total: SessionSums
  /// The cost of ``total``, in micro-dollars.
  public var costMicrodollars: Int64

  enum CodingKeys: String, CodingKey {
    case id, source, title, parent, edge, model, cwd, started, ended, failed, archived, pinned, metadata
    case messages, own, total
    case titleFrom = "title_from"
    case gitBranch = "git_branch"
    case lastActive = "last_active"
    case endedReason = "ended_reason"
    case failedChildren = "failed_children"
    case costMicrodollars = "cost_microusd"
  }
}

extension SessionRecord {
  /// A session that came from no other and of which nothing else is known.
  ///
  /// - Parameters:
  ///   - started: when it began, RFC 3339.
  ///   - lastActive: when its last message was written, RFC 3339.
  public init(id: String, started: String, lastActive: String) {
    self.init(
      id: id, edge: .root, started: started, lastActive: lastActive, failed: false, archived: false,
      pinned: false, messages: 0, failedChildren: 0, own: SessionSums(), total: SessionSums(),
      costMicrodollars: 0)
  }
}

/// A row that could not be read; its bytes were left as they are (rows D13, D14).
public struct RowFault: Sendable, Hashable, Codable {
  /// The table.
  public var table: String
  /// The row: a session's id, a message's uid.
  public var row: String
  /// What is wrong with it.
  public var reason: String

  /// A row that could not be read.
  public init(table: String, row: String, reason: String) {
    (self.table, self.row, self.reason) = (table, row, reason)
  }
}
