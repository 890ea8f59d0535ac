// SPDX-License-Identifier: Apache-2.0

import GRDBSQLite

/// The locks and the shared memory of one database on a ``PowerLossDisk``: SQLite's own five-step file lock
/// and the eight slots of its WAL index (<https://www.sqlite.org/lockingv3.html>,
/// <https://www.sqlite.org/walformat.html>).
///
/// Owned by the disk and touched under its lock only.
struct DiskLocks {
  private var levels: [ObjectIdentifier: Int32] = [:]
  private var shared: [[ObjectIdentifier]] = Array(repeating: [], count: Int(SQLITE_SHM_NLOCK))
  private var exclusive: [ObjectIdentifier?] = Array(repeating: nil, count: Int(SQLITE_SHM_NLOCK))
  private var users: Set<ObjectIdentifier> = []
  private var regions: [SharedRegion] = []

  // MARK: The file lock

  /// Raises the lock of `owner`; the answer is SQLITE_OK or SQLITE_BUSY.
  mutating func raise(_ owner: ObjectIdentifier, to level: Int32) -> Int32 {
    let own = levels[owner] ?? SQLITE_LOCK_NONE
    if own >= level { return SQLITE_OK }
    let others = levels.filter { $0.key != owner }.map(\.value)
    switch level {
    case SQLITE_LOCK_SHARED:
      if others.contains(where: { $0 >= SQLITE_LOCK_PENDING }) { return SQLITE_BUSY }
    case SQLITE_LOCK_RESERVED:
      if others.contains(where: { $0 >= SQLITE_LOCK_RESERVED }) { return SQLITE_BUSY }
    default:
      if others.contains(where: { $0 >= SQLITE_LOCK_RESERVED }) { return SQLITE_BUSY }
      if others.contains(where: { $0 >= SQLITE_LOCK_SHARED }) {
        // New readers are kept out while the old ones finish.
        levels[owner] = SQLITE_LOCK_PENDING
        return SQLITE_BUSY
      }
    }
    levels[owner] = level
    return SQLITE_OK
  }

  mutating func lower(_ owner: ObjectIdentifier, to level: Int32) {
    guard let own = levels[owner], own > level else { return }
    levels[owner] = level == SQLITE_LOCK_NONE ? nil : level
  }

  var isReserved: Bool { levels.values.contains { $0 >= SQLITE_LOCK_RESERVED } }

  // MARK: The WAL index

  /// The region's memory; nil when it is not there and not to be made.
  mutating func region(
    _ index: Int, bytes: Int, extend: Bool, for owner: ObjectIdentifier
  ) -> UnsafeMutableRawPointer? {
    users.insert(owner)
    while regions.count <= index {
      guard extend else { return nil }
      regions.append(SharedRegion(bytes: bytes))
    }
    return unsafe regions[index].memory
  }

  mutating func lockSlots(_ slots: Range<Int>, exclusively: Bool, for owner: ObjectIdentifier) -> Int32 {
    for slot in slots {
      if let holder = exclusive[slot], holder != owner { return SQLITE_BUSY }
      if exclusively, shared[slot].contains(where: { $0 != owner }) { return SQLITE_BUSY }
    }
    for slot in slots {
      if exclusively { exclusive[slot] = owner } else { shared[slot].append(owner) }
    }
    return SQLITE_OK
  }

  mutating func unlockSlots(_ slots: Range<Int>, exclusively: Bool, for owner: ObjectIdentifier) {
    for slot in slots {
      if exclusively {
        if exclusive[slot] == owner { exclusive[slot] = nil }
      } else {
        shared[slot].removeAll { $0 == owner }
      }
    }
  }

  /// Drops whatever a connection still has; the memory goes with the last one.
  mutating func leave(_ owner: ObjectIdentifier) {
    levels[owner] = nil
    for slot in exclusive.indices {
      if exclusive[slot] == owner { exclusive[slot] = nil }
      shared[slot].removeAll { $0 == owner }
    }
    users.remove(owner)
    if users.isEmpty { regions = [] }
  }
}

/// Zeroed memory that lives as long as somebody refers to it.
@safe private final class SharedRegion {
  let memory: UnsafeMutableRawPointer

  init(bytes: Int) {
    unsafe memory = .allocate(byteCount: bytes, alignment: 4096)
    unsafe _ = memory.initializeMemory(as: UInt8.self, repeating: 0, count: bytes)
  }

  deinit { unsafe memory.deallocate() }
}
