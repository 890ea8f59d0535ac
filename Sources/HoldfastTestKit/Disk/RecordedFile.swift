// SPDX-License-Identifier: Apache-2.0

import CHoldfast
import GRDBSQLite

/// What SQLite holds for a file opened through a ``DiskRecorder``: its own field, then ours; the real VFS's
/// own file lies right behind this.
@safe struct RecordedFile {
  var base: sqlite3_file
  var handle: Unmanaged<RecordedHandle>?

  /// The functions of every recorded file: each asks the real one and notes what changed.
  nonisolated(unsafe) static let methods: UnsafeMutablePointer<sqlite3_io_methods> = {
    let methods = UnsafeMutablePointer<sqlite3_io_methods>.allocate(capacity: 1)
    unsafe methods.initialize(to: sqlite3_io_methods())
    // Without version 3's memory mapping, by which pages could be read past the log but never written.
    unsafe methods.pointee.iVersion = 2
    unsafe methods.pointee.xClose = { file in
      let real = unsafe RecordedFile.real(file)
      let code = unsafe real.pointee.pMethods.pointee.xClose(real)
      unsafe RecordedFile.ours(file).pointee.handle?.release()
      unsafe RecordedFile.ours(file).pointee.handle = nil
      return code
    }
    unsafe methods.pointee.xRead = { file, buffer, count, offset in
      let real = unsafe RecordedFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xRead(real, buffer, count, offset)
    }
    unsafe methods.pointee.xWrite = { file, buffer, count, offset in
      let real = unsafe RecordedFile.real(file)
      return unsafe RecordedFile.handle(file).noting { handle in
        let bytes = unsafe [UInt8](UnsafeRawBufferPointer(start: buffer, count: Int(count)))
        return [.write(handle.file, offset: Int(offset), bytes: bytes)]
      } after: {
        unsafe real.pointee.pMethods.pointee.xWrite(real, buffer, count, offset)
      }
    }
    unsafe methods.pointee.xTruncate = { file, size in
      let real = unsafe RecordedFile.real(file)
      return unsafe RecordedFile.handle(file).noting {
        [.truncate($0.file, size: Int(size))]
      } after: {
        unsafe real.pointee.pMethods.pointee.xTruncate(real, size)
      }
    }
    unsafe methods.pointee.xSync = { file, flags in
      let real = unsafe RecordedFile.real(file)
      return unsafe RecordedFile.handle(file).noting {
        $0.takeSyncEvents()
      } after: {
        unsafe real.pointee.pMethods.pointee.xSync(real, flags)
      }
    }
    unsafe methods.pointee.xFileSize = { file, size in
      let real = unsafe RecordedFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xFileSize(real, size)
    }
    unsafe methods.pointee.xLock = { file, level in
      let real = unsafe RecordedFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xLock(real, level)
    }
    unsafe methods.pointee.xUnlock = { file, level in
      let real = unsafe RecordedFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xUnlock(real, level)
    }
    unsafe methods.pointee.xCheckReservedLock = { file, result in
      let real = unsafe RecordedFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xCheckReservedLock(real, result)
    }
    unsafe methods.pointee.xFileControl = { file, operation, argument in
      let real = unsafe RecordedFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xFileControl(real, operation, argument)
    }
    unsafe methods.pointee.xSectorSize = { file in
      let real = unsafe RecordedFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xSectorSize(real)
    }
    unsafe methods.pointee.xDeviceCharacteristics = { file in
      let real = unsafe RecordedFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xDeviceCharacteristics(real)
    }
    unsafe methods.pointee.xShmMap = { file, index, size, extend, result in
      let real = unsafe RecordedFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xShmMap(real, index, size, extend, result)
    }
    unsafe methods.pointee.xShmLock = { file, first, count, flags in
      let real = unsafe RecordedFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xShmLock(real, first, count, flags)
    }
    unsafe methods.pointee.xShmBarrier = { file in
      let real = unsafe RecordedFile.real(file)
      unsafe real.pointee.pMethods.pointee.xShmBarrier(real)
    }
    unsafe methods.pointee.xShmUnmap = { file, deletes in
      let real = unsafe RecordedFile.real(file)
      return unsafe real.pointee.pMethods.pointee.xShmUnmap(real, deletes)
    }
    return unsafe methods
  }()

  static func ours(_ file: UnsafeMutablePointer<sqlite3_file>?) -> UnsafeMutablePointer<RecordedFile> {
    guard let file = unsafe file else { fatalError("SQLite passed no file") }
    return unsafe UnsafeMutableRawPointer(file).assumingMemoryBound(to: RecordedFile.self)
  }

  /// The real VFS's file.
  static func real(_ file: UnsafeMutablePointer<sqlite3_file>?) -> UnsafeMutablePointer<sqlite3_file> {
    unsafe (UnsafeMutableRawPointer(ours(file)) + MemoryLayout<RecordedFile>.stride)
      .assumingMemoryBound(to: sqlite3_file.self)
  }

  private static func handle(_ file: UnsafeMutablePointer<sqlite3_file>?) -> RecordedHandle {
    guard let handle = unsafe ours(file).pointee.handle else { fatalError("SQLite used a closed file") }
    return unsafe handle.takeUnretainedValue()
  }
}
