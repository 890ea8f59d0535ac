// SPDX-License-Identifier: Apache-2.0

import CHoldfast
import Foundation
import GRDBSQLite
import HoldfastEngine

/// Makes one call of SQLite to the system fail, once, as a passing trouble of the device does.
///
/// A shim before the system's own VFS: files, locks and shared memory are the real ones. It becomes SQLite's
/// default, and stays that: install it in a process made for it (``PeerProcess``), before the first database is
/// opened.
public final class DiskFaults: Sendable {
  /// The faults of this process.
  public static let shared = DiskFaults()

  /// What SQLite asks of the system.
  enum Call: String {
    case open, delete, access, read, write, truncate, sync, size, lock, unlock, isReserved, sharedMemory
    case sharedLock

    /// What the unix VFS answers when the kernel says EIO (os_unix.c).
    var failure: Int32 {
      let detail: Int32
      switch self {
      case .open: return SQLITE_CANTOPEN
      case .read: detail = 1
      case .write: detail = 3
      case .sync: detail = 4
      case .truncate: detail = 6
      case .size: detail = 7
      case .unlock: detail = 8
      case .delete: detail = 10
      case .access: detail = 13
      case .isReserved: detail = 14
      case .lock: detail = 15
      case .sharedLock: detail = 20
      case .sharedMemory: detail = 21
      }
      return SQLITE_IOERR | detail << 8
    }
  }

  private struct State {
    var left: Int?
    var struck: Call?
  }

  private let state = LockedState(State())
  private let isInstalled = Monitor(false)

  private init() {}

  /// Puts the shim before the system's VFS. Once is enough.
  public func install() {
    isInstalled.withLock { isInstalled in
      if isInstalled { return }
      isInstalled = true
      FaultVFS.install()
    }
  }

  /// Has the call fail that comes after so many others, on whatever thread.
  public func arm(after calls: Int) {
    state.withLock { $0 = State(left: calls) }
  }

  /// Lets everything through again.
  /// - Returns: which call failed; nil when there were not so many.
  public func disarm() -> String? {
    state.withLock { state in
      defer { state = State() }
      return state.struck?.rawValue
    }
  }

  /// The answer to a call that is to fail now; nil for one that is to be carried out.
  func answer(to call: Call) -> Int32? {
    state.withLock { state in
      guard let left = state.left else { return nil }
      state.left = left > 0 ? left - 1 : nil
      guard left == 0 else { return nil }
      state.struck = call
      return call.failure
    }
  }
}

/// The C side: names.
private enum FaultVFS {
  nonisolated(unsafe) static var real: UnsafeMutablePointer<sqlite3_vfs>?

  static func install() {
    guard let system = unsafe sqlite3_vfs_find(nil) else { fatalError("SQLite has no VFS") }
    unsafe real = unsafe system
    let vfs = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
    unsafe vfs.initialize(to: system.pointee)
    unsafe vfs.pointee.pNext = nil
    unsafe vfs.pointee.zName = UnsafePointer(strdup("faults"))
    unsafe vfs.pointee.szOsFile += Int32(MemoryLayout<FaultyFile>.stride)
    unsafe vfs.pointee.xOpen = { _, name, file, flags, outFlags in
      guard let file = unsafe file, let system = unsafe FaultVFS.real else { return SQLITE_CANTOPEN }
      unsafe file.pointee.pMethods = nil
      if let failure = DiskFaults.shared.answer(to: .open) { return failure }
      let code = unsafe system.pointee.xOpen(system, name, FaultyFile.real(file), flags, outFlags)
      if code == SQLITE_OK { unsafe file.pointee.pMethods = UnsafePointer(FaultyFile.methods) }
      return code
    }
    unsafe vfs.pointee.xDelete = { _, name, synced in
      guard let system = unsafe FaultVFS.real else { return SQLITE_IOERR }
      return unsafe DiskFaults.shared.answer(to: .delete) ?? system.pointee.xDelete(system, name, synced)
    }
    unsafe vfs.pointee.xAccess = { _, name, flags, result in
      guard let system = unsafe FaultVFS.real else { return SQLITE_IOERR }
      return unsafe DiskFaults.shared.answer(to: .access)
        ?? system.pointee.xAccess(system, name, flags, result)
    }
    unsafe sqlite3_vfs_register(vfs, 1)
  }
}

/// What SQLite holds for a file opened through ``DiskFaults``: its own field; the real VFS's own file lies right
/// behind this.
@safe private struct FaultyFile {
  var base: sqlite3_file

