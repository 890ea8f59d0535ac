// SPDX-License-Identifier: Apache-2.0

import CHoldfast
package import GRDB
import GRDBSQLite

/// Lets SQLite read a ``FileImage``: scans, `integrity_check` and the backup API work on it.
///
/// A VFS (<https://www.sqlite.org/c3ref/vfs.html>) that serves an image's pages as an immutable database in
/// rollback mode: SQLite takes no lock, looks for no journal and no -wal, and has no function here that
/// writes.
package enum ImageVFS {
  static let name = "holdfast-image"

  /// Images that are just being opened, by the number in their name.
  private struct Waiting {
    var next = 0
    var images: [String: (image: FileImage, claimsWritable: Bool)] = [:]
  }

  private static let waiting = Monitor(Waiting())

  /// Opens a read-only connection to an image, which it keeps until it is closed.
  ///
  /// The file may be hostile: the schema is not trusted, cells are checked, nothing is mapped, temporary data
  /// stays in memory, and SQL can neither write, attach nor change what protects it.
  ///
  /// - Parameter claimsWritable: to let SQLite begin transactions that write nothing, as search indexes check
  ///   themselves in one (an `INSERT` of the word `integrity-check`). What would write still fails.
  /// - Throws: `DatabaseError`; ``StoreError`` with code `setting` when the SQLite library cannot be told to
  ///   use this VFS (built without URI file names) or a setting did not take.
  package static func open(_ image: FileImage, claimsWritable: Bool = false) throws -> DatabaseQueue {
    var configuration = Configuration()
    configuration.readonly = !claimsWritable
    configuration.label = "holdfast.image"
    // Old schemas have them, and a schema that does not parse shows none of its tables.
    configuration.acceptsDoubleQuotedStringLiterals = true
    configuration.foreignKeysEnabled = false
    let queue: DatabaseQueue
    do {
      queue = try withURI(of: image, claimsWritable: claimsWritable) {
        try DatabaseQueue(path: $0, configuration: configuration)
      }
    } catch let error as DatabaseError where error.resultCode == .SQLITE_CANTOPEN {
      throw StoreError(
        .setting,
        "The SQLite library does not open files by URI, so \(image.path.fileName) could not be examined.",
        path: image.path, underlying: error)
    }
    do {
      try queue.inDatabase { try protect($0, path: image.path, claimsWritable: claimsWritable) }
    } catch {
      try? queue.close()
      throw error
    }
    return queue
  }

  /// Gives an image a name under which SQLite opens it, by URI, for as long as `body` runs. A connection that
  /// was opened keeps the image.
  static func withURI<Result>(
    of image: FileImage, claimsWritable: Bool = false, _ body: (String) throws -> Result
  ) throws -> Result {
    try registration.get()
    let key = waiting.withLock { waiting in
      waiting.next += 1
      let key = "/image-\(waiting.next)"
      waiting.images[key] = (image, claimsWritable)
      return key
    }
    defer { waiting.withLock { _ = $0.images.removeValue(forKey: key) } }
    // GRDB has no argument for the VFS, so the name carries it. The name itself is ours, so there is nothing
    // in it to escape (row C13).
    return try body("file:\(key)?vfs=\(name)" + (claimsWritable ? "" : "&immutable=1"))
  }

  private static func protect(_ db: Database, path: String, claimsWritable: Bool) throws {
    var file: UnsafeMutablePointer<sqlite3_file>?
    let code = unsafe sqlite3_file_control(db.sqliteConnection, "main", SQLITE_FCNTL_FILE_POINTER, &file)
    guard code == SQLITE_OK, let methods = unsafe file?.pointee.pMethods,
      unsafe methods == ImageVFSFile.methods
    else {
      throw StoreError(
        .setting, "SQLite did not read \(path.fileName) through the image, so it was not used.", path: path)
    }
    guard unsafe chf_defend(db.sqliteConnection) == SQLITE_OK else {
      throw StoreError(
        .setting, "SQLite did not accept its defensive mode: check which library is linked.", path: path)
    }
    for pragma in [
      "trusted_schema = 0", "cell_size_check = 1", "mmap_size = 0", "temp_store = MEMORY",
      "query_only = \(claimsWritable ? 0 : 1)",
    ] {
      try db.execute(sql: "PRAGMA \(pragma)")
    }
    for (limit, value) in [
      (SQLITE_LIMIT_ATTACHED, 0), (SQLITE_LIMIT_TRIGGER_DEPTH, 10), (SQLITE_LIMIT_WORKER_THREADS, 0),
    ] {
      unsafe sqlite3_limit(db.sqliteConnection, limit, Int32(value))
    }
  }

  // MARK: The C side

  /// Registered once and never taken away: SQLite keeps a pointer to it.
  private static let registration: Result<Void, StoreError> = {
    guard let system = unsafe sqlite3_vfs_find(nil) else {
      return .failure(StoreError(.setting, "SQLite has no VFS: check which library is linked."))
    }
    let vfs = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
    unsafe vfs.initialize(to: sqlite3_vfs())
    unsafe vfs.pointee.iVersion = 2
    unsafe vfs.pointee.szOsFile = Int32(MemoryLayout<ImageVFSFile>.size)
    unsafe vfs.pointee.mxPathname = 512
    let copy = UnsafeMutablePointer<CChar>.allocate(capacity: name.utf8.count + 1)
    for (index, byte) in (Array(name.utf8) + [0]).enumerated() {
      unsafe (copy + index).initialize(to: CChar(bitPattern: byte))
    }
    unsafe vfs.pointee.zName = UnsafePointer(copy)
    // For the functions that have nothing to do with files.
    unsafe vfs.pointee.pAppData = UnsafeMutableRawPointer(system)
    unsafe vfs.pointee.xOpen = { _, name, file, flags, outFlags in
      unsafe ImageVFS.open(name, file, flags, outFlags)
    }
    unsafe vfs.pointee.xDelete = { _, _, _ in SQLITE_READONLY }
    unsafe vfs.pointee.xAccess = { _, _, _, result in
      unsafe result?.pointee = 0
      return SQLITE_OK
    }
    unsafe vfs.pointee.xFullPathname = { _, name, size, result in
      guard let name = unsafe name, let result = unsafe result else { return SQLITE_CANTOPEN }
      for index in 0..<Int(size) {
        unsafe result[index] = unsafe name[index]
        if unsafe name[index] == 0 { return SQLITE_OK }
      }
      return SQLITE_CANTOPEN
    }
    unsafe vfs.pointee.xRandomness = { vfs, count, result in
      guard let system = unsafe ImageVFS.system(of: vfs) else { return 0 }
      return unsafe system.pointee.xRandomness(system, count, result)
    }
    unsafe vfs.pointee.xSleep = { vfs, microseconds in
      guard let system = unsafe ImageVFS.system(of: vfs) else { return 0 }
      return unsafe system.pointee.xSleep(system, microseconds)
    }
    unsafe vfs.pointee.xCurrentTime = { vfs, result in
      guard let system = unsafe ImageVFS.system(of: vfs) else { return SQLITE_ERROR }
      return unsafe system.pointee.xCurrentTime(system, result)
    }
    unsafe vfs.pointee.xCurrentTimeInt64 = { vfs, result in
      guard let system = unsafe ImageVFS.system(of: vfs) else { return SQLITE_ERROR }
      return unsafe system.pointee.xCurrentTimeInt64(system, result)
    }
    unsafe vfs.pointee.xGetLastError = { _, _, _ in 0 }
    let code = unsafe sqlite3_vfs_register(vfs, 0)
    guard code == SQLITE_OK else {
      return .failure(StoreError(.setting, "SQLite refused the VFS for images (code \(code))."))
    }
    return .success(())
  }()

  private static func system(of vfs: UnsafeMutablePointer<sqlite3_vfs>?) -> UnsafeMutablePointer<sqlite3_vfs>?
  {
    unsafe vfs?.pointee.pAppData?.assumingMemoryBound(to: sqlite3_vfs.self)
  }

  private static func open(
    _ name: UnsafePointer<CChar>?, _ file: UnsafeMutablePointer<sqlite3_file>?, _ flags: Int32,
    _ outFlags: UnsafeMutablePointer<Int32>?
  ) -> Int32 {
    guard let file = unsafe file else { return SQLITE_CANTOPEN }
    unsafe file.pointee.pMethods = nil
    // Nothing but the image itself: no journal, no temporary file.
    guard flags & SQLITE_OPEN_MAIN_DB != 0, let name = unsafe name else { return SQLITE_CANTOPEN }
    let key = unsafe String(cString: name)
    guard let (image, claimsWritable) = waiting.withLock({ $0.images[key] }) else { return SQLITE_CANTOPEN }
    let ours = unsafe UnsafeMutableRawPointer(file).assumingMemoryBound(to: ImageVFSFile.self)
    unsafe ours.pointee.image = Unmanaged.passRetained(image)
    unsafe ours.pointee.claimsWritable = claimsWritable
    unsafe file.pointee.pMethods = unsafe UnsafePointer(ImageVFSFile.methods)
    unsafe outFlags?.pointee =
      claimsWritable ? flags : (flags & ~SQLITE_OPEN_READWRITE) | SQLITE_OPEN_READONLY
    return SQLITE_OK
  }
}
