// SPDX-License-Identifier: Apache-2.0

/// What an SQLite result code means to the engine: decided by number only.
///
/// The text of an error is never looked at: a lock can read `vtable constructor failed` or
/// `locking protocol`, or be in another language (row A14). Codes: <https://www.sqlite.org/rescode.html>.
public enum ResultClass: Hashable, Sendable {
  /// Somebody else has the lock; the same call can work later (BUSY, LOCKED, PROTOCOL).
  case lock
  /// The snapshot is too old to be written from: start the transaction anew (BUSY_SNAPSHOT).
  case staleSnapshot
  /// Seen by read-only handles while a writer or its recovery is under way; or a hot journal of a dead one.
  case readOnlyTransient
  /// No space, or the page limit was reached.
  case full
  /// The file's own structure is damaged.
  case damagedFile
  /// A virtual table's shadow structure (a search index) is damaged; the file is not.
  case damagedIndex
  /// The header is not SQLite's.
  case notADatabase
  /// The file, its directory or the handle does not allow writing.
  case readOnly
  /// Access refused by the operating system or an authorizer.
  case permission
  /// The file or a sidecar could not be opened.
  case cannotOpen
  /// A constraint refused it.
  case constraint
  /// The device failed.
  case io
  /// Interrupted by the program itself.
  case interrupted
  /// Everything else: an error of the statement.
  case statement

  /// Classifies an extended result code.
  public init(extendedCode code: Int32) {
    switch code {
    case 517: self = .staleSnapshot  // BUSY_SNAPSHOT
    case 264, 520, 776, 1288: self = .readOnlyTransient  // READONLY_RECOVERY, CANTLOCK, ROLLBACK, CANTINIT
    case 267: self = .damagedIndex  // CORRUPT_VTAB
    default:
      switch code & 0xff {
      case 5, 6, 15: self = .lock
      case 13: self = .full
      case 11: self = .damagedFile
      case 26: self = .notADatabase
      case 8: self = .readOnly
      case 3, 23: self = .permission
      case 14: self = .cannotOpen
      case 19: self = .constraint
      case 10: self = .io
      case 9: self = .interrupted
      default: self = .statement
      }
    }
  }

  /// Whether the same call may work when what is in the way has passed.
  public var isTransient: Bool {
    switch self {
    case .lock, .staleSnapshot, .readOnlyTransient, .interrupted: true
    default: false
    }
  }
}
