// SPDX-License-Identifier: Apache-2.0

import Foundation

extension DiskState {
  /// The unit a disk writes whole: of a larger write any sectors may be on the platter and any not.
  static let sectorBytes = 512

  /// How the cache had been written back when the power went.
  enum WriteBack: CaseIterable {
    /// Nothing that was not synced.
    case nothing
    /// Everything: the kindest case, and the one that finds a sync that was relied on to come *late*.
    case everything
    /// In the order it was written, up to some moment.
    case inOrder
    /// Each sector by itself, as it was at some moment since the last sync: reordered and torn.
    case anySector
    /// Each sector either as synced or as it last was.
    case oldOrNew
  }

  /// What is on the disk when the power comes back, drawn at random: a synced file is as it was synced; of
  /// what was not, each sector is as at some moment since, each size and each name likewise.
  ///
  /// The model is that of a page cache: a sector holds what it held at one of its moments, never a mixture,
  /// and an older write never replaces a newer one in the same sector. Between sectors, files and names
  /// nothing is ordered. That is what POSIX leaves open; a journalling filesystem is kinder.
  public func afterPowerCut(using random: inout some RandomNumberGenerator) -> DiskState {
    var after = DiskState()
    after.names = namesAfterPowerCut(using: &random)
    // By number, so that a seed draws the same for each file whatever the dictionary's order.
    let kept = Set(after.names.values)
    for (file, content) in files.sorted(by: { $0.key < $1.key }) where kept.contains(file) {
      let bytes = content.afterPowerCut(using: &random)
      after.files[file] = Content(durable: bytes, current: bytes)
    }
    after.durableNames = after.names
    after.nextFile = nextFile
    return after
  }

  private func namesAfterPowerCut(
    using random: inout some RandomNumberGenerator
  ) -> [String: DiskEvent.File] {
    var after = durableNames
    if pendingNames.isEmpty { return after }
    if Bool.random(using: &random) {
      // A journalling filesystem: in order, up to some moment.
      for naming in pendingNames.prefix(Int.random(in: 0...pendingNames.count, using: &random)) {
        after[naming.name] = naming.file
      }
    } else {
      // Each name by itself.
      for name in Set(pendingNames.map(\.name)).sorted() {
        let own = pendingNames.filter { $0.name == name }
        for naming in own.prefix(Int.random(in: 0...own.count, using: &random)) { after[name] = naming.file }
      }
    }
    return after
  }
}

extension DiskState.Content {
  fileprivate func afterPowerCut(using random: inout some RandomNumberGenerator) -> [UInt8] {
    if pending.isEmpty { return durable }
    let way = DiskState.WriteBack.allCases.randomElement(using: &random) ?? .nothing
    if way == .nothing { return durable }
    if way == .everything { return current }
    // The size goes back to some moment of its own, and with it every cut of the file up to there. What was
    // written after a cut that is not on the platter went to new blocks, which are not the file's.
    var sizes = [durable.count]
    for change in pending { sizes.append(change.size(after: sizes[sizes.count - 1])) }
    let sizeMoment = Int.random(in: 0...pending.count, using: &random)
    let undone = pending.indices.first { $0 >= sizeMoment && sizes[$0 + 1] < sizes[$0] }
    let count = undone ?? pending.count
    // How many of the changes a sector had seen when it was last written back.
    var moments = SectorMoments(way: way, changes: count, bytes: sizes.max() ?? 0, using: &random)
    if way == .inOrder { moments = .all(min(sizeMoment, count)) }
    var bytes = durable
    bytes.resize(to: sizes.max() ?? 0)
    for (index, change) in pending.prefix(count).enumerated() {
      switch change {
      case .write(let offset, let written):
        bytes.overwrite(at: offset, with: written) { sector in index < moments.moment(of: sector) }
      case .truncate(let size):
        // Applied as a whole: a sector that is cut off reads as zeros if the file ever grows over it again.
        if index < sizeMoment { bytes.zero(from: size) }
      }
    }
    bytes.resize(to: sizes[sizeMoment])
    return bytes
  }
}

extension DiskState.Change {
  fileprivate func size(after size: Int) -> Int {
    switch self {
    case .write(let offset, let bytes): max(size, offset + bytes.count)
    case .truncate(let size): size
    }
  }
}

/// Up to which change each sector had been written back.
private enum SectorMoments {
  case all(Int)
  case each([Int])

  init(
    way: DiskState.WriteBack, changes: Int, bytes: Int, using random: inout some RandomNumberGenerator
  ) {
    let sectors = (bytes + DiskState.sectorBytes - 1) / DiskState.sectorBytes
    switch way {
    case .nothing, .inOrder: self = .all(0)
    case .everything: self = .all(changes)
    case .anySector: self = .each((0..<sectors).map { _ in Int.random(in: 0...changes, using: &random) })
    case .oldOrNew: self = .each((0..<sectors).map { _ in Bool.random(using: &random) ? 0 : changes })
    }
  }

  func moment(of sector: Int) -> Int {
    switch self {
    case .all(let moment): moment
    case .each(let moments): moments[sector]
    }
  }
}

extension [UInt8] {
  /// Overwrites those sectors of the range for which `keep` holds.
  fileprivate mutating func overwrite(at offset: Int, with bytes: [UInt8], where keep: (Int) -> Bool) {
    unsafe withUnsafeMutableBytes { target in
      unsafe bytes.withUnsafeBytes { source in
        var position = 0
        while position < source.count {
          let sector = (offset + position) / DiskState.sectorBytes
          let end = Swift.min(source.count, (sector + 1) * DiskState.sectorBytes - offset)
          if keep(sector) {
            let piece = unsafe UnsafeRawBufferPointer(rebasing: source[position..<end])
            unsafe UnsafeMutableRawBufferPointer(rebasing: target[(offset + position)...]).copyMemory(
              from: piece)
          }
          position = end
        }
      }
    }
  }

  fileprivate mutating func zero(from start: Int) {
    unsafe withUnsafeMutableBytes { bytes in
      guard start < bytes.count else { return }
      if let base = bytes.baseAddress { unsafe _ = memset(base + start, 0, bytes.count - start) }
    }
  }
}
