// SPDX-License-Identifier: Apache-2.0

/// A question as a person types it, understood: a pure value, made from any text without fail (row D10).
///
/// ```
/// deadlock wal            messages with both words
/// "write ahead"           the words in this order; a path, a URL or a snake_case name is a phrase by itself
/// -vacuum                 not this word
/// check*                  words that begin so
/// role:user source:codex session:01J… after:2026-01-31 before:7d
/// ```
///
/// Dates are UTC: `2026-01-31`, `2026-01-31T10:00:00Z`, or an age (`90m`, `12h`, `7d`, `2w`). The same filter
/// twice means either value, and `-role:tool` excludes one. What looks like a filter and is none is searched
/// for as words.
public struct SearchQuery: Hashable, Sendable {
  /// A run of tokens that must stand next to each other.
  struct Phrase: Hashable, Sendable {
    var tokens: [String]
    /// Whether the last token is only the beginning of one.
    var isPrefix: Bool
    /// Pieces of the one word this is, in camelCase.
    var pieces: [String] = []
    /// Whether the person put it in quotes; then it is not looked for inside other words.
    var isQuoted = false
  }

  /// Phrases all of which must be there.
  var wanted: [Phrase] = []
  /// Phrases none of which may be there.
  var unwanted: [Phrase] = []
  /// What the messages must be besides.
  public var filter = SearchFilter()
  /// Words of the question beyond what one question may hold; they were left out.
  public var leftOut = 0

  /// Whether there is nothing to look for: no word and no filter.
  public var isEmpty: Bool { wanted.isEmpty && unwanted.isEmpty && filter.isEmpty }

  /// Phrases of one question, and tokens over all of them.
  static let mostPhrases = 48
  static let mostTokens = 384
}

/// What messages must be, apart from their words.
public struct SearchFilter: Hashable, Sendable {
  /// Roles of which a message must have one; empty means any.
  public var roles: [String] = []
  /// Sources of which its session must have one; empty means any.
  public var sources: [String] = []
  /// Sessions of which it must be in one, by id or the beginning of one; empty means any.
  public var sessions: [String] = []
  /// Lineages (ids of root sessions) of which it must be in one; empty means any.
  public var lineages: [String] = []
  /// The same, excluded.
  public var excludedRoles: [String] = []
  /// The same, excluded.
  public var excludedSources: [String] = []
  /// The same, excluded.
  public var excludedSessions: [String] = []
  /// The earliest time, in milliseconds since 1970, UTC.
  public var after: Int64?
  /// The time it must be before, in milliseconds since 1970, UTC.
  public var before: Int64?

  /// A filter that lets everything through.
  public init() {}

  /// Whether it lets everything through.
  public var isEmpty: Bool { self == SearchFilter() }

  /// Whether a message passes.
  func passes(_ document: SearchDocument) -> Bool {
    func isBegun(_ prefixes: [String]) -> Bool {
      prefixes.contains { document.session.utf8.starts(with: $0.utf8) }
    }
    return (roles.isEmpty || roles.contains(document.role))
      && (sources.isEmpty || sources.contains(document.source))
      && (lineages.isEmpty || lineages.contains(document.lineage))
      && (sessions.isEmpty || isBegun(sessions))
      && !excludedRoles.contains(document.role) && !excludedSources.contains(document.source)
      && !isBegun(excludedSessions)
      && after.map { document.timeMilliseconds >= $0 } != false
      && before.map { document.timeMilliseconds < $0 } != false
  }
}
