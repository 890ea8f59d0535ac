// SPDX-License-Identifier: Apache-2.0

import GRDBSQLite

/// What SQLite holds for an open image: its own field, then ours.
@safe struct ImageVFSFile {
  var base: sqlite3_file
  var image: Unmanaged<FileImage>?
  var claimsWritable = false

  /// The functions of every open image (<https://www.sqlite.org/c3ref/io_methods.html>). Those that would
  /// write refuse.
  ///
  /// `nonisolated(unsafe)`: written once here, then only read, by SQLite.
  nonisolated(unsafe) static let methods: UnsafeMutablePointer<sqlite3_io_methods> = {
    let methods = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
    unsafe methods.initialize(to: sqlite3_io_methods())
    // Version 1: no shared memory, so no WAL, and no memory mapping.
    unsafe methods.pointee.iVersion = 1
    unsafe methods.pointee.xClose = { file in
      guard let file = unsafe file else { return SQLITE_OK }
      let ours = unsafe UnsafeMutableRawPointer(file).assumingMemoryBound(to: ImageVFSFile.self)
      unsafe ours.pointee.image?.release()
      unsafe ours.pointee.image = nil
      return SQLITE_OK
    }
    unsafe methods.pointee.xRead = { file, buffer, count, offset in
      unsafe ImageVFSFile.read(file, buffer, count, offset)
    }
    unsafe methods.pointee.xWrite = { _, _, _, _ in SQLITE_READONLY }
    unsafe methods.pointee.xTruncate = { _, _ in SQLITE_READONLY }
    unsafe methods.pointee.xSync = { _, _ in SQLITE_OK }
    unsafe methods.pointee.xFileSize = { file, size in
      guard let image = unsafe ImageVFSFile.image(of: file) else { return SQLITE_IOERR }
      unsafe size?.pointee = image.byteCount
      return SQLITE_OK
    }
    unsafe methods.pointee.xLock = { _, _ in SQLITE_OK }
    unsafe methods.pointee.xUnlock = { _, _ in SQLITE_OK }
    unsafe methods.pointee.xCheckReservedLock = { _, result in
      unsafe result?.pointee = 0
      return SQLITE_OK
    }
    unsafe methods.pointee.xFileControl = { _, _, _ in SQLITE_NOTFOUND }
    unsafe methods.pointee.xSectorSize = { _ in 4096 }
    unsafe methods.pointee.xDeviceCharacteristics = { file in
      guard let file = unsafe file else { return 0 }
      let ours = unsafe UnsafeMutableRawPointer(file).assumingMemoryBound(to: ImageVFSFile.self)
      // An immutable file has no journal and needs no lock (os.h, `SQLITE_IOCAP_IMMUTABLE`).
      return unsafe ours.pointee.claimsWritable ? 0 : SQLITE_IOCAP_IMMUTABLE
    }
    return unsafe methods
  }()

  private static func image(of file: UnsafeMutablePointer<sqlite3_file>?) -> FileImage? {
    guard let file = unsafe file else { return nil }
    return unsafe UnsafeMutableRawPointer(file).assumingMemoryBound(to: ImageVFSFile.self).pointee.image?
      .takeUnretainedValue()
  }

  private static func read(
    _ file: UnsafeMutablePointer<sqlite3_file>?, _ buffer: UnsafeMutableRawPointer?, _ count: Int32,
    _ offset: sqlite3_int64
  ) -> Int32 {
    guard let image = unsafe image(of: file), let buffer = unsafe buffer, count >= 0, offset >= 0 else {
      return SQLITE_IOERR
    }
    let there = Int(max(0, min(Int64(count), image.byteCount - offset)))
    do {
      try unsafe image.readPresented(
        into: UnsafeMutableRawBufferPointer(start: buffer, count: there), at: offset)
    } catch {
      return SQLITE_IOERR | (1 << 8)  // SQLITE_IOERR_READ, a macro Swift does not see
    }
    if there == Int(count) { return SQLITE_OK }
    // SQLite wants the rest zeroed.
    unsafe UnsafeMutableRawBufferPointer(start: buffer + there, count: Int(count) - there)
      .initializeMemory(as: UInt8.self, repeating: 0)
    return SQLITE_IOERR | (2 << 8)  // SQLITE_IOERR_SHORT_READ
  }
}
