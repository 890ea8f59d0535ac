// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Brings back every row that can be had from a damaged database, into a new one (row C09).
///
/// Three sources, in the order in which they are believed: what SQLite itself reads, what a walk of the trees
/// around the damage finds, and pages that hang below a lost page. The damaged database is read through a
/// ``FileImage`` and never written.
package enum Salvage {
  /// Makes a new database at `path`, where there must be none. Blocks.
  ///
  /// - Parameters:
  ///   - source: the damaged database; what is no ``FileImage`` is written to a file first.
  ///   - progress: called with the done fraction, 0 … 1, on the calling thread.
  /// - Returns: the counts by table.
  /// - Throws: ``StoreError`` with code `diskFull` (before anything is written when the room is seen to lack),
  ///   `deadline`, `cancelled`, `refused` when `path` exists, `damaged` when the result is not sound,
  ///   `transient` when somebody wrote to the damaged database meanwhile. Nothing is left behind then.
  package static func run(
    _ source: any PageSource, into path: String, options: SalvageOptions = SalvageOptions(),
    progress: @escaping (Double) -> Void = { _ in }
  ) throws -> SalvageReport {
    let path = try CanonicalPath.of(path)
    var info = stat()
    guard unsafe lstat(path, &info) != 0 else {
      throw StoreError(
        .refused, "\(path.fileName) exists and is not overwritten by a salvage; name another.", path: path)
    }
    try requireRoom(for: source, at: path, options)
    let scratch = path + ".salvaging-\(getpid())-\(String(UInt32.random(in: 0 ... .max), radix: 16))"
    guard unsafe mkdir(scratch, 0o700) == 0 else { throw StoreError.writing(scratch, errno: errno) }
    defer { clear(scratch) }
    let deadline = ContinuousClock.now + options.timeLimit
    let check: () throws -> Void = {
      if options.isCancelled() { throw StoreError(.cancelled, "The salvage was cancelled.", path: path) }
      if ContinuousClock.now > deadline {
        throw StoreError(.deadline, "The salvage took longer than it was given.", path: path)
      }
    }
    do {
      let image = try source as? FileImage ?? staged(source, in: scratch, check: check)
      var run = try SalvageRun(image, scratch: scratch, options: options, check: check, progress: progress)
      var report = try run.run()
      guard image.isCurrent else {
        throw StoreError(
          .transient,
          "\(image.path.fileName) was written to while it was salvaged, so the result was dropped; run it again.",
          path: image.path)
      }
      report.output = path
      try publish(scratch + "/new.db", as: path)
      progress(1)
      return report
    } catch let failure as SalvageConnection.Failure {
      throw StoreError(
        failure.isFull ? .diskFull : .sql,
        failure.isFull
          ? "There was no room for the salvage of \(path.fileName); free some space and run it again."
          : "The salvage into \(path.fileName) failed (\(failure.message), code \(failure.code)).",
        path: path, underlying: failure)
    }
  }

  /// The new database and what sorting an index takes besides, and the copy where one is made.
  private static func requireRoom(for source: any PageSource, at path: String, _ options: SalvageOptions)
    throws
  {
    let directory = parent(of: path)
    let size = Int64(source.pageSize) * Int64(source.pageCount)
    let needed = size * (source is FileImage ? 1 : 2) + size / 4 + (1 << 20)
    guard let room = options.freeSpace(directory), room < needed else { return }
    throw StoreError(
      .diskFull,
      """
      A salvage into \(path.fileName) needs \(needed) bytes in \(directory) and \(room) are free; free some space \
      or name a file elsewhere.
      """, path: path)
  }

  private static func parent(of path: String) -> String {
    let directory = String(path.dropLast(path.fileName.utf8.count))
    return directory.isEmpty ? "/" : directory
  }

  /// Writes the pages to a file of our own, holes for pages of zeros, so that there is an image of them.
  private static func staged(
    _ source: any PageSource, in scratch: String, check: () throws -> Void
  ) throws -> FileImage {
    let path = scratch + "/pages.db"
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw StoreError.writing(path, errno: errno) }
    var isOpen = true
    defer { if isOpen { _ = close(file) } }
    let size = source.pageSize
    guard ftruncate(file, off_t(size) * off_t(source.pageCount)) == 0 else {
      throw StoreError.writing(path, errno: errno)
    }
    for number in stride(from: UInt32(1), through: max(1, source.pageCount), by: 1) {
      try check()
      guard let bytes = try? source.page(number), bytes.count == size, bytes.contains(where: { $0 != 0 })
      else { continue }
      var done = 0
      while done < size {
        let count = unsafe bytes.withUnsafeBytes {
          unsafe pwrite(
            file, $0.baseAddress.map { unsafe $0 + done }, size - done,
            off_t(size) * off_t(number - 1) + off_t(done))
        }
        guard count > 0 || errno == EINTR else { throw StoreError.writing(path, errno: errno) }
        done += max(0, count)
      }
    }
    isOpen = false
    guard close(file) == 0 else { throw StoreError.writing(path, errno: errno) }
    return try FileImage(path: path)
  }

  /// Gives the finished file its name, durably.
  private static func publish(_ file: String, as path: String) throws {
    let descriptor = unsafe open(file, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw StoreError.opening(file, errno: errno) }
    defer { _ = close(descriptor) }
    guard fchmod(descriptor, 0o600) == 0, fsync(descriptor) == 0 else {
      throw StoreError.writing(path, errno: errno)
    }
    // link() refuses when somebody made the name meanwhile, where rename() would replace.
    guard unsafe link(file, path) == 0 else { throw StoreError.writing(path, errno: errno) }
    do {
      try QuarantineFiles.synchronize(parent(of: path))
    } catch {
      _ = unsafe unlink(path)
      throw error
    }
  }

  /// Removes the scratch directory; only names that a run makes are in it.
  private static func clear(_ scratch: String) {
    for name in [
      "pages.db", "new.db", "new.db-journal", "shell.db", "shell.db-journal", "recovered.db",
      "recovered.db-journal",
    ] { _ = unsafe unlink(scratch + "/" + name) }
    _ = unsafe rmdir(scratch)
  }
}
