// SPDX-License-Identifier: Apache-2.0

/// Judges a database by what was seen of its files, before SQLite sees them.
///
/// SQLite itself takes a file cut to nothing for a new database, and deletes the -wal beside one whose first
/// page was overwritten (rows C05, C06). Nothing here reads a file: the same facts always give the same verdict.
/// Damage behind the header is not looked for.
package enum Preflight {
  /// The verdict on a set of files.
  ///
  /// What a live writer or a rollback would change is said before what its half-written pages look like.
  package static func judge(_ facts: FileFacts) -> PreflightVerdict {
    let name = facts.path.fileName
    guard let database = facts.database else { return nothing(facts, name, "\(name) is gone") }
    if let verdict = refused(facts, database, name) ?? inUse(facts, name) { return verdict }
    if database.size == 0 { return nothing(facts, name, "\(name) has no bytes") }
    if facts.header.isEmpty { return .init(.unreadable, "\(name) could not be read.", isCertain: false) }
    if facts.isAllZero {
      return .init(.zeroed, "\(name) holds \(database.size) bytes and all that were looked at are zero.")
    }
    return DatabaseFields(facts.header).map { judge($0, facts, database, name) } ?? headless(facts, name)
  }

  /// Nothing is left of the database itself; what is beside it says whether there ever was one.
  private static func nothing(_ facts: FileFacts, _ name: String, _ what: String) -> PreflightVerdict {
    if let wal = facts.wal, wal.size > 0 {
      guard let frames = facts.walFrames else {
        return .init(
          .walOrphan, "\(what), but \(name)-wal holds \(wal.size) bytes of which nothing could be read.",
          isCertain: false)
      }
      if frames.committedFrames > 0 {
        return .init(
          .walOrphan, "\(what), but \(name)-wal holds \(frames.committedFrames) frames that were committed.")
      }
    }
    if let journal = facts.journalHeader, journal.initialPages > 0 {
      return .init(
        .zeroed, "\(what), but \(name)-journal is that of a database of \(journal.initialPages) pages.")
    }
    if facts.marker != nil { return .init(.zeroed, "\(what), but a store was here.") }
    return .init(.fresh, facts.database == nil ? "There is no \(name)." : "\(what): a new database.")
  }

  /// What is not a file that may be read.
  private static func refused(
    _ facts: FileFacts, _ database: FileFacts.Entry, _ name: String
  ) -> PreflightVerdict? {
    switch database.kind {
    case .directory: return .init(.notADatabase, "\(name) is a directory.")
    case .other: return .init(.notADatabase, "\(name) is not a file.")
    case .symlink: return .init(.unreadable, "\(name) is a link to nothing.")
    case .regular: break
    }
    let set = [(name, database), (name + "-wal", facts.wal), (name + "-journal", facts.journal)]
    for case (let file, let entry?) in set where !entry.isReadable {
      let mode = String(entry.mode, radix: 8)
      return .init(
        .unreadable, "\(file) belongs to user \(entry.owner) (mode \(mode)) and may not be read by this one.")
    }
    return nil
  }

  /// What a writer in rollback mode has begun and not ended, alive or dead.
  private static func inUse(_ facts: FileFacts, _ name: String) -> PreflightVerdict? {
    if let holder = facts.holders.first(where: \.excludesReaders) {
      return .init(.busy, "\(name) cannot be read while \(holder) is held.")
    }
    guard facts.journalLooksHot else { return nil }
    if let holder = facts.holders.first(where: \.holdsDatabase) {
      return .init(.busy, "\(name) is in the middle of a transaction while \(holder) is held.")
    }
    return .init(
      .hotJournal,
      "\(name)-journal is that of a transaction nobody ended, and must be rolled back before the file is read."
    )
  }

  private static func headless(_ facts: FileFacts, _ name: String) -> PreflightVerdict {
    if facts.header.starts(with: PageLayout.magic) {
      return .init(.truncated, "\(name) ends after \(facts.header.count) bytes, inside its own header.")
    }
    var reason = "\(name) does not begin like an SQLite database"
    if let frames = facts.walFrames, frames.committedFrames > 0 {
      reason += ", but \(name)-wal holds \(frames.committedFrames) frames that were committed"
      if frames.hasFirstPage { reason += ", its first page among them" }
    } else if facts.marker != nil {
      reason += ", but a store was here"
    }
    return .init(.notADatabase, reason + ".")
  }

  private static func judge(
    _ fields: DatabaseFields, _ facts: FileFacts, _ database: FileFacts.Entry, _ name: String
  ) -> PreflightVerdict {
    if fields.readVersion > 2 || fields.schemaFormat > 4 {
      return .init(
        .newerSchema,
        """
        \(name) needs a newer SQLite (read version \(fields.readVersion), schema format \(fields.schemaFormat)).
        """)
    }
    if let impossible = fields.impossible {
      return .init(.damaged, "The header of \(name) says what cannot be: \(impossible).")
    }
    let missing = facts.missingPages
    if missing > 0 {
      let there = database.size / Int64(fields.pageSize)
      return .init(
        .truncated,
        "\(name) has \(there) whole pages and lacks \(missing) of those its last commit counted.",
        isCertain: facts.holders.isEmpty && (facts.wal?.size ?? 0 == 0 || facts.walFrames != nil))
    }
    return .init(.healthy, "\(name) begins like a whole database in \(fields.journal) mode.")
  }
}

