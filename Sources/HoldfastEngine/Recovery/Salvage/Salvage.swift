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
/// ``PageSource`` and never written.
package enum Salvage {
  /// Makes a new database at `path`, where there must be none.
  ///
  /// - Parameter progress: called with the done fraction, 0 … 1, on the calling thread.
  /// - Returns: the counts by table.
  /// - Throws: ``StoreError`` with code `diskFull` (before anything is written when the room is seen to lack),
  ///   `deadline`, `cancelled`, `refused` when `path` exists, `damaged` when the result is not sound. Nothing is
  ///   left behind then.
  package static func run(
    _ image: any PageSource, into path: String, options: SalvageOptions = SalvageOptions(),
    progress: @escaping (Double) -> Void = { _ in }
  ) throws -> SalvageReport {
    let path = try CanonicalPath.of(path)
    var info = stat()
    guard unsafe lstat(path, &info) != 0 else {
      throw StoreError(
        .refused, "\(path.fileName) exists and is not overwritten by a salvage; name another.", path: path)
    }
    try requireRoom(for: image, at: path, options)
    let scratch = path + ".salvaging-\(getpid())-\(String(UInt32.random(in: 0 ... .max), radix: 16))"
    guard unsafe mkdir(scratch, 0o700) == 0 else { throw StoreError.opening(scratch, errno: errno) }
    defer { clear(scratch) }
    let deadline = ContinuousClock.now + options.timeLimit
    let check: () throws -> Void = {
      if options.isCancelled() { throw StoreError(.cancelled, "The salvage was cancelled.", path: path) }
      if ContinuousClock.now > deadline {
        throw StoreError(.deadline, "The salvage took longer than it was given.", path: path)
      }
    }
    do {
      try copy(image, to: scratch + "/copy.db", check: check)
      var run = try SalvageRun(image, scratch: scratch, options: options, check: check, progress: progress)
      var report = try run.run()
      report.output = path
      try publish(scratch + "/new.db", as: path)
      progress(1)
      return report
    } catch let failure as SalvageConnection.Failure {
      let isFull = failure.code & 0xff == 13 || (failure.code & 0xff == 10 && errno == ENOSPC)
      throw StoreError(
        isFull ? .diskFull : .sql,
        isFull
          ? "There was no room for the salvage of \(path.fileName); free some space and run it again."
          : "The salvage into \(path.fileName) failed (\(failure.message), code \(failure.code)).",
        path: path, underlying: failure)
    }
  }

  /// The copy, the new database and what sorting an index takes besides.
  private static func requireRoom(for image: any PageSource, at path: String, _ options: SalvageOptions)
    throws
  {
    let directory = String(path.dropLast(path.fileName.utf8.count))
    let size = Int64(image.pageSize) * Int64(image.pageCount)
    let needed = size * 2 + size / 4 + (1 << 20)
    guard let room = options.freeSpace(directory.isEmpty ? "/" : directory), room < needed else { return }
    throw StoreError(
      .diskFull,
      """
      A salvage into \(path.fileName) needs \(needed) bytes in \(directory) and \(room) are free; free some space \
      or name a file elsewhere.
      """, path: path)
  }

  /// Writes the pages to a file of our own, holes for pages of zeros.
  private static func copy(_ image: any PageSource, to path: String, check: () throws -> Void) throws {
    let file = unsafe open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw StoreError.opening(path, errno: errno) }
    defer { _ = close(file) }
    let size = image.pageSize
    guard ftruncate(file, off_t(size) * off_t(image.pageCount)) == 0 else { throw writing(path) }
    for number in stride(from: UInt32(1), through: max(1, image.pageCount), by: 1) {
      try check()
      guard var bytes = try? image.page(number), bytes.count == size, bytes.contains(where: { $0 != 0 })
      else {
        continue
      }
      if number == 1, bytes.starts(with: "SQLite format 3\0".utf8), bytes.count >= 20 {
        // A header that asks for a log would make SQLite look for one; the pages are what the log left.
        bytes[18] = min(bytes[18], 1)
        bytes[19] = min(bytes[19], 1)
      }
      var done = 0
      while done < size {
        let count = unsafe bytes.withUnsafeBytes {
          unsafe pwrite(
            file, $0.baseAddress.map { unsafe $0 + done }, size - done,
            off_t(size) * off_t(number - 1) + off_t(done))
        }
        guard count > 0 || errno == EINTR else { throw writing(path) }
        done += max(0, count)
      }
    }
  }

  private static func writing(_ path: String) -> StoreError {
    let code = errno
    return StoreError(
      code == ENOSPC || code == EDQUOT ? .diskFull : .io,
      "Writing a copy for the salvage failed (errno \(code)); nothing was left behind.", path: path)
  }

  /// Gives the finished file its name, durably.
  private static func publish(_ file: String, as path: String) throws {
    let descriptor = unsafe open(file, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw StoreError.opening(file, errno: errno) }
    defer { _ = close(descriptor) }
    guard fchmod(descriptor, 0o600) == 0, fsync(descriptor) == 0 else { throw writing(path) }
    // link() refuses when somebody made the name meanwhile, where rename() would replace.
    guard unsafe link(file, path) == 0 else { throw StoreError.opening(path, errno: errno) }
    let directory = unsafe open(String(path.dropLast(path.fileName.utf8.count)), O_RDONLY | O_CLOEXEC)
    guard directory >= 0 else { return }
    _ = fsync(directory)
    _ = close(directory)
  }

  /// Removes the scratch directory; only names that a run makes are in it.
  private static func clear(_ scratch: String) {
    for name in ["copy.db", "new.db", "new.db-journal"] { _ = unsafe unlink(scratch + "/" + name) }
    _ = unsafe rmdir(scratch)
  }
}
