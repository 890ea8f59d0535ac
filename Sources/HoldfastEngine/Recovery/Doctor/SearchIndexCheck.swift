// SPDX-License-Identifier: Apache-2.0

import GRDB

/// Has full-text indexes check themselves.
///
/// They do so when the word `integrity-check` is inserted into them
/// (<https://www.sqlite.org/fts5.html#the_integrity_check_command>). That writes nothing, but SQLite begins a
/// transaction for it, which a read-only connection refuses; so it runs on an image that claims to be
/// writable and is not.
struct SearchIndexCheck {
  /// The index's table and the version of the module: 3, 4 or 5.
  struct Index: Hashable, Sendable {
    var name: String
    var version: Int
    /// Whether it is made from another table, with which it can be compared.
    var hasExternalContent: Bool

    /// Reads a row of the schema; nil when it is no full-text index.
    init?(_ object: SchemaObject) {
      guard object.type == "table", object.root == 0, let sql = object.sql?.lowercased(),
        let using = sql.firstRange(of: " using "),
        let version = [3, 4, 5].first(where: {
          sql[using.upperBound...].drop(while: \.isWhitespace).hasPrefix("fts\($0)")
        })
      else { return nil }
      name = object.name
      self.version = version
      let squeezed = sql.filter { !$0.isWhitespace }
      hasExternalContent =
        version == 5 && squeezed.contains("content=")
        && !squeezed.contains("content=''") && !squeezed.contains("content=\"\"")
    }
  }

  /// Checks every index of a map's schema. Blocks.
  static func run(_ objects: [SchemaObject], on image: FileImage) -> [ContentReport.SearchIndex] {
    let indexes = objects.compactMap { Index($0) }
    guard !indexes.isEmpty else { return [] }
    do {
      let queue = try ImageVFS.open(image, claimsWritable: true)
      return indexes.map { index in
        .init(name: index.name, state: queue.inDatabase { check(index, $0) })
      }
    } catch {
      return indexes.map { .init(name: $0.name, state: .notChecked(why: "\(error)")) }
    }
  }

  private static func check(_ index: Index, _ db: Database) -> ContentReport.SearchIndex.State {
    let name = ContentCheck.quoted(index.name)
    do {
      try db.execute(sql: "INSERT INTO \(name)(\(name)) VALUES('integrity-check')")
    } catch let error as DatabaseError {
      return isDamage(error) ? .damaged : .notChecked(why: error.message ?? "\(error)")
    } catch {
      return .notChecked(why: "\(error)")
    }
    guard index.hasExternalContent else { return .sound }
    do {
      // With a rank the terms are compared with what the other table holds now.
      try db.execute(sql: "INSERT INTO \(name)(\(name), rank) VALUES('integrity-check', 1)")
      return .sound
    } catch let error as DatabaseError {
      return isDamage(error) ? .stale : .notChecked(why: error.message ?? "\(error)")
    } catch {
      return .notChecked(why: "\(error)")
    }
  }

  private static func isDamage(_ error: DatabaseError) -> Bool {
    switch ResultClass(extendedCode: error.extendedResultCode.rawValue) {
    case .damagedIndex, .damagedFile: true
    default: false
    }
  }
}
