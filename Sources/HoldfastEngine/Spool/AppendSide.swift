// SPDX-License-Identifier: Apache-2.0

import CHoldfast

/// The writing half of a spool: what an append touches, all of it behind one mutex held for a copy and a
/// checksum.
///
/// `@unchecked Sendable`: the only thing in it that is not Sendable by itself is the raw pointer to the
/// active segment's mapping, which is used only here, inside the mutex that holds this value, and which is
/// unmapped only once the segment is no longer active (drained), or no append can follow (closed).
@safe struct AppendSide: @unchecked Sendable {
  /// Where the next record goes. Cached from `active`, so that an append touches no reference count.
  private var base: UnsafeMutableRawPointer?
  private var offset = 0
  private var end = 0
  private var seed: UInt32 = 0

  private let directory: String
  private let stream: String
  private let segmentBytes: Int
  private let segmentsAllowed: Int

  /// Every segment with this process's records, oldest first; the last is active. Drained ones are taken out.
  private(set) var live: [Extent] = []
  /// Made ahead, so that an append does not wait for a file to be made.
  private(set) var spare: SpoolSegment?
  private(set) var isClosed = false

  /// The sequence of the next record.
  private(set) var nextSequence: UInt64 = 1
  /// Up to which sequence, exclusive, records have left the spool: landed, set aside, or found damaged.
  var settled: UInt64 = 1
  /// When the oldest record not settled was appended.
  var oldest: UnixTime?
  private(set) var refused: UInt64 = 0
  private(set) var lastRefusal: StoreError?
  /// A full disk is not asked again at every append, only this often.
  private var refusedUntil: ContinuousClock.Instant?

  /// Whether the drain thread sleeps until it is woken, so that an append must wake it.
  var drainSleeps = false

  /// A segment and how far it is filled.
  struct Extent: Sendable {
    let segment: SpoolSegment
    var limit: Int
    /// No append will come any more.
    var sealed: Bool
    /// The sequence due at `limit`.
    var next: UInt64
  }

  static let pauseAfterFailure = Duration.milliseconds(100)

  init(directory: String, stream: String, segmentBytes: Int, capacity: Int, first: SpoolSegment) {
    self.directory = directory
    self.stream = stream
    self.segmentBytes = segmentBytes
    segmentsAllowed = capacity / segmentBytes
    activate(first)
  }

  /// Bytes on disk.
  var bytes: Int { (live.count + (spare == nil ? 0 : 1)) * segmentBytes }

  /// Whether another segment should be made now, before it is needed: when the active one is half full.
  var wantsSpare: Bool {
    spare == nil && !isClosed && offset > segmentBytes / 2 && live.count < segmentsAllowed
  }

  /// Appends one record.
  ///
  /// - Returns: its sequence, and whether the drain thread must be woken.
  @inline(__always)
  mutating func append(
    _ payload: UnsafeRawBufferPointer, at time: UnixTime
  ) throws(StoreError) -> (sequence: UInt64, wake: Bool) {
    let needed = SegmentFormat.footprint(ofPayload: payload.count)
    if isClosed || needed > end - offset { try makeRoom(for: payload.count) }
    let sequence = nextSequence
    unsafe SegmentFormat.writeRecord(
      at: base!, position: offset, seed: seed, sequence: sequence, nanoseconds: time.nanoseconds,
      payload: payload)
    if sequence == settled { oldest = time }
    let half = segmentBytes / 2
    let crossed = offset <= half && offset + needed > half
    offset += needed
    nextSequence = sequence + 1
    // A sleeping drain is woken for the first record of a batch, and once a segment to make the next one.
    let wake = drainSleeps || crossed
    drainSleeps = false
    return (sequence, wake)
  }

  /// What the drain may read now.
  func extents() -> [Extent] {
    var extents = live
    if let last = extents.indices.last {
      extents[last].limit = offset
      extents[last].next = nextSequence
      extents[last].sealed = isClosed
    }
    return extents
  }

  /// The segment that is being filled.
  var active: SpoolSegment? { isClosed ? nil : live.last?.segment }

  /// Fills this segment no further: its file is gone from its place, so what would be appended to it could
  /// not be adopted. What is in it is drained from memory. The next append makes another, or says why it
  /// cannot.
  mutating func leave(_ segment: SpoolSegment) {
    if active === segment { end = offset }
  }

  /// Takes a drained segment out; its file is the caller's to remove.
  mutating func remove(_ segment: SpoolSegment) {
    live.removeAll { $0.segment === segment }
  }

  /// Takes the segment made ahead, or gives it back when it came too late.
  mutating func offer(_ segment: SpoolSegment) -> SpoolSegment? {
    guard spare == nil, !isClosed, live.count < segmentsAllowed else { return segment }
    spare = segment
    return nil
  }

  /// Remembers why a segment could not be made ahead.
  mutating func note(_ refusal: StoreError?) { lastRefusal = refusal }

  /// Refuses every append from now on.
  mutating func close() -> SpoolSegment? {
    isClosed = true
    defer { spare = nil }
    return spare
  }

  // MARK: The slow path

  @inline(never)
  private mutating func makeRoom(for payload: Int) throws(StoreError) {
    if isClosed {
      throw StoreError(
        .closed, "The spool \(stream) is closed: nothing can be appended any more.", path: directory)
    }
    let most = segmentBytes - SegmentFormat.headerBytes - SegmentFormat.recordHeaderBytes
    guard payload <= most else {
      throw StoreError(
        .misuse,
        "A record of \(payload) bytes does not fit into a segment of the spool \(stream): at most \(most).",
        path: directory)
    }
    do throws(StoreError) {
      activate(try takeSpare())
    } catch {
      refused += 1
      lastRefusal = error
      throw error
    }
    lastRefusal = nil
  }

  private mutating func takeSpare() throws(StoreError) -> SpoolSegment {
    guard live.count < segmentsAllowed else {
      throw StoreError(
        .refused,
        "The spool \(stream) is full (\(live.count * segmentBytes) bytes wait to be written): "
          + "the record is refused until the database takes some.",
        path: directory)
    }
    if let spare {
      self.spare = nil
      if spare.isInPlace { return spare }
      spare.close()
    }
    if let refusedUntil, let lastRefusal, ContinuousClock.now < refusedUntil { throw lastRefusal }
    do throws(StoreError) {
      return try SpoolSegment.create(in: directory, stream: stream, size: segmentBytes)
    } catch {
      refusedUntil = ContinuousClock.now.advanced(by: Self.pauseAfterFailure)
      throw error
    }
  }

  private mutating func activate(_ segment: SpoolSegment) {
    if let last = live.indices.last {
      live[last].limit = offset
      live[last].sealed = true
      live[last].next = nextSequence
    }
    live.append(Extent(segment: segment, limit: SegmentFormat.headerBytes, sealed: false, next: nextSequence))
    unsafe base = unsafe segment.base
    offset = SegmentFormat.headerBytes
    end = segmentBytes
    seed = segment.id.seed
  }
}
