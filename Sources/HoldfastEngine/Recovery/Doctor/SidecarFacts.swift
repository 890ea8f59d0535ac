// SPDX-License-Identifier: Apache-2.0

/// What a -wal and a rollback journal say of the database they belong to.
struct SidecarFacts: Hashable, Sendable {
  /// A -wal that has any bytes.
  struct WAL: Hashable, Sendable {
    /// nil when its header is not valid, and then SQLite takes nothing from it.
    var pageSize: Int?
    /// Whether its header is nothing but zeros.
    var isBlank = false
    var committedFrames = 0
    /// The first bytes of the newest committed page 1; nil when none is among the frames.
    var firstPage: [UInt8]?
  }

  /// A journal SQLite takes for hot.
  struct Journal: Hashable, Sendable {
    /// nil when it has no valid header.
    var header: JournalHeader?
    /// How many pages SQLite would lay back; nil when it would remove the journal and undo nothing.
    var pages: Int?
    /// The first bytes of page 1 before the transaction; nil when the journal does not have it.
    var firstPage: [UInt8]?
  }

  var wal: WAL?
  var journal: Journal?
}

extension SidecarFacts {
  /// Reads them. Blocks; drops no lock (``ImageFile``).
  init(of facts: FileFacts) {
    if let size = facts.wal?.size, size > 0, let file = try? ImageFile(facts.path + "-wal") {
      var found = WAL()
      if let frames = (try? CommittedFrames(file)) ?? nil {
        found.pageSize = frames.pageSize
        found.committedFrames = frames.count
        found.firstPage = frames.overlay[1].flatMap {
          try? file.bytes(
            at: frames.offset(ofFrame: $0) + Int64(CommittedFrames.frameHeaderSize), count: 100)
        }
      } else {
        let start = (try? file.bytes(at: 0, count: CommittedFrames.headerSize)) ?? []
        found.isBlank = start.allSatisfy { $0 == 0 }
      }
      wal = found
    }
    if facts.journalLooksHot, let file = try? ImageFile(facts.path + "-journal") {
      var found = Journal(header: facts.journalHeader)
      let size = DatabaseFields(facts.header)?.pageSize
      if let pages = (try? JournaledPages(file, databasePageSize: size)) ?? nil {
        found.pages = pages.overlay.count
        found.firstPage = pages.overlay[1].flatMap {
          try? file.bytes(at: pages.offset(ofPlace: $0), count: 100)
        }
      }
      journal = found
    }
  }

  /// What does not fit the database beside it. Pure.
  func findings(_ facts: FileFacts, isInUse: Bool) -> [Diagnosis.Finding] {
    var found: [Diagnosis.Finding] = []
    let fields = DatabaseFields(facts.header).flatMap { $0.impossible == nil ? $0 : nil }
    if let wal { found += findings(wal, facts, fields, isInUse: isInUse) }
    if let journal, !isInUse, let fields { found += findings(journal, facts, fields) }
    if facts.sharedMemory != nil, !isInUse, facts.wal == nil {
      found.append(
        .init(
          "stale-shm", .info,
          "\(facts.path.fileName)-shm was left behind by a program that did not close the database; it holds no data.",
          remedy: "Leave it: SQLite makes it anew."))
    }
    return found
  }

  private func findings(
    _ wal: WAL, _ facts: FileFacts, _ fields: DatabaseFields?, isInUse: Bool
  ) -> [Diagnosis.Finding] {
    let name = facts.path.fileName
    guard let pageSize = wal.pageSize else {
      guard !wal.isBlank else { return [] }
      return [
        .init(
          "unreadable-wal", .warning,
          """
          \(name)-wal has \(facts.wal?.size ?? 0) bytes and no valid header, so SQLite takes nothing from it: commits \
          in it are lost, or it is no -wal.
          """, remedy: "Keep a copy of it before the database is opened: SQLite overwrites it.")
      ]
    }
    guard wal.committedFrames > 0 else { return [] }
    if let fields, let why = foreignWAL(wal, pageSize, facts, fields) {
      return [
        .init(
          "foreign-wal", .warning, "\(name)-wal probably does not belong to \(name): \(why).",
          remedy:
            """
            Copy both before anything opens them: SQLite lays the -wal over the database. If the database was put here \
            by hand, move the -wal away.
            """)
      ]
    }
    guard !isInUse, fields != nil else { return [] }
    return [
      .init(
        "wal-pending", .info,
        "\(name)-wal holds \(wal.committedFrames) committed frames, which may be nowhere else.",
        remedy: "Never copy, move or delete the database without it.")
    ]
  }

  private func foreignWAL(
    _ wal: WAL, _ pageSize: Int, _ facts: FileFacts, _ fields: DatabaseFields
  ) -> String? {
    if pageSize != fields.pageSize, wal.firstPage == nil {
      return "its pages have \(pageSize) bytes and the database's \(fields.pageSize)"
    }
    if fields.journal != "WAL" {
      // The change into WAL mode is in the database before a -wal is made, and out of it when that is gone.
      return
        "the database is in rollback-journal mode, and \(wal.committedFrames) committed frames lie beside it"
    }
    guard let page = wal.firstPage, page.count == 100 else { return nil }
    let (there, here) = (page.bigEndian32(24), facts.header.bigEndian32(24))
    // Every transaction that writes page 1 counts up, and a checkpoint carries the number over.
    return there < here
      ? "the database was changed after it (change counter \(here), in the -wal \(there))" : nil
  }

  private func findings(
    _ journal: Journal, _ facts: FileFacts, _ fields: DatabaseFields
  ) -> [Diagnosis.Finding] {
    let name = facts.path.fileName
    guard journal.pages != nil else {
      return [
        .init(
          "stale-journal", .info,
          """
          \(name)-journal undoes nothing: its header is not whole, or the journal over several files that it names is \
          gone, which says that the transaction was committed.
          """, remedy: "Leave it: SQLite removes it when the database is next opened for writing.")
      ]
    }
    var why: String?
    if let size = journal.header?.pageSize, size != 0, Int(size) != fields.pageSize {
      why = "its pages have \(size) bytes and the database's \(fields.pageSize)"
    } else if let page = journal.firstPage, page.count == 100, PageLayout(header: page) != nil {
      let (before, now) = (page.bigEndian32(24), facts.header.bigEndian32(24))
      // The one transaction it undoes counts up by one.
      if now != before, now != before &+ 1 {
        why = "the database was changed after it (change counter \(now), in the journal \(before))"
      }
    }
    return why.map {
      [
        .init(
          "foreign-journal", .warning, "\(name)-journal probably does not belong to \(name): \($0).",
          remedy:
            """
            Copy both before anything opens them: SQLite lays the journal's pages over the database. If the database was \
            put here by hand, move the journal away.
            """)
      ]
    } ?? []
  }
}
