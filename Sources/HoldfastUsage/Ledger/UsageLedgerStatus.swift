// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// What a ledger holds and what became of its rows, in this process.
public struct UsageLedgerStatus: Sendable {
  /// Rows accepted.
  public internal(set) var accepted: UInt64 = 0
  /// Rows refused because a value could not be true (failure D15).
  public internal(set) var invalid: UInt64 = 0
  /// Rows refused because the spool was full or its disk failed.
  public internal(set) var refused: UInt64 = 0
  /// Accepted rows whose model has no price.
  public internal(set) var unpriced: UInt64 = 0
  /// Accepted rows that should have said their usage and did not.
  public internal(set) var unknown: UInt64 = 0
  /// Rows accepted and not yet in the database, those of dead processes included.
  public internal(set) var depth = 0
  /// When the oldest of them was accepted.
  public internal(set) var oldest: UTCInstant?
  /// The spool; nil for a ledger that only reports.
  public internal(set) var spool: SpoolStatus?
  /// The database; nil while it has not been opened.
  public internal(set) var file: StateFileStatus?
  /// Why the database cannot be opened or written, while that lasts; rows are kept meanwhile.
  public internal(set) var fault: StoreError?

  /// Who holds the database, when accepted rows have waited for it for a second or more.
  public internal(set) var holders: [LockHolder] = []

  /// A status in which nothing has happened.
  public init() {}
}
