// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What the scenarios of this package's own test peer are told.
public struct PeerSettings: Codable, Sendable {
  /// The database to write into.
  public var database: String?
  /// The spool's directory.
  public var spool: String?
  /// The journal of acknowledgements.
  public var journal: String?
  /// The first number to write; the rest follow it.
  public var first: UInt64
  /// How many to write; nil goes on until the peer is killed.
  public var count: UInt64?
  /// Whether commits need not survive a power loss (`Durability.processDeathOnly`).
  public var isRelaxed = false
  /// Bytes of a spool segment.
  public var segmentBytes: Int
  /// How many segments a spool may hold.
  public var segments: Int
  /// Databases, for scenarios that use several.
  public var files: [String] = []
  /// Whether plain SQLite is to do it, as the baseline, and not the engine.
  public var isPlain = false
  /// The type of filesystem the engine is to take the database's for; nil for what it is.
  public var filesystem: String?
  /// From how many pages on a checkpoint is due; nil for the default.
  public var checkpointPages: Int?
  /// The user whose rights the peer is to have; 0 for those it was started with.
  public var user: UInt32 = 0

  /// Settings; a peer that needs one that is missing says so.
  public init(
    database: String? = nil, spool: String? = nil, journal: String? = nil, first: UInt64 = 1,
    count: UInt64? = nil,
    segmentBytes: Int = 64 << 10, segments: Int = 6
  ) {
    self.database = database
    self.spool = spool
    self.journal = journal
    self.first = first
    self.count = count
    self.segmentBytes = segmentBytes
    self.segments = segments
  }

  /// The arguments of the test peer for a scenario with these settings.
  public func arguments(for scenario: String) -> [String] {
    guard let data = try? JSONEncoder().encode(self) else { fatalError("settings that cannot be encoded") }
    return [scenario, String(decoding: data, as: UTF8.self)]
  }
}
