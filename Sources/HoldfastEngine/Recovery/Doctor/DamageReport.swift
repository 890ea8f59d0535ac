// SPDX-License-Identifier: Apache-2.0

import GRDB

/// What SQLite's own check says of a database, sorted by what is hit.
struct DamageReport: Hashable, Sendable {
  /// Indexes that do not fit their tables; rebuilt from them, they do.
  var indexes: Set<String> = []
  /// What is wrong with anything else, in SQLite's words.
  var lines: [String] = []

  var isSound: Bool { indexes.isEmpty && lines.isEmpty }

  /// Runs the full check, which reads every page and compares every index with its table.
  ///
  /// - Parameter pages: the same database's pages, to tell which of them an index has; nil where only SQLite
  ///   may read it, and then damage to an index's pages counts as damage to the file.
  init(of db: Database, pages: PageFile? = nil) throws {
    var found: [String]
    do {
      found = try String.fetchAll(db, sql: "PRAGMA integrity_check(200)")
    } catch let error as DatabaseError where Self.isDamage(error) {
      // Comparing an index with its table stops at a page that makes no sense. The quick check compares
      // nothing, so it reaches the end if the tables can be read, and says which pages are wrong.
      let text = error.message ?? "result code \(error.extendedResultCode.rawValue)"
      found = (try? String.fetchAll(db, sql: "PRAGMA quick_check(200)")) ?? [text]
      if found == ["ok"] { found = [text] }
    }
    guard found != ["ok"] else { return }
    let owners = pages.flatMap { try? IndexPages(of: db, $0) } ?? IndexPages()
    for line in found.flatMap({ $0.split(separator: "\n").map(String.init) })
    where !line.hasPrefix("*** in database") {
      if let index = Self.indexNamed(in: line) ?? owners.owner(of: line) {
        indexes.insert(index)
      } else {
        lines.append(line)
      }
    }
  }

  private static func isDamage(_ error: DatabaseError) -> Bool {
    switch ResultClass(extendedCode: error.extendedResultCode.rawValue) {
    case .damagedFile, .damagedIndex, .notADatabase: true
    default: false
    }
  }

  /// The index a line of the check names at its end; the phrases of `pragma.c`.
  static func indexNamed(in line: String) -> String? {
    for phrase in [" missing from index ", "wrong # of entries in index ", "non-unique entry in index "] {
      guard let at = line.firstRange(of: phrase) else { continue }
      return String(line[at.upperBound...])
    }
    return nil
  }
}
