// SPDX-License-Identifier: Apache-2.0

import GRDB

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Finds the file that keeps this user from a store, when something does (row C11).
///
/// SQLite says "unable to open database file" for all of them. Only asked after a failure: nothing is decided by
/// it, since rights may change between a look and a use.
enum AccessFault {
  /// The first file or directory that this user may not use as a store needs it; nil when none is in the way.
  static func find(ofDatabaseAt path: String) -> StoreError? {
    let name = path.fileName
    let parent = String(path.dropLast(name.count))
    let directory = parent.isEmpty ? "." : parent.count > 1 ? String(parent.dropLast()) : parent
    if let fault = fault(directory, X_OK, "may not be entered", store: path) { return fault }
    var isComplete = true
    for suffix in ["", "-wal", "-shm", "-journal", "-lane"] {
      let file = path + suffix
      guard FileFacts.Entry(path: file)?.kind == .regular else {
        if suffix != "-journal" { isComplete = false }
        continue
      }
      if let fault = fault(file, R_OK, "may not be read", store: path)
        ?? fault(file, W_OK, "may not be written", store: path)
      {
        return fault
      }
    }
    // With every file there, nothing has to be made in the directory.
    return isComplete ? nil : fault(directory, W_OK, "may not be written", store: path)
  }

  private static func fault(_ file: String, _ right: Int32, _ what: String, store: String) -> StoreError? {
    guard unsafe faccessat(AT_FDCWD, file, right, AT_EACCESS) != 0 else { return nil }
    let code = errno
    let name = store.fileName
    if code == EROFS {
      return StoreError(
        .readOnly,
        "\(file) is on a read-only filesystem, so \(name) was not opened or written: make it writable and try again.",
        path: store)
    }
    guard code == EACCES || code == EPERM, let entry = FileFacts.Entry(path: file) else { return nil }
    let mode = String(entry.mode, radix: 8)
    let rights = entry.kind == .directory ? "rwx" : "rw"
    let remedy =
      entry.owner == geteuid()
      ? "run `chmod u+\(rights) '\(file)'`"
      : "have its owner or root run `chown \(geteuid()) '\(file)'`"
    return StoreError(
      .permission,
      """
      \(file) \(what) by user \(geteuid()) (it belongs to user \(entry.owner), mode \(mode)), so \(name) could not be \
      used and nothing was changed: \(remedy).
      """, path: store)
  }
}

extension StoreError {
  /// The same error, or a better one if it is for want of a right: it names the file and what to do.
  func namingTheFile(ofDatabaseAt path: String) -> StoreError {
    switch code {
    case .permission, .readOnly, .cannotOpen, .io: break
    case .deadline:
      // A read-only -shm that would have to be recovered reads as if its writer were at work.
      guard let error = underlying as? DatabaseError, ResultClass(error) == .readOnlyTransient else {
        return self
      }
    default: return self
    }
    guard var better = AccessFault.find(ofDatabaseAt: path) else { return self }
    better.outcome = outcome
    better.underlying = underlying ?? self
    return better
  }
}
