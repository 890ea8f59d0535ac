// SPDX-License-Identifier: Apache-2.0

/// One segment as the drain sees it: how far it is settled, and what comes next. Touched by one thread only.
struct DrainSource {
  let segment: SpoolSegment
  let isOrphan: Bool
  /// How far it may be read, and whether that is all there will be.
  private(set) var limit: Int
  private(set) var sealed: Bool
  /// The sequence due at `limit`, of a segment of this process.
  private(set) var sequenceAtLimit: UInt64?

  /// Up to where everything is settled in the database.
  private(set) var position = SegmentFormat.headerBytes
  /// The sequence due at `position`; nil until a record or the cursor has told.
  private(set) var expected: UInt64?
  /// Whether `position` is known to be the database's cursor (or that there is none yet).
  private(set) var isPlaced: Bool
  /// Whether the segment held unreadable bytes: then the file is kept, out of the way, not removed.
  private(set) var hasDamage = false
  /// Records that can still be read, of an orphan.
  private(set) var remaining = 0

  init(orphan segment: SpoolSegment) {
    self.segment = segment
    isOrphan = true
    limit = segment.size
    sealed = true
    isPlaced = false
    recount()
  }

  init(own extent: AppendSide.Extent, from first: UInt64) {
    segment = extent.segment
    isOrphan = false
    limit = extent.limit
    sealed = extent.sealed
    sequenceAtLimit = extent.next
    expected = first
    isPlaced = true
  }

  /// The next record and where the cursor is behind it.
  struct Piece {
    var record: SegmentReader.Record?
    var to: Int
    var next: UInt64?
    var lost: UInt64 = 0
  }

  /// Whether nothing will ever be read from it again.
  var isExhausted: Bool { sealed && next == nil }

  /// What lies at `position`.
  var next: Piece? { cut(from: position, expected) }

  /// When what comes next was appended.
  var nextTime: UnixTime? { next?.record.map { UnixTime(nanoseconds: $0.nanoseconds) } }

  private var reader: SegmentReader { segment.reader(upTo: limit, ownerLives: !isOrphan) }

  /// What lies at a position of this segment: a record, damage up to the next one or to the end, or nothing
  /// (nil).
  func cut(from position: Int, _ expected: UInt64?) -> Piece? {
    switch reader.step(at: position, expecting: expected) {
    case .end: return nil
    case .record(let record):
      return Piece(record: record, to: record.end, next: record.sequence + 1)
    case .damage(.some(let record), let lost):
      return Piece(record: record, to: record.end, next: record.sequence + 1, lost: lost)
    case .damage(nil, let lost):
      // The sequence tells exactly how many where this process wrote them itself.
      let exact = expected.flatMap { from in sequenceAtLimit.map { $0 - from } }
      return Piece(record: nil, to: limit, next: sequenceAtLimit ?? expected, lost: exact ?? lost)
    }
  }

  /// A record as the caller's code gets it.
  func copy(_ record: SegmentReader.Record) -> SpoolRecord {
    SpoolRecord(
      segment: segment.id.description, sequence: record.sequence,
      time: UnixTime(nanoseconds: record.nanoseconds), payload: reader.payload(of: record))
  }

  /// More was appended, or the segment was sealed.
  mutating func extend(to extent: AppendSide.Extent) {
    limit = extent.limit
    sealed = extent.sealed
    sequenceAtLimit = extent.next
  }

  /// A batch up to here is committed, or what lay there was unreadable to the end.
  mutating func settle(to position: Int, next: UInt64?, records: Int, lost: UInt64) {
    self.position = position
    expected = next
    isPlaced = true
    if lost > 0 { hasDamage = true }
    remaining = max(0, remaining - records)
  }

  /// The database says the cursor is here.
  mutating func place(at cursor: SpoolLanding.Cursor) {
    // Aligned, because a row that was tampered with must not become an unaligned load.
    position = SegmentFormat.aligned(max(SegmentFormat.headerBytes, cursor.position))
    expected = cursor.sequence
    isPlaced = true
    if isOrphan { recount() }
  }

  private mutating func recount() {
    remaining = reader.count(from: position, expecting: expected)
  }
}