/// The fields of a database's header that decide whether SQLite can use it.
///
/// Source: <https://www.sqlite.org/fileformat.html#the_database_header>.
struct DatabaseFields {
  private let bytes: [UInt8]

  /// The fields of the first 100 bytes; nil when there are fewer or the magic is wrong.
  init?(_ header: [UInt8]) {
    guard header.count >= 100, header.starts(with: Array("SQLite format 3\0".utf8)) else { return nil }
    bytes = header
  }

  /// In bytes; 1 stands for 65,536, which does not fit.
  var pageSize: Int {
    let noted = Int(bytes[16]) << 8 | Int(bytes[17])
    return noted == 1 ? 65_536 : noted
  }
  /// 1 for a rollback journal, 2 for WAL; more is unknown to this SQLite.
  var readVersion: UInt8 { bytes[19] }
  /// 0 for a database without a schema; up to 4.
  var schemaFormat: UInt32 { bytes.bigEndian32(44) }
  /// The mode's name, for a sentence.
  var journal: String { bytes[18] == 2 && bytes[19] == 2 ? "WAL" : "rollback-journal" }
  /// The size in pages; nil where an old SQLite wrote last, which did not keep the field up to date.
  var pageCount: UInt32? {
    bytes.bigEndian32(28) > 0 && bytes.bigEndian32(24) == bytes.bigEndian32(92) ? bytes.bigEndian32(28) : nil
  }

  /// What SQLite would refuse the file for; nil when the header can be.
  var impossible: String? {
    guard (512...65_536).contains(pageSize), pageSize.nonzeroBitCount == 1 else {
      return "a page size of \(pageSize)"
    }
    guard pageSize - Int(bytes[20]) >= 480 else { return "\(bytes[20]) bytes reserved in each page" }
    guard bytes[21...23] == [64, 32, 32] else { return "payload fractions other than 64, 32 and 32" }
    guard bytes.bigEndian32(56) <= 3 else { return "text encoding \(bytes.bigEndian32(56))" }
    return nil
  }
}

extension FileFacts {
  /// How many pages of the last commit are neither in the database nor in the committed frames of the -wal.
  var missingPages: Int {
    guard let fields = DatabaseFields(header), fields.impossible == nil, let database else { return 0 }
    let there = UInt32(clamping: database.size / Int64(fields.pageSize))
    let frames = walFrames.flatMap { $0.committedFrames > 0 ? $0 : nil }
    guard let counted = frames?.pageCount ?? fields.pageCount, counted > there else { return 0 }
    let lacking = there + 1...counted
    // Nothing is ever written to the page with the bytes that are locked.
    let lockPage = UInt32(0x4000_0000 / fields.pageSize) + 1
    let found = (frames?.pages ?? []).union([lockPage])
    return lacking.count - found.count { lacking.contains($0) }
  }

  /// Whether the database's header and size need no -wal to make sense; only then can its scan be spared.
  var isWholeByItself: Bool {
    guard let fields = DatabaseFields(header), fields.impossible == nil else { return false }
    return missingPages == 0
  }
}
