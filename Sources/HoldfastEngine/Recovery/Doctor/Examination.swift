// SPDX-License-Identifier: Apache-2.0

import GRDB

/// One attempt to examine a database: the facts of a moment, and what they and the contents come to.
struct Examination {
  /// How an attempt ended.
  enum Outcome {
    case settled(Diagnosis)
    /// Somebody wrote while it was read.
    case changed
    /// Damage was seen in files others have open; only what a second look sees too is believed.
    case doubtful(ContentReport)
  }

  private let subject: DoctorSubject
  private let options: Doctor.Options
  private let isLast: Bool
  private let facts: FileFacts
  private let users: FileUsers
  private let judged: PreflightVerdict

  /// Looks at the files, not yet at their contents. Blocks.
  init(_ subject: DoctorSubject, _ options: Doctor.Options, isLast: Bool) throws {
    self.subject = subject
    self.options = options
    self.isLast = isLast
    facts = try FileFacts.gather(subject.files.database)
    users = FileUsers.of(facts.path)
    judged = Self.judge(facts, users)
  }

  /// Preflight's verdict, with what else is known of holders. A journal that looks hot is the present
  /// transaction of whoever holds a lock of the database, seen or unseen.
  static func judge(_ facts: FileFacts, _ users: FileUsers) -> PreflightVerdict {
    let judged = Preflight.judge(facts)
    guard judged.verdict == .hotJournal, users.holdLocks else { return judged }
    let who =
      users.hasInvisibleHolder ? "somebody who cannot be seen from here" : "somebody"
    return PreflightVerdict(
      .busy, "\(facts.path.fileName) is in the middle of a transaction: \(who) holds a lock of it.")
  }

  /// Examines. Blocks.
  /// - Throws: ``StoreError`` with code `cannotOpen` when there is nothing.
  func run(doubting doubt: ContentReport?) throws -> Outcome {
    guard facts.database != nil || judged.verdict != .fresh || subject.quarantine != nil else {
      let sidecar = [facts.wal, facts.journal].contains { $0?.size ?? 0 > 0 }
      throw StoreError(
        .cannotOpen,
        "There is no file \(subject.path)\(sidecar ? ", and nothing that was committed beside it" : ""): check the name.",
        path: subject.path)
    }
    var diagnosis = begin()
    switch judged.verdict {
    case .healthy:
      break
    case .truncated where !judged.isCertain && users.holdLocks:
      // Somebody may have just written what lacks; SQLite knows.
      break
    default:
      diagnosis.settle(judged, facts)
      if users.isEmpty, let prospect = Prospect(of: facts, judged.verdict, isDeep: options.isDeep) {
        diagnosis.findings += prospect.findings
        diagnosis.pageCount = Int64(prospect.pageCount)
      }
      return .settled(finished(diagnosis))
    }
    return try readContents(diagnosis, doubting: doubt)
  }

  /// What is known before the contents.
  private func begin() -> Diagnosis {
    var diagnosis = Diagnosis(path: subject.path, verdict: judged.verdict)
    diagnosis.isCertain = judged.isCertain
    diagnosis.holders = users.processes
    diagnosis.walBytes = facts.wal?.size ?? 0
    diagnosis.filesystem = facts.filesystem?.type
    diagnosis.quarantine = subject.quarantine?.directory
    if let fields = DatabaseFields(facts.header), fields.impossible == nil {
      diagnosis.journalMode = fields.journal == "WAL" ? "wal" : "delete"
      diagnosis.pageCount = (facts.database?.size ?? 0) / Int64(fields.pageSize)
    }
    if users.hasInvisibleHolder {
      diagnosis.findings.append(
        .init(
          "invisible-holder", .warning,
          """
          The kernel knows of a lock on the file whose process cannot be seen from here, such as one outside this \
          container or in another.
          """, remedy: "Look for it where that process runs, or as root."))
    }
    if diagnosis.journalMode == "wal", diagnosis.walResetBug {
      diagnosis.findings.append(.walResetBug)
    }
    return diagnosis
  }

  /// Adds what is beside the database, and orders the findings.
  private func finished(_ diagnosis: Diagnosis) -> Diagnosis {
    var diagnosis = diagnosis
    diagnosis.findings += SidecarFacts(of: facts).findings(facts, isInUse: users.holdLocks)
    let place = PlaceFacts(around: subject.path)
    if let entry = subject.quarantine {
      diagnosis.setAside(entry)
    } else {
      diagnosis.findings += place.findings(facts, users)
    }
    if diagnosis.verdict != .healthy, diagnosis.verdict != .fresh, let backup = place.backupFinding {
      diagnosis.findings.append(backup)
    }
    diagnosis.findings.sort { $0.severity > $1.severity }
    return diagnosis
  }

  // MARK: Contents

  /// Up to this size everything is read without being asked to: a few seconds from a disk.
  private static let freelyRead: Int64 = 256 << 20

