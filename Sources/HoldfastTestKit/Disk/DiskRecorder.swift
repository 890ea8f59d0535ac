// SPDX-License-Identifier: Apache-2.0

import CHoldfast
import Foundation
import GRDBSQLite
import HoldfastEngine

/// Records what this process does to the files of its databases, so that power cuts can be tried on it
/// afterwards.
///
/// A shim before the system's own VFS: files, locks and shared memory are the real ones, and every write,
/// sync and name that passes is logged. So a whole program runs as it is, threads, lock files and all; its
/// ``log`` then shows what a power cut at any moment would have left
/// (``DiskLog/forEachPowerCut(seed:times:every:_:)``).
///
/// It becomes SQLite's default, and stays that: install it in a process made for it (``PeerProcess``), before
/// the first database is opened. Only one process may write the files meanwhile.
public final class DiskRecorder: Sendable {
  /// The recorder of this process.
  public static let shared = DiskRecorder()

  struct State {
    var events: [DiskEvent] = []
    var files: [String: DiskEvent.File] = [:]
    var nextFile = 1
  }

  let state = LockedState(State())
  private let isInstalled = Monitor(false)

  private init() {}

  /// Puts the recorder before the system's VFS. Once is enough.
  public func install() {
    isInstalled.withLock { isInstalled in
      if isInstalled { return }
      isInstalled = true
      RecorderVFS.install()
    }
  }

  /// Notes a number where the log now is: an acknowledgement, say.
  public func note(_ number: UInt64) {
    state.withLock { $0.events.append(.note(number)) }
  }

  /// What happened so far.
  public var log: DiskLog {
    DiskLog(start: DiskState(), events: state.withLock { $0.events })
  }
}

/// A value behind a lock of the system's: this one is held while a disk syncs, others wait long for it, and
/// Thread Sanitizer does not see the hand-over of a contended `Mutex`, which the kernel makes.
///
/// `@unchecked Sendable`: `value` is touched between `lock` and `unlock` only.
final class LockedState<Value>: @unchecked Sendable {
  private let lock = NSLock()
  private var value: Value

  init(_ value: Value) {
    self.value = value
  }

  func withLock<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
    lock.lock()
    defer { lock.unlock() }
    return try body(&value)
  }
}

/// One open file of a recorded process.
///
/// `@unchecked Sendable`: `syncsDirectory` is read and written under the recorder's mutex only.
final class RecordedHandle: @unchecked Sendable {
  let file: DiskEvent.File
  private let name: String
  private var syncsDirectory: Bool

  init(file: DiskEvent.File, name: String, syncsDirectory: Bool) {
    self.file = file
    self.name = name
    self.syncsDirectory = syncsDirectory
  }

  /// Does the real thing and logs it when it succeeded, both under the recorder's mutex: the log's order is
  /// the order in which it happened.
  func noting(_ events: (RecordedHandle) -> [DiskEvent], after action: () -> Int32) -> Int32 {
    DiskRecorder.shared.state.withLock { state in
      let code = action()
      if code == SQLITE_OK, file != 0 { state.events += events(self) }
      return code
    }
  }

  /// A sync; the first of a new journal or WAL brings its directory along, as the unix VFS does.
  func takeSyncEvents() -> [DiskEvent] {
    guard syncsDirectory else { return [.sync(file)] }
    syncsDirectory = false
    return [.sync(file), .syncDirectory(DiskState.directory(of: name))]
  }
}

/// The C side of the recorder: names.
private enum RecorderVFS {
  nonisolated(unsafe) static var real: UnsafeMutablePointer<sqlite3_vfs>?

  static func install() {
    guard let system = unsafe sqlite3_vfs_find(nil) else { fatalError("SQLite has no VFS") }
    unsafe real = unsafe system
    let vfs = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
    // Everything but names and files goes to the real one as it is.
    unsafe vfs.initialize(to: system.pointee)
    unsafe vfs.pointee.pNext = nil
    unsafe vfs.pointee.zName = UnsafePointer(strdup("recorder"))
    unsafe vfs.pointee.szOsFile += Int32(MemoryLayout<RecordedFile>.stride)
    unsafe vfs.pointee.xOpen = { _, name, file, flags, outFlags in
      unsafe RecorderVFS.open(name, file, flags, outFlags)
    }
    unsafe vfs.pointee.xDelete = { _, name, synced in unsafe RecorderVFS.delete(name, synced) }
    unsafe sqlite3_vfs_register(vfs, 1)
  }

  private static func open(
    _ name: UnsafePointer<CChar>?, _ file: UnsafeMutablePointer<sqlite3_file>?, _ flags: Int32,
    _ outFlags: UnsafeMutablePointer<Int32>?
  ) -> Int32 {
    guard let file = unsafe file, let system = unsafe real else { return SQLITE_CANTOPEN }
    unsafe file.pointee.pMethods = nil
    let below = unsafe RecordedFile.real(file)
    let path = unsafe name.map { unsafe String(cString: $0) }
    return DiskRecorder.shared.state.withLock { state in
      // What was there before the recorder saw it counts as durable. A file that is known is not looked into:
      // closing a descriptor of it would drop the process's locks (row B01).
      let isKnown = path.map { state.files[$0] != nil } ?? true
      let before = isKnown ? nil : path.flatMap { FileManager.default.contents(atPath: $0) }
      let code = unsafe system.pointee.xOpen(system, name, below, flags, outFlags)
      guard code == SQLITE_OK else { return code }
      let number = path.map { state.file(at: $0, before: before.map([UInt8].init)) } ?? 0
      let journals = SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL
      let handle = RecordedHandle(
        file: number, name: path ?? "",
        syncsDirectory: flags & journals != 0 && flags & SQLITE_OPEN_CREATE != 0)
      unsafe RecordedFile.ours(file).pointee.handle = Unmanaged.passRetained(handle)
      unsafe file.pointee.pMethods = UnsafePointer(RecordedFile.methods)
      return SQLITE_OK
    }
  }

  private static func delete(_ name: UnsafePointer<CChar>?, _ synced: Int32) -> Int32 {
    guard let name = unsafe name, let system = unsafe real else { return SQLITE_IOERR }
    let path = unsafe String(cString: name)
    return DiskRecorder.shared.state.withLock { state in
      let code = unsafe system.pointee.xDelete(system, name, synced)
      if code == SQLITE_OK, state.files.removeValue(forKey: path) != nil {
        state.events.append(.delete(name: path))
        if synced != 0 { state.events.append(.syncDirectory(DiskState.directory(of: path))) }
      }
      return code
    }
  }
}

extension DiskRecorder.State {
  /// The file's number; a file not seen yet is logged as new, or as having been there.
  fileprivate mutating func file(at path: String, before: [UInt8]?) -> DiskEvent.File {
    if let known = files[path] { return known }
    let file = nextFile
    nextFile += 1
    files[path] = file
    events.append(.create(file, name: path))
    if let before {
      if !before.isEmpty { events.append(.write(file, offset: 0, bytes: before)) }
      events += [.sync(file), .syncDirectory(DiskState.directory(of: path))]
    }
    return file
  }
}
