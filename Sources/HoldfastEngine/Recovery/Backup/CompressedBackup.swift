// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A backup inside a gzip file.
struct CompressedBackup: Sendable {
  /// Canonical.
  let path: String
  /// What lies beside it; nil when nothing does.
  let manifest: BackupManifest?

  /// - Throws: ``StoreError`` with code `damaged` when its manifest cannot be read as one.
  init(_ path: String) throws(StoreError) {
    self.path = try CanonicalPath.of(path)
    manifest = try BackupManifest.read(besideBackupAt: self.path)
  }

  /// Expands it into the temporary and checks all of it: the file and what is in it against the manifest, the
  /// database's integrity and its rows.
  ///
  /// - Throws: ``StoreError`` with code `damaged` or `notADatabase`.
  func expand(into temporary: BackupTemporary, patience: Duration) throws -> BackupContents {
    let found = try GzipFile.expand(path, into: temporary, limit: manifest?.bytes)
    try manifest?.compare(withFile: found.file, path: path)
    if let expected = manifest?.contentSHA256, expected != found.content {
      throw StoreError(
        .damaged,
        "What is in \(path.fileName) is not what was saved (its SHA-256 is another): use another backup.",
        path: path)
    }
    try requireDatabase(temporary)
    // What is in it was finished so before it was compressed; a file of somebody else's may not have been.
    try temporary.finish()
    let source = try BackupSource(temporary.path, patience: patience)
    defer { source.close() }
    let contents = try source.examine()
    try manifest?.compare(with: contents, path: path)
    return contents
  }

  /// Checks it by a copy of its content that is gone afterwards.
  func examine(patience: Duration) throws -> BackupContents {
    let temporary = try room()
    defer { temporary.discard() }
    return try expand(into: temporary, patience: patience)
  }

  /// Beside the backup, or where temporary files go when that is read-only.
  private func room() throws(StoreError) -> BackupTemporary {
    let own = String(path.dropLast(path.fileName.utf8.count + 1))
    do throws(StoreError) {
      return try room(in: own)
    } catch {
      guard error.code == .permission else { throw error }
      return try room(
        in: try CanonicalPath.of(
          unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"))
    }
  }

  private func room(in directory: String) throws(StoreError) -> BackupTemporary {
    if let bytes = manifest?.bytes { try FreeSpace.require(bytes, in: directory) }
    return try BackupTemporary.reserve(forContentOf: path, in: directory)
  }

  private func requireDatabase(_ temporary: BackupTemporary) throws(StoreError) {
    switch DatabaseHeader(descriptor: temporary.rawDescriptor) {
    case .wal, .rollback: return
    case .empty, .foreign:
      throw StoreError(
        .notADatabase,
        "What is in \(path.fileName) does not begin like an SQLite database: use another backup.",
        path: path)
    }
  }
}

extension BackupTemporary {
  /// Fills this one with the compressed form of `source` and notes that in the manifest.
  ///
  /// What was written is read back and expanded before anybody is to rely on it.
  func fill(from source: BackupTemporary, _ manifest: inout BackupManifest) throws(StoreError) {
    let written = try GzipFile.compress(source, into: self)
    let found = try GzipFile.expand(path, into: nil, limit: written.contentBytes)
    guard found == written, written.content == manifest.sha256 else {
      throw StoreError(
        .io, "\(finalName) could not be read back as it was written, so it was thrown away: check the disk.",
        path: finalPath)
    }
    manifest.name = finalName
    manifest.compression = "gzip"
    manifest.contentSHA256 = written.content
    manifest.sha256 = written.file
    manifest.fileBytes = written.fileBytes
  }

  /// Gives the backup its name, and its manifest first: the backup's own name is what makes it one.
  func publish(_ manifest: BackupManifest) throws {
    try manifest.write(to: directory + "/" + manifest.name + BackupManifest.suffix)
    try putInPlace()
  }
}
