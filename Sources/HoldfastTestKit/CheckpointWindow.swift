// SPDX-License-Identifier: Apache-2.0

import GRDBSQLite

/// Runs code of a test inside a checkpoint, at the moment that decides whether committed rows are lost.
///
/// `sqlite3WalCheckpoint` reads the WAL-index header into the connection, then calls the VFS's `xUnfetch` if
/// the header changed since the connection last saw it, then checkpoints by the copy it has. If a writer
/// restarts the WAL in between, SQLite 3.7.0 to 3.51.2 marks frames of the new WAL as folded back that are
/// not, and loses them at the next restart (row B12). The window puts its code into that very `xUnfetch`.
@safe public final class CheckpointWindow {
  private let file: UnsafeMutablePointer<sqlite3_file>
  private let original: UnsafePointer<sqlite3_io_methods>
  private let replaced: UnsafeMutablePointer<sqlite3_io_methods>

  /// What runs at the moment, once; nil before it is set and after it ran.
  nonisolated(unsafe) fileprivate static var body: (() -> Void)?

  /// Opens the window in the connection, until ``close()``. One at a time in a process.
  public init(connection: OpaquePointer) {
    var pointer: UnsafeMutablePointer<sqlite3_file>?
    let code = unsafe sqlite3_file_control(connection, "main", SQLITE_FCNTL_FILE_POINTER, &pointer)
    guard code == SQLITE_OK, let pointer = unsafe pointer, let methods = unsafe pointer.pointee.pMethods
    else {
      preconditionFailure("the connection has no file to open a window in")
    }
    unsafe file = pointer
    unsafe original = methods
    unsafe replaced = .allocate(capacity: 1)
    unsafe replaced.initialize(to: methods.pointee)
    unsafe replaced.pointee.xUnfetch = { _, _, _ in
      let body = unsafe CheckpointWindow.body
      unsafe CheckpointWindow.body = nil
      body?()
      return SQLITE_OK
    }
    unsafe file.pointee.pMethods = UnsafePointer(replaced)
  }

  /// Closes the window, before the connection is closed: SQLite frees the file the window hangs on.
  public func close() {
    unsafe file.pointee.pMethods = original
    unsafe replaced.deallocate()
  }

  /// Runs `body` in the window of the next checkpoint of the connection.
  public func atNextCheckpoint(_ body: @escaping () -> Void) {
    unsafe Self.body = body
  }

  /// Whether the last body has run.
  public var wasEntered: Bool { unsafe Self.body == nil }

  /// Whether the SQLite that is linked has the bug: 3.7.0 to 3.51.2 but for 3.50.7 and 3.44.6 and their
  /// successors on those branches.
  public static var linkedSQLiteIsAffected: Bool {
    let version = sqlite3_libversion_number()
    switch version {
    case 3_044_006..<3_045_000, 3_050_007..<3_051_000: return false
    default: return version >= 3_007_000 && version < 3_051_003
    }
  }
}
