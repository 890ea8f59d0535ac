// SPDX-License-Identifier: Apache-2.0

/// What is asked for besides the question.
public struct SearchOptions: Hashable, Sendable {
  /// Hits at most.
  public var limit: Int
  /// How many messages before and after each hit are wanted as well.
  public var neighbours: Int
  /// Whether only the best hit of each lineage is wanted.
  public var groupsByLineage: Bool

  /// Options; 20 hits, no neighbours, not grouped unless said otherwise.
  public init(limit: Int = 20, neighbours: Int = 0, groupsByLineage: Bool = false) {
    self.limit = min(max(limit, 1), 1000)
    self.neighbours = min(max(neighbours, 0), 50)
    self.groupsByLineage = groupsByLineage
  }

  /// Hits to ask for, of which some are of one lineage.
  var wish: Int { groupsByLineage ? limit * 8 : limit }
}

/// What was found, and what the answer does not know (row D12).
public struct SearchAnswer: Hashable, Sendable {
  /// Where the answer comes from.
  public enum Route: String, Hashable, Sendable, Codable {
    /// The question held nothing to look for.
    case nothing
    /// The index alone: it had everything.
    case index
    /// The index, and a scan of what it did not have yet.
    case indexAndTail = "index+tail"
    /// A scan of the newest messages; the index could not be used.
    case scan
  }

  /// Where it comes from.
  public var route: Route
  /// How many changes of the messages the index had not followed yet.
  public var lag: Int64
  /// Whether there is, or may be, more than `hits` shows.
  public var truncated: Bool
  /// Why the index could not be used, in a sentence.
  public var degraded: String?
  /// Words of the question that were left out, because it had too many.
  public var leftOut = 0
  /// The best first.
  public var hits: [SearchHit]
}

/// A message found.
public struct SearchHit: Hashable, Sendable {
  /// The message; its text in the form that is searched.
  public var document: SearchDocument
  /// A piece of its text around what was found.
  public var snippet: SearchSnippet
  /// How well it fits: higher is better, comparable within one answer. Messages that are not indexed yet are
  /// given the best score, the newest first.
  public var score: Double
  /// Messages around it in its session, in order.
  public var neighbours: [SearchDocument] = []
  /// How many further hits of the same lineage were looked at; 0 when the answer is not grouped.
  public var others = 0
}
