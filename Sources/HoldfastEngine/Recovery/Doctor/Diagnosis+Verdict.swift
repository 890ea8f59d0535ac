// SPDX-License-Identifier: Apache-2.0

extension Diagnosis {
  /// Puts preflight's verdict into a finding with its remedy.
  mutating func settle(_ judged: PreflightVerdict, _ facts: FileFacts) {
    verdict = judged.verdict
    isCertain = judged.isCertain
    let (code, severity, remedy) = Self.advice(judged.verdict, facts)
    guard let code else { return }
    let doubt = judged.isCertain ? "" : " This is not certain: not everything could be looked at."
    findings.append(Finding(code, severity, judged.reason + doubt, remedy: remedy))
  }

  private static func advice(
    _ verdict: FileVerdict, _ facts: FileFacts
  ) -> (code: String?, Finding.Severity, remedy: String) {
    let repair = "run `holdfast doctor --repair \(facts.path)`"
    switch verdict {
    case .healthy, .fresh: return (nil, .info, "")
    case .busy: return ("busy", .warning, "Wait until that process is done or has ended; nothing is wrong.")
    case .hotJournal:
      return (
        "hot-journal", .error,
        "Never delete the -journal. Open the file for writing with its own program or `sqlite3`, or \(repair)."
      )
    case .walOrphan:
      return (
        "wal-orphan", .error,
        "Keep both as they are and open them with nothing else, SQLite would delete the -wal: \(repair)."
      )
    case .zeroed:
      return ("zeroed", .error, "Keep it and its -wal as they are: restore a backup, or \(repair).")
    case .notADatabase:
      guard facts.database?.kind == .regular else {
        return ("not-a-file", .error, "Name the database itself.")
      }
      return (
        "not-a-database", .error,
        """
        If it should be one, keep it and its -wal as they are and open them with nothing else, SQLite would delete the \
        -wal: \(repair).
        """
      )
    case .truncated:
      return ("truncated", .error, "Keep it and its sidecars as they are: restore a backup, or \(repair).")
    case .damaged, .indexDamaged:
      return ("damage", .error, "Keep it and its sidecars as they are: restore a backup, or \(repair).")
    case .newerSchema: return ("newer-format", .error, "Open it with a newer SQLite.")
    case .unreadable:
      let files = [facts.database, facts.wal, facts.journal]
      return files.contains { $0?.isReadable == false }
        ? ("permission", .error, "Run this as the file's owner, or give this user the right to read it.")
        : ("unreadable", .error, "Check what the name stands for, the disk and the kernel's log.")
    }
  }

  /// Adds what was read, which decides the verdict of a file that looked well.
  ///
  /// - Parameter bytes: how large the file is, to say what was left out.
  mutating func add(_ report: ContentReport, bytes: Int64, knownMigrations: [[String]]) {
    if report.pageCount > 0 { pageCount = report.pageCount }
    tables = report.rows
    if report.isDamaged {
      addDamage(report)
    } else {
      addIndexDamage(report)
    }
    addSearchIndexes(report)
    if verdict == .healthy, let unknown = Self.newer(report.migrations, than: knownMigrations) {
      verdict = .newerSchema
      findings.append(
        Finding(
          "newer-schema", .error,
          "A newer Holdfast has written the file: this one does not know its \(Self.list(unknown)).",
          remedy: "Upgrade Holdfast; the file itself is well."))
    }
    addObservations(report, bytes: bytes)
  }

  /// The migrations nobody here knows, if the store is one of ours by those it shares; nil when all are known
  /// or the store is somebody else's.
  static func newer(_ applied: [String], than known: [[String]]) -> [String]? {
    guard let own = known.first(where: { !Set($0).isDisjoint(with: applied) }) else { return nil }
    let unknown = applied.filter { !own.contains($0) }
    return unknown.isEmpty ? nil : unknown
  }

  private mutating func addDamage(_ report: ContentReport) {
    // Stays what it was where the file is too short anyway.
    if verdict == .healthy { verdict = .damaged }
    var tables: Set<String> = []
    for problem in report.problems where problem.kind == .table {
      if let table = problem.table { tables.insert(table) }
    }
    let others = report.problems.filter { $0.kind != .index }
    let more = others.count > 3 ? " (and \(others.count - 3) more)" : ""
    let whose = tables.isEmpty ? "" : " in \(Self.list(tables.sorted()))"
    findings.append(
      Finding(
        "damage", .error,
        "The file is damaged\(whose): " + others.prefix(3).map(\.what).joined(separator: "; ") + more + ".",
        remedy:
          "Keep it and its sidecars as they are: restore a backup, or run `holdfast doctor --repair \(path)`."
      ))
    if others.allSatisfy({ $0.kind == .freelist }) {
      findings.append(
        Finding(
          "free-pages", .info,
          "Only the list of free pages or the map of pages is wrong: every table can be read.",
          remedy:
            "Write nothing to the file until it is repaired: what is written next may overwrite a table."))
    }
  }

  private mutating func addIndexDamage(_ report: ContentReport) {
    guard !report.damagedIndexes.isEmpty else { return }
    verdict = .indexDamaged
    indexes = report.damagedIndexes.sorted()
    findings.append(
      Finding(
        "index-damage", .error,
        "These indexes do not fit their tables, which are sound: \(indexes.joined(separator: ", ")).",
        remedy:
          "Run `holdfast doctor --repair \(path)`, or REINDEX with nobody using the file and a copy of it made."
      ))
  }