  private func readContents(_ diagnosis: Diagnosis, doubting doubt: ContentReport?) throws -> Outcome {
    var diagnosis = diagnosis
    let report: ContentReport
    do {
      if users.holdLocks || isLast && !users.isEmpty {
        report = try readLive()
      } else {
        switch try readImage() {
        case nil: return .changed
        case let found? where !users.isEmpty && !found.isSound && found != doubt: return .doubtful(found)
        case let found?: report = found
        }
      }
    } catch let error as StoreError where error.code == .transient || error.code == .deadline {
      diagnosis.verdict = .busy
      diagnosis.findings.append(
        .init("busy", .warning, error.message, remedy: "Try again when its program is idle."))
      return .settled(finished(diagnosis))
    } catch let error as DatabaseError {
      throw StoreError(error, path: facts.path, doing: "Reading")
    }
    if judged.verdict == .truncated {
      if report.isDamaged { diagnosis.settle(judged, facts) } else { diagnosis.verdict = .healthy }
      diagnosis.isCertain = true
    }
    diagnosis.add(report, bytes: bytes, knownMigrations: options.knownMigrations)
    if report.isDamaged, users.isEmpty, let alone = aloneIsSound() { diagnosis.findings.append(alone) }
    return .settled(finished(diagnosis))
  }

  private var bytes: Int64 { (facts.database?.size ?? 0) + (facts.wal?.size ?? 0) }
  private var readsEverything: Bool { options.isDeep || bytes <= Self.freelyRead }

  private func report(_ share: Double, _ what: String) { options.progress?(share, what) }

  /// - Returns: nil when the files changed meanwhile.
  private func readImage() throws -> ContentReport? {
    let image = try FileImage(path: facts.path, wal: facts.path + "-wal")
    let map = readsEverything ? PageMap(image) { report(0.4 * $0, "pages") } : nil
    var found = try ContentCheck(
      view: ImageView(image), map: map, extent: map == nil ? .ends : .everything, isDeep: options.isDeep,
      progress: { report(0.4 + 0.6 * $0, $1) }
    ).run()
    if options.isDeep, let map { found.searchIndexes = SearchIndexCheck.run(map.objects, on: image) }
    // What had to be made up or left out for these pages to be sound: SQLite has no such leniency.
    var noted = image.repairs
    // SQLite's check of single tables, which is used here, leaves this out.
    let roots = map?.objects.map(\.root) ?? []
    let stated = image.layout.largestRoot
    if let largest = roots.max(), stated != 0, stated != max(1, largest) {
      noted.append("The header notes \(stated) as the largest root page, which is \(largest).")
    }
    if stated == 0, image.layout.isIncrementalVacuum {
      noted.append("The header asks for incremental vacuum and notes no largest root page.")
    }
    found.problems += noted.map { IntegrityCheck.Finding(kind: .schema, what: $0) }
    return image.isCurrent ? found : nil
  }

  /// Reads beside others, each table in a transaction of its own.
  private func readLive() throws -> ContentReport {
    let view = LiveView(facts.path)
    let found = try ContentCheck(
      view: view, map: nil, extent: readsEverything ? .tables : .ends, isDeep: options.isDeep,
      progress: { report($0, $1) }
    ).run()
    guard !found.isSound, readsEverything else { return found }
    // Whose the damaged pages are is told by all pages as they are at one moment, which the transaction of an
    // ordinary reader keeps: nobody lays a -wal back over it or starts one anew. A writer that goes on adding to
    // the -wal shows in the image, and then damage counts as the tables'.
    return try view.read { db -> ContentReport? in
      try db.execute(sql: "BEGIN")
      defer { try? db.execute(sql: "ROLLBACK") }
      _ = try? Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema")
      let image = try FileImage(path: facts.path, wal: facts.path + "-wal")
      var placed = try ContentCheck(
        view: ImageView(image), map: PageMap(image), extent: .everything, isDeep: false, progress: { _, _ in }
      ).run()
      (placed.rows, placed.dangling) = (found.rows, found.dangling)
      return image.isCurrent ? placed : nil
    } ?? found
  }

  /// Whether the damage comes with the -wal: then that is probably another database's.
  private func aloneIsSound() -> Diagnosis.Finding? {
    guard facts.wal?.size ?? 0 > 0, bytes <= Self.freelyRead,
      let image = try? FileImage(path: facts.path), !image.isHeaderRebuilt,
      let found = try? ContentCheck(
        view: ImageView(image), map: PageMap(image), extent: .everything, isDeep: false, progress: { _, _ in }
      ).run(), found.isSound
    else { return nil }
    let name = facts.path.fileName
    return .init(
      "foreign-wal", .error,
      "Without \(name)-wal the database is sound, so the -wal is probably another database's or an older one's.",
      remedy: "Copy both; then move the -wal away. What was committed in it last is not in the database then."
    )
  }
}
