// SPDX-License-Identifier: Apache-2.0

import GRDB

/// What SQLite found wrong with a state file's own structure, and when this process first met it.
public struct FileDamage: Hashable, Sendable {
  /// SQLite's extended result code: of the CORRUPT family, or NOTADB (<https://www.sqlite.org/rescode.html>).
  public var code: Int32
  /// SQLite's own words.
  public var message: String
  /// When this process first met it.
  public var since: UnixTime
}

/// Keeps a damaged file from being written on, for everyone in the process (row C07).
///
/// Damage is the one thing that is remembered: every further write could spread it over what can still be
/// saved. Reads go on, as far as they get. The result code alone decides, and damage to a search index (267)
/// is none of the file's. The latch falls when another file, or whole contents, have come to the path.
final class DamageLatch: Sendable {
  private let path: String
  private let found = Monitor<FileDamage?>(nil)

  init(path: String) {
    self.path = path
  }

  /// The damage this process has met, if any.
  var damage: FileDamage? { found.withLock { $0 } }

  /// Remembers an error that means damage to the file; any other is none of the latch's business.
  func note(_ error: any Error) {
    let code: Int32
    let message: String?
    switch error {
    case let error as DatabaseError:
      (code, message) = (error.extendedResultCode.rawValue, error.message)
    case let error as StoreError:
      if let beneath = error.underlying { note(beneath) }
      return
    default: return
    }
    switch ResultClass(extendedCode: code) {
    case .damagedFile, .notADatabase:
      let damage = FileDamage(code: code, message: message ?? "no message", since: .now())
      found.withLock { $0 = $0 ?? damage }
    default: return
    }
  }

  /// The file at the path is another one now, or has whole contents again.
  func open() { found.withLock { $0 = nil } }

  /// What a write is told while the latch holds; nil while it does not.
  var refusal: StoreError? {
    damage.map { damage in
      StoreError(
        .damaged,
        """
        \(path.fileName) is damaged (\(damage.message), code \(damage.code), met at \(damage.since)), so nothing more \
        is written to it: keep it and its -wal, stop the programs that use it, and run `holdfast doctor` on it.
        """, path: path)
    }
  }
}
