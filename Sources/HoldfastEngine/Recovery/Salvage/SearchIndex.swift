// SPDX-License-Identifier: Apache-2.0

/// A full-text index in the new database, checked and put right.
///
/// Its shadow tables came over as tables. What SQLite's own `rebuild` cannot mend, because the module does not
/// even open the index (FTS5 reads its structure record on connecting), is made again: the module makes
/// new shadow tables, gets back the table of contents it had, and builds the index from that.
/// Source: <https://www.sqlite.org/fts5.html#the_rebuild_command>.
struct SearchIndex {
  private let entry: SalvageSchema.Entry
  private let database: SalvageConnection
  /// FTS3 and FTS4 have other shadow tables; they are rebuilt and never made again.
  private let isFTS5: Bool
  private var name: String { entry.name.quoted }

  /// nil when the table is none of a full-text module.
  init?(_ entry: SalvageSchema.Entry, in database: SalvageConnection) {
    let words = (entry.sql ?? "").lowercased().split { !$0.isLetter && !$0.isNumber && $0 != "_" }
    guard let using = words.firstIndex(of: "using"), using + 1 < words.count,
      ["fts3", "fts4", "fts5"].contains(words[using + 1])
    else { return nil }
    self.entry = entry
    self.database = database
    isFTS5 = words[using + 1] == "fts5"
  }

  /// Makes the index agree with its rows.
  /// - Parameter damaged: the tables that were not whole, in lower case. SQLite 3.40's check does not miss what
  ///   `f_idx` has lost (searches for prefixes then do), so an index of which a part was damaged is built again
  ///   whatever the check says; and so is one that may be about a damaged table.
  /// - Returns: what had to be done, or could not be; nil when nothing was wrong.
  /// - Throws: what ends the run; never for what the index holds.
  func mend(damaged: Set<String>) throws -> String? {
    let own = entry.name.lowercased() + "_"
    let isAboutAnother = (entry.sql ?? "").lowercased().contains("content")
    let isSuspect = damaged.contains { isAboutAnother || $0.hasPrefix(own) }
    let isSound = try attempt { try command("integrity-check") }
    if isSound, !isSuspect { return nil }
    if try attempt({ try rebuild() }) {
      return "The search index \(entry.name) was damaged and was built again from its rows."
    }
    if isSound {
      return """
        The search index \(entry.name) may have lost a part, and it keeps no rows to be built again from: have its own \
        program make it anew.
        """
    }
    let isRemade = try isFTS5 && attempt { try remake() }
    guard isRemade else {
      return "The search index \(entry.name) is damaged and cannot be built again; its tables are kept."
    }
    // A contentless index has no rows to be built from, so that an empty one is all there can be.
    return try attempt { try rebuild() }
      ? "The search index \(entry.name) was lost and was built again from its rows."
      : "The search index \(entry.name) was lost and is empty now: it keeps no rows to be built again from."
  }

  private func command(_ word: String) throws {
    try database.execute("INSERT INTO \(name)(\(name)) VALUES ('\(word)')")
  }

  private func rebuild() throws {
    try command("rebuild")
    try command("integrity-check")
  }

  /// Runs what may fail for what the index holds, all or nothing of it.
  private func attempt(_ body: () throws -> Void) throws -> Bool {
    try database.execute("SAVEPOINT search")
    do {
      try body()
      try database.execute("RELEASE search")
      return true
    } catch let failure as SalvageConnection.Failure where failure.isAboutContent {
      try database.execute("ROLLBACK TO search")
      try database.execute("RELEASE search")
      try database.execute("PRAGMA writable_schema = RESET")
      return false
    }
  }

  /// Makes the index anew around the rows it has.
  private func remake() throws {
    let kept = try content()
    // DROP TABLE would ask the module, which does not open it.
    try database.execute("PRAGMA writable_schema = ON")
    let forget = try database.prepare(
      "DELETE FROM sqlite_schema WHERE name = ?1 AND type = 'table' AND rootpage = 0")
    forget.bind([.text(Array(entry.name.utf8))], encoding: .utf8)
    _ = try forget.step()
    forget.reset()
    try database.execute("PRAGMA writable_schema = RESET")
    // Views that do not fit their tables must not keep a table from being renamed.
    try database.execute("PRAGMA legacy_alter_table = ON")
    if let kept { try database.execute("ALTER TABLE \(shadow("content")) RENAME TO \(kept)") }
    for suffix in ["data", "idx", "docsize", "config", "content"] {
      try database.execute("DROP TABLE IF EXISTS \(shadow(suffix))")
    }
    try database.create(entry.sql ?? "")
    guard let kept else { return }
    try database.execute("DROP TABLE IF EXISTS \(shadow("content"))")
    try database.execute("ALTER TABLE \(kept) RENAME TO \(shadow("content"))")
  }

  /// A name, not in use, for the table of contents meanwhile; nil when the index has none of its own.
  private func content() throws -> String? {
    let exists = "SELECT 1 FROM sqlite_schema WHERE name = ?1 COLLATE NOCASE"
    func isThere(_ name: String) throws -> Bool {
      try !database.rows(exists, [.text(Array(name.utf8))]).isEmpty
    }
    guard try isThere(entry.name + "_content") else { return nil }
    var number = 0
    while try isThere("\(entry.name)_kept_\(number)") { number += 1 }
    return "\(entry.name)_kept_\(number)".quoted
  }

  private func shadow(_ suffix: String) -> String { "\(entry.name)_\(suffix)".quoted }
}
