// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDBSQLite
import HoldfastEngine

/// One open file of a ``PowerLossDisk``. SQLite uses a handle from one thread at a time.
///
/// `@unchecked Sendable`: the mutable properties are SQLite's own serialised view of its file; what is shared
/// lies in the disk's mutex.
final class DiskHandle: @unchecked Sendable {
  let disk: PowerLossDisk
  let file: DiskEvent.File
  let name: String
  /// A journal's or WAL's name is synced with its first sync, as SQLite's unix VFS does (os_unix.c,
  /// `unixSync`).
  private var syncsDirectory: Bool
  private let deletesOnClose: Bool
  private let generation: Int
  /// The content of a file without a name: nothing of it outlives the process, so none of it is logged.
  private var scratch: [UInt8]?

  init(disk: PowerLossDisk, file: DiskEvent.File, name: String?, flags: Int32, generation: Int) {
    self.disk = disk
    self.file = file
    self.name = name ?? ""
    self.generation = generation
    scratch = name == nil ? [] : nil
    syncsDirectory = flags & (SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL) != 0
    deletesOnClose = flags & SQLITE_OPEN_DELETEONCLOSE != 0
  }

  var identity: ObjectIdentifier { ObjectIdentifier(self) }

  /// Opens a file of the disk; the answer is a result code where it cannot.
  static func open(_ name: String?, on disk: PowerLossDisk, flags: Int32) -> Result<DiskHandle, DiskFailure> {
    disk.storage.withLock { storage in
      if storage.isOff { return .failure(.powerIsOff) }
      var file = 0
      if let name {
        if let known = storage.state.names[name] {
          file = known
        } else {
          guard flags & SQLITE_OPEN_CREATE != 0 else { return .failure(DiskFailure(code: SQLITE_CANTOPEN)) }
          file = storage.state.makeFile()
          guard storage.happen(.create(file, name: name)) else { return .failure(.powerIsOff) }
        }
      }
      return .success(
        DiskHandle(disk: disk, file: file, name: name, flags: flags, generation: storage.generation))
    }
  }

  /// Runs `body` unless the power is or was gone since this was opened.
  private func powered(_ body: (inout PowerLossDisk.Storage) -> Int32) -> Int32 {
    disk.storage.withLock { storage in
      guard !storage.isOff, storage.generation == generation else { return SQLITE_IOERR }
      return body(&storage)
    }
  }

  // MARK: Content

  func read(into buffer: UnsafeMutableRawBufferPointer, at offset: Int) -> Int32 {
    if let scratch { return unsafe Self.copy(scratch, into: buffer, at: offset) }
    return powered { storage in
      unsafe Self.copy(storage.state.files[file]?.current ?? [], into: buffer, at: offset)
    }
  }

  private static func copy(_ bytes: [UInt8], into buffer: UnsafeMutableRawBufferPointer, at offset: Int)
    -> Int32
  {
    let count = max(0, min(buffer.count, bytes.count - offset))
    if count > 0 {
      unsafe bytes.withUnsafeBytes {
        unsafe buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[offset..<offset + count]))
      }
    }
    if count == buffer.count { return SQLITE_OK }
    // SQLite wants the rest zeroed (https://www.sqlite.org/c3ref/io_methods.html).
    if let base = buffer.baseAddress { unsafe _ = memset(base + count, 0, buffer.count - count) }
    return SQLITE_IOERR | (2 << 8)  // SQLITE_IOERR_SHORT_READ, a macro Swift does not see
  }

  func write(_ bytes: [UInt8], at offset: Int) -> Int32 {
    if scratch != nil {
      scratch?.overwrite(at: offset, with: bytes)
      return SQLITE_OK
    }
    return change(.write(file, offset: offset, bytes: bytes))
  }

  func truncate(to size: Int) -> Int32 {
    if scratch != nil {
      scratch?.resize(to: size)
      return SQLITE_OK
    }
    return change(.truncate(file, size: size))
  }

  func sync() -> Int32 {
    if scratch != nil { return SQLITE_OK }
    let code = change(.sync(file))
    guard code == SQLITE_OK, syncsDirectory else { return code }
    syncsDirectory = false
    return change(.syncDirectory(DiskState.directory(of: name)))
  }

  var size: Int {
    scratch?.count ?? disk.storage.withLock { $0.state.files[file]?.current.count ?? 0 }
  }

  private func change(_ event: DiskEvent) -> Int32 {
    powered { $0.happen(event) ? SQLITE_OK : SQLITE_IOERR }
  }

  // MARK: Locks

  func lock(_ level: Int32) -> Int32 {
    powered { $0.locks[file, default: DiskLocks()].raise(identity, to: level) }
  }

  func unlock(_ level: Int32) -> Int32 {
    disk.storage.withLock { $0.locks[file]?.lower(identity, to: level) }
    return SQLITE_OK
  }

  var isReserved: Bool { disk.storage.withLock { $0.locks[file]?.isReserved ?? false } }

  func region(_ index: Int, bytes: Int, extend: Bool, into result: inout UnsafeMutableRawPointer?) -> Int32 {
    var memory: UnsafeMutableRawPointer?
    let code = powered { storage in
      unsafe memory =
        storage.locks[file, default: DiskLocks()].region(index, bytes: bytes, extend: extend, for: identity)
      return SQLITE_OK
    }
    unsafe result = unsafe memory
    return code
  }

  func lockSlots(_ slots: Range<Int>, flags: Int32) -> Int32 {
    let exclusively = flags & SQLITE_SHM_EXCLUSIVE != 0
    if flags & SQLITE_SHM_UNLOCK != 0 {
      disk.storage.withLock { $0.locks[file]?.unlockSlots(slots, exclusively: exclusively, for: identity) }
      return SQLITE_OK
    }
    return powered {
      $0.locks[file, default: DiskLocks()].lockSlots(slots, exclusively: exclusively, for: identity)
    }
  }

  func close() {
    disk.storage.withLock { storage in
      guard storage.generation == generation else { return }
      storage.locks[file]?.leave(identity)
      if deletesOnClose, !name.isEmpty, !storage.isOff { _ = storage.happen(.delete(name: name)) }
    }
  }
}

/// An SQLite result code as an error.
struct DiskFailure: Error {
  let code: Int32
  static let powerIsOff = DiskFailure(code: SQLITE_IOERR)
}

extension PowerLossDisk.Storage {
  /// Lets an event happen, unless the power goes with it: then it is under way, as written and not synced.
  mutating func happen(_ event: DiskEvent) -> Bool {
    if let left = fuse {
      fuse = left - 1
      if left <= 0 {
        isOff = true
        switch event {
        case .write, .truncate, .create, .delete: state.apply(event)
        case .sync, .syncDirectory, .note: break
        }
        return false
      }
    }
    state.apply(event)
    log.append(event)
    return true
  }
}
