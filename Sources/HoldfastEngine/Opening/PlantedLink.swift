// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Symbolic links where only files of our own making have a place (row C12).
///
/// Whoever may write to the directory could make SQLite lay a -wal over any file of the user's, or have a new
/// database made where others read. The database itself may be reached through a link, which is resolved first;
/// nothing ever makes a sidecar a link.
enum PlantedLink {
  /// Refuses a database whose own last name, or whose sidecar, is a link.
  ///
  /// - Parameter path: canonical, so that a database found as a link is one that leads nowhere.
  /// - Throws: ``StoreError`` with code `permission`; nothing was opened or made.
  static func refuse(at path: String) throws(StoreError) {
    for suffix in ["", "-wal", "-shm", "-journal", "-lane"] {
      var info = stat()
      guard unsafe lstat(path + suffix, &info) == 0, info.st_mode & S_IFMT == S_IFLNK else { continue }
      let name = (path + suffix).fileName
      throw StoreError(
        .permission,
        """
        \(name) is a symbolic link, which Holdfast never makes and does not follow there, so nothing was opened: see \
        who put it there, and remove it.
        """, path: path)
    }
  }
}
