// SPDX-License-Identifier: Apache-2.0

/// What a state file reports when it could not do what was asked.
///
/// Every error says what happened, to which file and what to do, in one sentence (``message``), and for a
/// write whether it was applied (``outcome``). No caller ever sees a lock: what it may see is its own
/// deadline, and then ``holders`` names who held the file.
public struct StoreError: Error, Sendable {
  /// What kind of failure it was; decided by SQLite's extended result code, never by its text (row A14).
  public struct Code: Hashable, Sendable {
    enum Value: String, Sendable {
      case deadline, cancelled, closed, diskFull, damaged, damagedIndex, notADatabase, readOnly, permission
      case cannotOpen, constraint, newerSchema, io, misuse, refused, wrongProcess, setting, replaced,
        missing, transient, sql
    }
    let value: Value

    /// The caller's own deadline passed before its turn came.
    public static let deadline = Code(value: .deadline)
    /// The caller's task was cancelled before its turn came.
    public static let cancelled = Code(value: .cancelled)
    /// The file was closed.
    public static let closed = Code(value: .closed)
    /// No room on the device, or the database reached its page limit.
    public static let diskFull = Code(value: .diskFull)
    /// SQLite found the file damaged (SQLITE_CORRUPT).
    public static let damaged = Code(value: .damaged)
    /// SQLite found a virtual table's own structure damaged, a search index's say (SQLITE_CORRUPT_VTAB); the
    /// file is sound and the index can be rebuilt.
    public static let damagedIndex = Code(value: .damagedIndex)
    /// The file is not an SQLite database.
    public static let notADatabase = Code(value: .notADatabase)
    /// The file or its directory cannot be written.
    public static let readOnly = Code(value: .readOnly)
    /// The operating system refused access.
    public static let permission = Code(value: .permission)
    /// The file could not be opened or created.
    public static let cannotOpen = Code(value: .cannotOpen)
    /// A constraint of the schema refused the change.
    public static let constraint = Code(value: .constraint)
    /// A newer version of the program has migrated the file.
    public static let newerSchema = Code(value: .newerSchema)
    /// The device or filesystem failed.
    public static let io = Code(value: .io)
    /// The library was used against its rules.
    public static let misuse = Code(value: .misuse)
    /// A bounded queue is full and refused the work.
    public static let refused = Code(value: .refused)
    /// A handle opened before fork() was used in the child.
    public static let wrongProcess = Code(value: .wrongProcess)
    /// A connection's setting did not take; the file was not used.
    public static let setting = Code(value: .setting)
    /// The file at this path is no longer the one that was opened.
    public static let replaced = Code(value: .replaced)
    /// A store was at this path and is gone; nothing was created in its place.
    public static let missing = Code(value: .missing)
    /// Another program's file is in a state that passes by itself, or when that program next opens it.
    public static let transient = Code(value: .transient)
    /// Any other error of an SQL statement; see ``StoreError/underlying``.
    public static let sql = Code(value: .sql)
  }

  /// Whether a write took effect.
  public enum Outcome: Hashable, Sendable {
    /// It is durable.
    case applied
    /// Nothing of it is in the file, now or later.
    case notApplied
    /// The commit was interrupted where it may or may not survive.
    case unknown
  }

  /// What kind of failure it was.
  public var code: Code
  /// Whether the write took effect; ``Outcome/notApplied`` for anything that is not a write.
  public var outcome: Outcome
  /// One sentence for a person: what, where, what to do.
  public var message: String
  /// The file it is about.
  public var path: String?
  /// Who held the file, for ``Code/deadline``: read from the kernel's lock table at the time.
  public var holders: [LockHolder]
  /// The error beneath, when there is one (GRDB's `DatabaseError`, an `errno`).
  public var underlying: (any Error)?

  /// Makes an error; `message` is one sentence without the path's directory repeated.
  public init(
    _ code: Code, _ message: String, path: String? = nil, outcome: Outcome = .notApplied,
    holders: [LockHolder] = [], underlying: (any Error)? = nil
  ) {
    self.code = code
    self.outcome = outcome
    self.message = message
    self.path = path
    self.holders = holders
    self.underlying = underlying
  }
}

extension StoreError: CustomStringConvertible {
  /// The sentence, with the holders and the outcome where they add something.
  public var description: String {
    var text = message
    if !holders.isEmpty {
      text += " Held by " + holders.map(\.description).joined(separator: "; ") + "."
    }
    switch outcome {
    case .notApplied: break
    case .applied: text += " The write was applied."
    case .unknown: text += " Whether the write was applied is unknown."
    }
    return text
  }
}

extension StoreError.Code: CustomStringConvertible {
  /// The code's name, as in `StoreError.Code.deadline`.
  public var description: String { value.rawValue }
}
