// SPDX-License-Identifier: Apache-2.0

import CHoldfast

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A database that is being copied, under a name that nobody takes for a database: `.NAME.partial`.
///
/// A lock that dies with its process tells it from what a killed one left. The descriptor is closed after every
/// SQLite connection to the file (row B01).
final class BackupTemporary {
  /// Far from every byte that SQLite locks.
  private static let liveByte: Int64 = 1 << 62
  private static let suffix = ".partial"

  let directory: String
  /// The name it gets when it is whole.
  let finalName: String
  /// Whether a manifest beside its final name is its own, to be removed with it.
  private let hasManifest: Bool
  private let descriptor: Int32
  private var isOpen = true
  /// How much of the file was sent to the disk.
  private var writtenBack: Int64 = 0

  /// For reading and writing the file's bytes while no connection has it open; never closed by others.
  var rawDescriptor: Int32 { descriptor }

  var path: String { directory + "/." + finalName + Self.suffix }
  var finalPath: String { directory + "/" + finalName }

  /// Makes the file, empty, with mode 0600, and locked.
  /// - Returns: nil when there is one already.
  private init?(finalName: String, directory: String, hasManifest: Bool) throws(StoreError) {
    self.finalName = finalName
    self.hasManifest = hasManifest
    self.directory = directory
    let path = directory + "/." + finalName + Self.suffix
    let opened = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard opened >= 0 else {
      if errno == EEXIST { return nil }
      throw .opening(path, errno: errno)
    }
    descriptor = opened
    // Between its making and its lock another run may have taken it for a dead one's.
    let refusal = chf_ofd_lock(opened, Int16(F_WRLCK), Self.liveByte, 1)
    guard refusal == 0, FileIdentity(path: path) == FileIdentity(descriptor: opened) else {
      closeDescriptor()
      guard refusal == 0 || refusal == EAGAIN || refusal == EACCES else {
        throw .locking(path, errno: refusal)
      }
      return nil
    }
  }

  deinit { closeDescriptor() }

  /// A temporary for a backup of the database at `path`, named by the moment.
  static func reserve(
    forBackupOf path: String, in directory: String
  ) throws(StoreError) -> (BackupTemporary, UnixTime) {
    var time = UnixTime.now()
    let name = path.fileName
    let stem = name.hasSuffix(".db") ? String(name.dropLast(3)) : name
    // Two backups of one moment: the later gets the next millisecond.
    while true {
      let finalName = "\(stem)-\(time.stamp).db"
      if FileIdentity(path: directory + "/" + finalName) == nil,
        FileIdentity(path: directory + "/" + finalName + GzipFile.suffix) == nil,
        let made = try BackupTemporary(finalName: finalName, directory: directory, hasManifest: true)
      {
        return (made, time)
      }
      time.nanoseconds += 1_000_000
    }
  }

  /// A temporary for this backup's compressed form.
  func reserveCompressed() throws(StoreError) -> BackupTemporary {
    let name = finalName + GzipFile.suffix
    guard let made = try BackupTemporary(finalName: name, directory: directory, hasManifest: true) else {
      throw StoreError(
        .refused, "Another process makes \(name) right now; wait for it.", path: directory + "/" + name)
    }
    return made
  }

  /// A temporary in `directory` for what is in a compressed file, to look at it.
  static func reserve(forContentOf path: String, in directory: String) throws(StoreError) -> BackupTemporary {
    let name = path.fileName + "-content"
    clearDead(in: directory, only: name)
    guard let made = try BackupTemporary(finalName: name, directory: directory, hasManifest: false) else {
      throw StoreError(
        .refused, "Another process checks \(path.fileName) right now; wait for it.", path: path)
    }
    return made
  }

