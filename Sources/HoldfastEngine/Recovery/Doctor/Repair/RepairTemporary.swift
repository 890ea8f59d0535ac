// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A directory beside a database in which its successor is made: `.NAME.repairing-…`, mode 0700.
///
/// On the same filesystem, so that the finished file can be linked to its place in one step. Made and removed
/// with the turn; so whatever bears the name when the turn begins was left by a run that died.
struct RepairTemporary {
  let directory: String
  /// The new database.
  var database: String { directory + "/new.db" }
  /// An empty file, which stands for a database that is gone.
  var standIn: String { directory + "/empty" }

  /// Removes what dead runs left and makes the directory.
  init(for path: String) throws(StoreError) {
    Self.clear(for: path)
    let number = String(UInt64.random(in: 1 << 60 ... .max), radix: 16)
    directory = QuarantineFiles.parent(of: path) + "/" + Self.prefix(for: path) + number
    guard unsafe mkdir(directory, 0o700) == 0 else { throw StoreError.opening(directory, errno: errno) }
    let file = unsafe open(standIn, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw StoreError.opening(standIn, errno: errno) }
    _ = close(file)
  }

  /// The directories there are for a database; with the turn, those of dead runs.
  static func left(for path: String) -> [String] {
    let parent = QuarantineFiles.parent(of: path)
    return QuarantineFiles.list(parent).filter { $0.hasPrefix(prefix(for: path)) }.map { parent + "/" + $0 }
  }

  /// Removes what dead runs left.
  static func clear(for path: String) {
    for directory in left(for: path) { remove(directory) }
  }

  private static func prefix(for path: String) -> String { ".\(path.fileName).repairing-" }

  /// Removes the new database, where it proved to be of no use.
  func clearDatabase() {
    for suffix in ["", "-wal", "-shm", "-journal"] { _ = unsafe unlink(database + suffix) }
  }

  func remove() { Self.remove(directory) }

  /// Removes a directory and the plain files and directories in it; follows no link.
  private static func remove(_ path: String, depth: Int = 0) {
    if unsafe unlink(path) == 0 || depth > 3 { return }
    for name in QuarantineFiles.list(path) { remove(path + "/" + name, depth: depth + 1) }
    _ = unsafe rmdir(path)
  }
}
