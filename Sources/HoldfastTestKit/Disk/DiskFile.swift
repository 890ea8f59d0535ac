// SPDX-License-Identifier: Apache-2.0

import CHoldfast
import GRDBSQLite

/// What SQLite holds for an open file: its own field, then ours.
@safe struct DiskFile {
  var base: sqlite3_file
  var handle: Unmanaged<DiskHandle>?

  /// The functions of every open file (<https://www.sqlite.org/c3ref/io_methods.html>).
  nonisolated(unsafe) static let methods: UnsafeMutablePointer<sqlite3_io_methods> = {
    let methods = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
    unsafe methods.initialize(to: sqlite3_io_methods())
    unsafe methods.pointee.iVersion = 2
    unsafe methods.pointee.xClose = { file in
      unsafe DiskFile.handle(of: file).close()
      unsafe UnsafeMutableRawPointer(file!).assumingMemoryBound(to: DiskFile.self).pointee.handle?.release()
      return SQLITE_OK
    }
    unsafe methods.pointee.xRead = { file, buffer, count, offset in
      let bytes = unsafe UnsafeMutableRawBufferPointer(start: buffer, count: Int(count))
      return unsafe DiskFile.handle(of: file).read(into: bytes, at: Int(offset))
    }
    unsafe methods.pointee.xWrite = { file, buffer, count, offset in
      let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: buffer, count: Int(count)))
      return unsafe DiskFile.handle(of: file).write(bytes, at: Int(offset))
    }
    unsafe methods.pointee.xTruncate = { file, size in
      unsafe DiskFile.handle(of: file).truncate(to: Int(size))
    }
    unsafe methods.pointee.xSync = { file, _ in unsafe DiskFile.handle(of: file).sync() }
    unsafe methods.pointee.xFileSize = { file, size in
      unsafe size?.pointee = Int64(DiskFile.handle(of: file).size)
      return SQLITE_OK
    }
    unsafe methods.pointee.xLock = { file, level in unsafe DiskFile.handle(of: file).lock(level) }
    unsafe methods.pointee.xUnlock = { file, level in unsafe DiskFile.handle(of: file).unlock(level) }
    unsafe methods.pointee.xCheckReservedLock = { file, result in
      unsafe result?.pointee = DiskFile.handle(of: file).isReserved ? 1 : 0
      return SQLITE_OK
    }
    unsafe methods.pointee.xFileControl = { _, _, _ in SQLITE_NOTFOUND }
    unsafe methods.pointee.xSectorSize = { _ in Int32(DiskState.sectorBytes) }
    // Bytes of a sector beside those written stay as they are: what SQLite assumes of disks by default.
    unsafe methods.pointee.xDeviceCharacteristics = { _ in SQLITE_IOCAP_POWERSAFE_OVERWRITE }
    unsafe methods.pointee.xShmMap = { file, index, size, extend, result in
      var memory: UnsafeMutableRawPointer?
      let code = unsafe DiskFile.handle(of: file).region(
        Int(index), bytes: Int(size), extend: extend != 0, into: &memory)
      unsafe result?.pointee = unsafe memory
      return code
    }
    unsafe methods.pointee.xShmLock = { file, first, count, flags in
      unsafe DiskFile.handle(of: file).lockSlots(Int(first)..<Int(first + count), flags: flags)
    }
    unsafe methods.pointee.xShmBarrier = { file in
      // The disk's mutex is a full barrier.
      _ = unsafe DiskFile.handle(of: file).isReserved
    }
    unsafe methods.pointee.xShmUnmap = { _, _ in SQLITE_OK }
    return unsafe methods
  }()

  private static func handle(of file: UnsafeMutablePointer<sqlite3_file>?) -> DiskHandle {
    guard let file = unsafe file,
      let handle = unsafe UnsafeMutableRawPointer(file).assumingMemoryBound(to: DiskFile.self).pointee.handle
    else { fatalError("SQLite used a file that it had closed") }
    return unsafe handle.takeUnretainedValue()
  }
}
