// SPDX-License-Identifier: Apache-2.0

import CHoldfast
import Foundation
import GRDBSQLite
import HoldfastEngine

/// The C side of a ``PowerLossDisk``: what SQLite calls (<https://www.sqlite.org/c3ref/vfs.html>).
///
/// SQLite hands each function its `sqlite3_vfs` or `sqlite3_file`; the first leads to the disk by its name,
/// the second carries a ``DiskHandle`` right behind SQLite's own field.
enum DiskVFS {
  @safe private struct Entry {
    weak var disk: PowerLossDisk?
    let vfs: UnsafeMutablePointer<sqlite3_vfs>
  }

  /// By name. The structures are SQLite's as long as they are registered, and freed after.
  nonisolated(unsafe) private static var entries: [String: Entry] = [:]
  private static let guardian = NSLock()

  static func register(_ disk: PowerLossDisk) {
    let vfs = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
    unsafe vfs.initialize(to: sqlite3_vfs())
    unsafe vfs.pointee.iVersion = 2
    unsafe vfs.pointee.szOsFile = Int32(MemoryLayout<DiskFile>.size)
    unsafe vfs.pointee.mxPathname = 512
    unsafe vfs.pointee.zName = UnsafePointer(strdup(disk.vfsName))
    unsafe vfs.pointee.xOpen = { vfs, name, file, flags, outFlags in
      unsafe DiskVFS.open(vfs, name, file, flags, outFlags)
    }
    unsafe vfs.pointee.xDelete = { vfs, name, synced in unsafe DiskVFS.delete(vfs, name, synced) }
    unsafe vfs.pointee.xAccess = { vfs, name, _, result in unsafe DiskVFS.access(vfs, name, result) }
    unsafe vfs.pointee.xFullPathname = { _, name, size, result in
      guard let name = unsafe name, let result = unsafe result else { return SQLITE_CANTOPEN }
      unsafe strncpy(result, name, Int(size))
      return SQLITE_OK
    }
    unsafe vfs.pointee.xRandomness = { vfs, count, result in unsafe DiskVFS.randomness(vfs, count, result) }
    // Nobody else runs while a test's thread sleeps, so there is nothing to wait for.
    unsafe vfs.pointee.xSleep = { _, microseconds in microseconds }
    unsafe vfs.pointee.xCurrentTimeInt64 = { vfs, result in unsafe DiskVFS.time(vfs, result) }
    unsafe vfs.pointee.xGetLastError = { _, _, _ in 0 }
    guardian.withLock { unsafe entries[disk.vfsName] = unsafe Entry(disk: disk, vfs: vfs) }
    unsafe sqlite3_vfs_register(vfs, 0)
  }

  static func unregister(_ name: String) {
    let entry = guardian.withLock { unsafe entries.removeValue(forKey: name) }
    guard let entry else { return }
    unsafe sqlite3_vfs_unregister(entry.vfs)
    unsafe free(UnsafeMutableRawPointer(mutating: entry.vfs.pointee.zName))
    unsafe entry.vfs.deallocate()
  }

  private static func disk(of vfs: UnsafeMutablePointer<sqlite3_vfs>?) -> PowerLossDisk? {
    guard let name = unsafe vfs?.pointee.zName else { return nil }
    let key = unsafe String(cString: name)
    return guardian.withLock { unsafe entries[key]?.disk }
  }

  // MARK: Names

  private static func open(
    _ vfs: UnsafeMutablePointer<sqlite3_vfs>?, _ name: UnsafePointer<CChar>?,
    _ file: UnsafeMutablePointer<sqlite3_file>?, _ flags: Int32, _ outFlags: UnsafeMutablePointer<Int32>?
  ) -> Int32 {
    guard let file = unsafe file else { return SQLITE_CANTOPEN }
    unsafe file.pointee.pMethods = nil
    guard let disk = unsafe disk(of: vfs) else { return SQLITE_CANTOPEN }
    switch DiskHandle.open(unsafe name.map { unsafe String(cString: $0) }, on: disk, flags: flags) {
    case .failure(let failure): return failure.code
    case .success(let handle):
      unsafe UnsafeMutableRawPointer(file).assumingMemoryBound(to: DiskFile.self).pointee.handle =
        Unmanaged.passRetained(handle)
      unsafe file.pointee.pMethods = UnsafePointer(DiskFile.methods)
      unsafe outFlags?.pointee = flags
      return SQLITE_OK
    }
  }

  private static func delete(
    _ vfs: UnsafeMutablePointer<sqlite3_vfs>?, _ name: UnsafePointer<CChar>?, _ synced: Int32
  ) -> Int32 {
    guard let disk = unsafe disk(of: vfs), let name = unsafe name else { return SQLITE_IOERR }
    let text = unsafe String(cString: name)
    return disk.storage.withLock { storage in
      if storage.isOff { return SQLITE_IOERR }
      guard storage.state.names[text] != nil else {
        return SQLITE_IOERR | (23 << 8)  // SQLITE_IOERR_DELETE_NOENT
      }
      guard storage.happen(.delete(name: text)) else { return SQLITE_IOERR }
      if synced == 0 { return SQLITE_OK }
      return storage.happen(.syncDirectory(DiskState.directory(of: text))) ? SQLITE_OK : SQLITE_IOERR
    }
  }

  private static func access(
    _ vfs: UnsafeMutablePointer<sqlite3_vfs>?, _ name: UnsafePointer<CChar>?,
    _ result: UnsafeMutablePointer<Int32>?
  ) -> Int32 {
    guard let disk = unsafe disk(of: vfs), let name = unsafe name else { return SQLITE_IOERR }
    let text = unsafe String(cString: name)
    let isThere = disk.storage.withLock { storage in
      // As the unix VFS: an empty file does not count where existence is asked.
      storage.state.names[text].map { !(storage.state.files[$0]?.current.isEmpty ?? true) } ?? false
    }
    unsafe result?.pointee = isThere ? 1 : 0
    return SQLITE_OK
  }

  // MARK: Everything from the seed

  private static func randomness(
    _ vfs: UnsafeMutablePointer<sqlite3_vfs>?, _ count: Int32, _ result: UnsafeMutablePointer<CChar>?
  ) -> Int32 {
    guard let disk = unsafe disk(of: vfs), let result = unsafe result else { return 0 }
    disk.storage.withLock { storage in
      for index in 0..<Int(count) {
        unsafe result[index] = CChar(truncatingIfNeeded: storage.random.next())
      }
    }
    return count
  }

  private static func time(
    _ vfs: UnsafeMutablePointer<sqlite3_vfs>?, _ result: UnsafeMutablePointer<sqlite3_int64>?
  ) -> Int32 {
    guard let disk = unsafe disk(of: vfs) else { return SQLITE_IOERR }
    let milliseconds = disk.storage.withLock { storage in
      storage.milliseconds += 1
      return storage.milliseconds
    }
    // 2026-01-01 as a Julian day in milliseconds.
    unsafe result?.pointee = 212_633_337_600_000 + milliseconds
    return SQLITE_OK
  }
}