  private mutating func addSearchIndexes(_ report: ContentReport) {
    let damaged = report.searchIndexes.filter { $0.state == .damaged }.map(\.name).sorted()
    let stale = report.searchIndexes.filter { $0.state == .stale }.map(\.name).sorted()
    searchIndexes = damaged + stale
    if !damaged.isEmpty {
      if verdict == .healthy { verdict = .indexDamaged }
      findings.append(
        Finding(
          "search-index-damage", .error,
          "These full-text indexes are damaged; the tables they were made from are not: \(Self.list(damaged)).",
          remedy:
            "Run `holdfast doctor --deep --repair \(path)`, or `INSERT INTO name(name) VALUES('rebuild')` for each."
        ))
    }
    if !stale.isEmpty {
      findings.append(
        Finding(
          "search-index-stale", .warning,
          """
          These full-text indexes are whole and do not fit what their tables hold now, so searches miss rows or fail: \
          \(Self.list(stale)).
          """, remedy: "Run `INSERT INTO name(name) VALUES('rebuild')` for each."))
    }
    for index in report.searchIndexes {
      guard case .notChecked(let why) = index.state else { continue }
      findings.append(
        Finding(
          "not-checked", .info, "The full-text index \(index.name) could not be checked here: \(why).",
          remedy: "Have its own program check it."))
    }
  }

  /// What is worth knowing and is no damage.
  private mutating func addObservations(_ report: ContentReport, bytes: Int64) {
    if report.extent == .ends {
      findings.append(
        Finding(
          "not-deep", .info,
          """
          The file has \(bytes) bytes, so only its header, its schema and the first and last row of every table were \
          looked at.
          """, remedy: "Run `holdfast doctor --deep` to have everything looked at."))
    }
    if report.extent == .tables, report.rows != nil {
      findings.append(
        Finding(
          "not-deep", .info,
          """
          Others use the file, so its free pages and its search indexes were not looked at, and each table at a moment \
          of its own.
          """, remedy: "Look again when nobody uses it."))
    }
    if !report.unchecked.isEmpty {
      let why = Set(report.unchecked.values).sorted().joined(separator: "; ")
      findings.append(
        Finding(
          "not-checked", .info,
          """
          SQLite could not compare these tables with their indexes here, for want of what only their own program has \
          (\(why)): \(Self.list(report.unchecked.keys.sorted())).
          """, remedy: "Have their own program run `PRAGMA integrity_check`."))
    }
    for dangling in report.dangling {
      findings.append(
        Finding(
          "foreign-key", .warning,
          "\(dangling.rows) rows of \(dangling.table) refer to rows of \(dangling.parent) that are not there.",
          remedy: "`PRAGMA foreign_key_check` lists them; SQLite does not look unless `foreign_keys` is on."))
    }
    if !report.unindexedForeignKeys.isEmpty {
      findings.append(
        Finding(
          "unindexed-foreign-key", .info,
          """
          No index begins with these columns, which refer to other tables, so every delete there reads all of theirs: \
          \(Self.list(report.unindexedForeignKeys)).
          """, remedy: "If deletes are slow, make an index on each."))
    }
    if report.pageCount > 0, report.freePages * 4 > report.pageCount {
      let free = bytes / report.pageCount * report.freePages
      if free > 16 << 20 {
        findings.append(
          Finding(
            "free-space", .info,
            "\(report.freePages) of \(report.pageCount) pages are free, about \(free) bytes; SQLite will use them again.",
            remedy: "VACUUM gives them back, and needs as much room meanwhile as the file has."))
      }
    }
    if let program = KnownProgram.name(applicationID: report.applicationID, tables: report.tables) {
      findings.append(
        Finding(
          "program", .info, "Judging by what is in it, this is \(program).",
          remedy: "Stop that program before anything is done to the file."))
    }
  }

  /// Says that the set was set aside, and why.
  mutating func setAside(_ entry: QuarantineEntry) {
    // An empty file in quarantine would be a new one elsewhere.
    if verdict == .healthy || verdict == .fresh { verdict = entry.manifest.verdict }
    findings.append(
      Finding(
        "quarantined", .error,
        "The database was set aside to \(entry.directory) on \(entry.manifest.time): \(entry.manifest.reason)",
        remedy: "Run `holdfast doctor --repair \(path)`, which puts what can be saved back in its place."))
  }

  /// Up to five names, and how many more.
  private static func list(_ names: [String]) -> String {
    names.prefix(5).joined(separator: ", ") + (names.count > 5 ? " and \(names.count - 5) more" : "")
  }
}

extension Diagnosis.Finding {
  /// A defect of the SQLite on this system (row B12).
  static let walResetBug = Diagnosis.Finding(
    "wal-reset-bug", .info,
    """
    The SQLite on this system, \(SQLiteRelease.linked), can lose committed rows when a WAL is restarted during a \
    checkpoint; Holdfast works around it, other programs may not.
    """, remedy: "Use SQLite 3.51.3, 3.50.7 or 3.44.6, or a later patch of these.")
}
