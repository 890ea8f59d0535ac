// SPDX-License-Identifier: Apache-2.0

/// The files' lives: segments made ahead, orphans adopted, drained ones removed.
extension DrainLoop {
  /// Looks at what was appended.
  mutating func follow() {
    let (extents, settled) = core.side.withLock { ($0.extents(), $0.settled) }
    for extent in extents {
      if let index = sources.firstIndex(where: { $0.segment === extent.segment }) {
        sources[index].extend(to: extent)
      } else {
        let first = sources.last { !$0.isOrphan }?.sequenceAtLimit ?? settled
        sources.append(DrainSource(own: extent, from: first))
      }
    }
  }

  /// Looks, now and then, whether the active segment's file is still there: what is appended to a file
  /// without a name would die with this process.
  mutating func lookAround() {
    guard closing == nil else { return }
    if let nextLook, clock.now < nextLook { return }
    nextLook = clock.now.advanced(by: core.configuration.adoptionInterval)
    if let active = core.side.withLock({ $0.active }), !active.isInPlace {
      core.side.withLock { $0.leave(active) }
    }
  }

  /// Takes over the segments of processes that have died.
  mutating func adopt() {
    guard let due = nextAdoption, clock.now >= due, closing == nil else { return }
    nextAdoption = clock.now.advanced(by: core.configuration.adoptionInterval)
    let known = Set(sources.map(\.segment.id))
    let spare = core.side.withLock { $0.spare?.id }
    var unusable = 0
    var orphans = sources.count(where: \.isOrphan)
    var adopted: [SpoolSegment] = []
    for name in core.directory.segments(of: core.configuration.stream) {
      if known.contains(name.id) || name.id == spare { continue }
      if orphans >= Self.mostOrphans { break }
      switch SpoolSegment.adopt(name, in: core.directory.path) {
      case .owned, .gone: continue
      case .unusable: unusable += 1
      case .adopted(let segment):
        adopted.append(segment)
        orphans += 1
      }
    }
    // A dead process's segments in the order it filled them, as far as they were met in one go.
    adopted.sort { $0.created < $1.created }
    sources += adopted.map(DrainSource.init(orphan:))
    core.board.withLock { $0.unusable = unusable }
  }

  /// Ends the life of segments that hold nothing more.
  mutating func retire() {
    guard flight == nil else { return }
    var kept: [DrainSource] = []
    var sawOrphan = false
    for var source in sources {
      // Damage with nothing readable behind it needs no transaction: whoever reads it again finds the same.
      while let piece = source.next, piece.record == nil {
        source.settle(to: piece.to, next: piece.next, records: 0, lost: piece.lost)
        core.board.withLock { $0.damaged += piece.lost }
        if !source.isOrphan, let next = piece.next { core.side.withLock { $0.settled = next } }
      }
      guard source.isExhausted else {
        kept.append(source)
        continue
      }
      if !source.isOrphan { core.side.withLock { $0.remove(source.segment) } }
      if source.hasDamage { source.segment.setAside() } else { source.segment.delete() }
      if source.position > SegmentFormat.headerBytes { removed.append(source.segment.id.description) }
      sawOrphan = sawOrphan || source.isOrphan
    }
    sources = kept
    // There may be more orphans than are held open at once.
    if sawOrphan, closing == nil { nextAdoption = clock.now }
  }

  mutating func makeSpare() {
    if let nextSpare, clock.now < nextSpare { return }
    nextSpare = nil
    guard core.side.withLock({ $0.wantsSpare }) else { return }
    do throws(StoreError) {
      let segment = try SpoolSegment.create(
        in: core.directory.path, stream: core.configuration.stream, size: core.configuration.segmentBytes)
      segment.populate()
      core.side.withLock { $0.offer(segment) }?.delete()
    } catch {
      // The append that needs it will say so; until then there may be room again.
      nextSpare = clock.now.advanced(by: .seconds(1))
    }
  }
}
