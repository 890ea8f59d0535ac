// SPDX-License-Identifier: Apache-2.0

import GRDB

extension StoreError {
  /// Puts an SQLite error into the engine's terms, by its extended result code.
  init(
    _ error: DatabaseError, path: String, doing action: String, outcome: Outcome = .notApplied
  ) {
    let name = path.fileName
    let code = error.extendedResultCode.rawValue
    let detail = error.message.map { "\($0), code \(code)" } ?? "code \(code)"
    let (kind, advice): (Code, String) =
      switch ResultClass(extendedCode: code) {
      case .lock, .staleSnapshot, .readOnlyTransient:
        (.deadline, "another program is using it; try again")
      case .full: (.diskFull, "free some space; nothing else is needed for writes to work again")
      case .damagedFile:
        (.damaged, "keep the file and its -wal as they are and run `holdfast doctor` on it")
      case .damagedIndex:
        (.damagedIndex, "its tables are not touched by this; rebuild the search index")
      case .notADatabase:
        (.notADatabase, "keep the file and its -wal as they are and run `holdfast doctor` on it")
      case .readOnly: (.readOnly, "make the file and its directory writable for this user")
      case .permission: (.permission, "give this user access to the file and its directory")
      case .cannotOpen: (.cannotOpen, "check that the directory exists and can be written by this user")
      case .constraint: (.constraint, "the change breaks a rule of the schema")
      // The -shm could not be made larger, which is a write like any other (IOERR_SHMSIZE, `unixShmMap`). The
      // commit's frames may be in the -wal by then, so what is known of the outcome stays.
      case .io where code == 4874:
        (.diskFull, "free some space; nothing else is needed for writes to work again")
      case .io: (.io, "check the disk and the kernel's log")
      case .interrupted: (.cancelled, "it was interrupted")
      case .statement: (.sql, "see the statement")
      }
    self.init(
      kind, "\(action) \(name) failed (\(detail)): \(advice).", path: path, outcome: outcome,
      underlying: error)
  }
}
