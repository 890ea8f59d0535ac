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
  init(of db: Database) throws {
    let found: [String]
    do {
      found = try String.fetchAll(db, sql: "PRAGMA integrity_check(200)")
    } catch let error as DatabaseError {
      switch ResultClass(extendedCode: error.extendedResultCode.rawValue) {
      case .damagedFile, .damagedIndex, .notADatabase:
        lines = [error.message ?? "result code \(error.extendedResultCode.rawValue)"]
        return
      default: throw error
      }
    }
    guard found != ["ok"] else { return }
    let owners = (try? IndexPages(of: db)) ?? IndexPages()
    for line in found.flatMap({ $0.split(separator: "\n").map(String.init) })
    where !line.hasPrefix("*** in database") {
      if let index = Self.indexNamed(in: line) ?? owners.owner(of: line) {
        indexes.insert(index)
      } else {
        lines.append(line)
      }
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

/// Which pages belong to which index, found by walking the trees from their roots.
struct IndexPages {
  private var names: [UInt32: String] = [:]

  init() {}

  /// Walks through what SQLite has of the file's pages; a page that makes no sense ends its branch.
  init(of db: Database) throws {
    for row in try Row.fetchAll(db, sql: "SELECT name, rootpage FROM sqlite_schema WHERE type = 'index'") {
      guard let name = row["name"] as String?, let root = row["rootpage"] as Int64? else { continue }
      if let root = UInt32(exactly: root) { names[root] = name }
    }
    // Only the roots are known without page access; dbstat, where the library has it, knows the rest.
    let known = Set(names.values)
    if let rows = try? Row.fetchCursor(db, sql: "SELECT name, pageno FROM dbstat") {
      while let row = try? rows.next() {
        guard let name = row["name"] as String?, known.contains(name), let page = row["pageno"] as Int64?,
          let number = UInt32(exactly: page)
        else { continue }
        names[number] = name
      }
    }
  }

  /// The index all pages of a line belong to; the line is SQLite's, as in `On tree page 7 cell 3: …`.
  func owner(of line: String) -> String? {
    let words = line.split { " :,".contains($0) }
    var pages: [UInt32] = []
    for (word, next) in zip(words, words.dropFirst()) where ["page", "Page", "Tree"].contains(word) {
      if let number = UInt32(next) { pages.append(number) }
    }
    let owners = Set(pages.map { names[$0] })
    return owners.count == 1 ? owners.first! : nil
  }
}
