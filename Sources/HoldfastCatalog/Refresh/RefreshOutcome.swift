// SPDX-License-Identifier: Apache-2.0

/// What a refresh came to for one provider.
public struct RefreshOutcome: Codable, Sendable, Hashable {
  /// What became of its list.
  public enum Kind: String, Codable, Sendable, Hashable {
    /// It was asked and answered.
    case fetched
    /// It was asked and failed; the last good list stays.
    case kept
    /// It was not asked: its list is new enough.
    case fresh
    /// It was asked and failed, and has never answered.
    case failed
  }

  /// The provider.
  public var name: String
  /// What became of its list.
  public var outcome: Kind
  /// How many models it is known to have now.
  public var models: Int
  /// Why it failed, in one sentence.
  public var error: String?
  /// What was left out of its list, in a sentence each.
  public var notes: [String]?

  /// An outcome.
  public init(name: String, outcome: Kind, models: Int, error: String? = nil, notes: [String]? = nil) {
    self.name = name
    self.outcome = outcome
    self.models = models
    self.error = error
    self.notes = notes
  }
}

/// How far a refresh is.
public struct RefreshProgress: Sendable, Hashable {
  /// Providers that have answered or failed.
  public var done: Int
  /// Providers that are asked.
  public var total: Int
  /// The last of them; nil at the beginning.
  public var last: String?
}

/// How a catalogue is kept.
public struct CatalogSettings: Sendable, Hashable {
  /// How long a list is new enough.
  public var timeToLive = Duration.seconds(21 * 60)
  /// By how much of it the time of each list differs, so that not all are due at once.
  public var jitter = 0.1
  /// How long one provider may take for all its pages.
  public var deadline = Duration.seconds(10)
  /// How long a refresh by another process is waited for.
  public var patience = Duration.seconds(120)

  /// The defaults: 21 minutes, a tenth, 10 s, 2 minutes.
  public init() {}
}