  /// The functions of every such file: each fails or asks the real one.
  nonisolated(unsafe) static let methods: UnsafeMutablePointer<sqlite3_io_methods> = {
    let methods = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
    unsafe methods.initialize(to: sqlite3_io_methods())
    // Without version 3's memory mapping, by which pages could be read past this.
    unsafe methods.pointee.iVersion = 2
    unsafe methods.pointee.xClose = { file in
      let real = unsafe FaultyFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xClose(real)
    }
    unsafe methods.pointee.xRead = { file, buffer, count, offset in
      let real = unsafe FaultyFile.real(file)
      return unsafe DiskFaults.shared.answer(to: .read)
        ?? real.pointee.pMethods.pointee.xRead(real, buffer, count, offset)
    }
    unsafe methods.pointee.xWrite = { file, buffer, count, offset in
      let real = unsafe FaultyFile.real(file)
      return unsafe DiskFaults.shared.answer(to: .write)
        ?? real.pointee.pMethods.pointee.xWrite(real, buffer, count, offset)
    }
    unsafe methods.pointee.xTruncate = { file, size in
      let real = unsafe FaultyFile.real(file)
      return unsafe DiskFaults.shared.answer(to: .truncate)
        ?? real.pointee.pMethods.pointee.xTruncate(real, size)
    }
    unsafe methods.pointee.xSync = { file, flags in
      let real = unsafe FaultyFile.real(file)
      return unsafe DiskFaults.shared.answer(to: .sync) ?? real.pointee.pMethods.pointee.xSync(real, flags)
    }
    unsafe methods.pointee.xFileSize = { file, size in
      let real = unsafe FaultyFile.real(file)
      return unsafe DiskFaults.shared.answer(to: .size)
        ?? real.pointee.pMethods.pointee.xFileSize(real, size)
    }
    unsafe methods.pointee.xLock = { file, level in
      let real = unsafe FaultyFile.real(file)
      return unsafe DiskFaults.shared.answer(to: .lock) ?? real.pointee.pMethods.pointee.xLock(real, level)
    }
    unsafe methods.pointee.xUnlock = { file, level in
      // The lock goes all the same, as with a descriptor whose filesystem is in trouble.
      let real = unsafe FaultyFile.real(file)
      let code = unsafe real.pointee.pMethods.pointee.xUnlock(real, level)
      return DiskFaults.shared.answer(to: .unlock) ?? code
    }
    unsafe methods.pointee.xCheckReservedLock = { file, result in
      let real = unsafe FaultyFile.real(file)
      return unsafe DiskFaults.shared.answer(to: .isReserved)
        ?? real.pointee.pMethods.pointee.xCheckReservedLock(real, result)
    }
    unsafe methods.pointee.xFileControl = { file, operation, argument in
      let real = unsafe FaultyFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xFileControl(real, operation, argument)
    }
    unsafe methods.pointee.xSectorSize = { file in
      let real = unsafe FaultyFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xSectorSize(real)
    }
    unsafe methods.pointee.xDeviceCharacteristics = { file in
      let real = unsafe FaultyFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xDeviceCharacteristics(real)
    }
    unsafe methods.pointee.xShmMap = { file, index, size, extend, result in
      let real = unsafe FaultyFile.real(file)
      if let failure = DiskFaults.shared.answer(to: .sharedMemory) {
        unsafe result?.pointee = nil
        return failure
      }
      return unsafe real.pointee.pMethods.pointee.xShmMap(real, index, size, extend, result)
    }
    unsafe methods.pointee.xShmLock = { file, first, count, flags in
      let real = unsafe FaultyFile.real(file)
      // An unlock that fails is not answered by SQLite at all; the kernel has no reason to refuse one.
      let failure = flags & SQLITE_SHM_LOCK != 0 ? DiskFaults.shared.answer(to: .sharedLock) : nil
      return unsafe failure ?? real.pointee.pMethods.pointee.xShmLock(real, first, count, flags)
    }
    unsafe methods.pointee.xShmBarrier = { file in
      let real = unsafe FaultyFile.real(file)
      unsafe real.pointee.pMethods.pointee.xShmBarrier(real)
    }
    unsafe methods.pointee.xShmUnmap = { file, deletes in
      let real = unsafe FaultyFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xShmUnmap(real, deletes)
    }
    return unsafe methods
  }()

  /// The real VFS's file.
  static func real(_ file: UnsafeMutablePointer<sqlite3_file>?) -> UnsafeMutablePointer<sqlite3_file> {
    guard let file = unsafe file else { fatalError("SQLite passed no file") }
    return unsafe (UnsafeMutableRawPointer(file) + MemoryLayout<FaultyFile>.stride)
      .assumingMemoryBound(to: sqlite3_file.self)
  }
}
