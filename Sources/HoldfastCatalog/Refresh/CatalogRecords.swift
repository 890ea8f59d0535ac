// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// What a catalogue keeps in the state store; docs/catalogue.md has it for other programs.
enum CatalogRecords {
  static let models = "catalog.models"
  static let stamps = "catalog.stamps"
  static let failures = "catalog.failures"
  static let providers = "catalog.providers"
  /// The last refresh, for those that waited for it.
  static let lastFlight = StateKey("catalog", "last-refresh")

  /// Which list is kept; in one commit with the list itself.
  struct Stamp: Codable, Hashable {
    var fetchedAt: UTCInstant
    /// From when on it is no longer new enough.
    var dueAt: UTCInstant
    var models: Int
    /// Where it was asked for: a list of another place is none of this provider's.
    var url: String

    enum CodingKeys: String, CodingKey {
      case models, url
      case fetchedAt = "fetched_at"
      case dueAt = "due_at"
    }
  }

  /// A provider's list.
  struct Payload: Codable {
    var fetchedAt: UTCInstant
    var models: [CatalogModel]

    enum CodingKeys: String, CodingKey {
      case models
      case fetchedAt = "fetched_at"
    }
  }

  /// The last failure since the last success.
  struct Failure: Codable, Hashable {
    var at: UTCInstant
    var error: String
  }

  /// What somebody decided by hand.
  struct Choice: Codable, Hashable {
    var enabled: Bool
  }

  /// What a refresh came to.
  struct Flight: Codable {
    var startedAt: UTCInstant
    var endedAt: UTCInstant
    var outcomes: [RefreshOutcome]

    enum CodingKeys: String, CodingKey {
      case outcomes
      case startedAt = "started_at"
      case endedAt = "ended_at"
    }
  }
}
