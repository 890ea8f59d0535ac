// SPDX-License-Identifier: Apache-2.0

/// One record as it reaches the transaction that applies it.
public struct SpoolRecord: Hashable, Sendable {
  /// The segment it was written to: 32 hexadecimal digits, never used twice.
  public let segment: String
  /// Its number within the process that wrote it, from 1; `segment` and `sequence` together name it for good.
  public let sequence: UInt64
  /// When it was appended, by the wall clock. Order is by ``sequence``, never by this.
  public let time: UnixTime
  /// The bytes appended.
  public let payload: [UInt8]
}

/// What a spool holds and what became of its records.
public struct SpoolStatus: Sendable {
  /// Records accepted and not yet in the database: this process's, and those of orphans it has adopted.
  public internal(set) var depth = 0
  /// Bytes of this process's segment files, the one set aside for the next appends included.
  public internal(set) var bytes = 0
  /// The bound of ``bytes``.
  public internal(set) var capacity = 0
  /// When the oldest record of ``depth`` was appended; nil when there is none.
  public internal(set) var oldest: UnixTime?
  /// Appends of this process that were accepted.
  public internal(set) var accepted: UInt64 = 0
  /// Appends refused because the bound was reached or the disk was full.
  public internal(set) var refused: UInt64 = 0
  /// Records that could not be read back: a wrong checksum, a torn or zeroed stretch.
  public internal(set) var damaged: UInt64 = 0
  /// Records that could not be applied, kept in the table `holdfast_spool_rejected`.
  public internal(set) var rejected: UInt64 = 0
  /// Segment files of dead processes that are being drained here.
  public internal(set) var orphans = 0
  /// Bytes of those files.
  public internal(set) var orphanBytes = 0
  /// Segment files of this stream that are left alone: of a newer version, of another user, or unreadable.
  public internal(set) var unusable = 0
  /// Whether a drain was started and has not been closed.
  public internal(set) var draining = false
  /// Why the last batch did not land, while that lasts; nil once one has.
  public internal(set) var lastError: StoreError?
  /// Why the last segment file could not be made, while that lasts.
  public internal(set) var lastRefusal: StoreError?
}