  /// A temporary for a database that is to stand at `path`.
  /// - Throws: ``StoreError`` with code `refused` when another process is at it.
  static func reserve(for path: String) throws(StoreError) -> BackupTemporary {
    let name = path.fileName
    let directory = String(path.dropLast(name.utf8.count + 1))
    clearDead(in: directory, only: name)
    guard let made = try BackupTemporary(finalName: name, directory: directory, hasManifest: false) else {
      throw StoreError(
        .refused, "Another process restores \(name) right now; wait for it and look at what it did.",
        path: path)
    }
    return made
  }

  /// Removes what killed processes left in the directory.
  ///
  /// - Parameter only: leaves all but the temporary of this name alone.
  static func clearDead(in directory: String, only: String? = nil) {
    for name in BackupDirectory.names(in: directory) {
      guard name.hasPrefix("."), name.hasSuffix(suffix) else { continue }
      let finalName = String(name.dropFirst().dropLast(suffix.count))
      guard only.map({ $0 == finalName }) ?? true else { continue }
      let path = directory + "/" + name
      guard let file = try? LockFile(path: path, creates: false),
        (try? file.tryLock(.exclusive, at: liveByte)) == true
      else { continue }
      let final = directory + "/" + finalName
      let manifest = final + BackupManifest.suffix
      if only == nil {
        // Killed while its manifest was written, or between its manifest's name and its own.
        BackupDirectory.remove(BackupDirectory.temporary(of: manifest))
        if FileIdentity(path: final) == nil { BackupDirectory.remove(manifest) }
      }
      BackupDirectory.remove(path)
    }
  }

  /// Sends what was written to the disk, so that the sync in the end is a short one; nobody relies on it before.
  func writeBack() {
    guard let size = fileSize(path), size > writtenBack else { return }
    WriteBack.run(descriptor, from: writtenBack)
    writtenBack = size
  }

  /// Waits until what was written is on the disk.
  func sync() throws(StoreError) {
    #if os(Linux)
      let code = fdatasync(descriptor)
    #else
      let code = fsync(descriptor)
    #endif
    guard code == 0 else { throw .writing(path, errno: errno) }
  }

  /// Marks the database, which no connection has open any more, as one in rollback-journal mode and syncs it.
  ///
  /// A copy has its source's header. One that asks for WAL cannot be read from a read-only directory, and is two
  /// files as soon as it is opened. Bytes 18 and 19 are the format's versions:
  /// <https://www.sqlite.org/fileformat.html#file_format_version_numbers>.
  func finish() throws(StoreError) {
    let versions: [UInt8] = [1, 1]
    let count = unsafe versions.withUnsafeBytes { unsafe pwrite(descriptor, $0.baseAddress, 2, 18) }
    guard count == 2, fsync(descriptor) == 0 else { throw .writing(path, errno: errno) }
  }

  /// Gives the file its name.
  func putInPlace() throws(StoreError) {
    guard unsafe rename(path, finalPath) == 0 else { throw .writing(finalPath, errno: errno) }
    closeDescriptor()
    try BackupDirectory.sync(directory)
  }

  /// Gives the file its name where nothing has it.
  /// - Returns: false, and nothing is changed, where something has.
  func putInPlaceIfAbsent() throws(StoreError) -> Bool {
    guard unsafe link(path, finalPath) == 0 else {
      if errno == EEXIST { return false }
      throw .writing(finalPath, errno: errno)
    }
    BackupDirectory.remove(path)
    closeDescriptor()
    try BackupDirectory.sync(directory)
    return true
  }

  /// Removes the file.
  func discard() {
    guard isOpen else { return }
    if hasManifest, FileIdentity(path: finalPath) == nil {
      BackupDirectory.remove(finalPath + BackupManifest.suffix)
    }
    BackupDirectory.remove(path)
    closeDescriptor()
  }

  private func closeDescriptor() {
    guard isOpen else { return }
    isOpen = false
    close(descriptor)
  }
}

extension UnixTime {
  /// For file names, as in `20261121T100000.123Z`.
  var stamp: String { description.filter { $0 != "-" && $0 != ":" } }
}
