// SPDX-License-Identifier: Apache-2.0

/// What a set that SQLite may not see, or would first recover, comes to when it is read as an image.
struct Prospect: Hashable, Sendable {
  let pageCount: UInt32
  let findings: [Diagnosis.Finding]

  /// Up to this size a set is read for it: a few seconds from a disk.
  private static let mostBytes: Int64 = 256 << 20

  /// Reads the set. Blocks; nothing is written.
  /// - Parameter isDeep: whether to read it however large it is.
  /// - Returns: nil when it has nothing to say.
  init?(of facts: FileFacts, _ verdict: FileVerdict, isDeep: Bool) {
    guard [.hotJournal, .zeroed, .notADatabase, .truncated, .damaged, .walOrphan].contains(verdict),
      isDeep || (facts.database?.size ?? 0) + (facts.wal?.size ?? 0) <= Self.mostBytes,
      let image = try? FileImage(
        path: facts.path, wal: facts.path + "-wal",
        journal: verdict == .hotJournal ? facts.path + "-journal" : nil)
    else { return nil }
    let map = PageMap(image)
    let tables = map.objects.count { $0.type == "table" && $0.root != 0 }
    guard tables > 0,
      let report = try? ContentCheck(
        view: ImageView(image), map: map, extent: .everything, isDeep: false, progress: { _, _ in }
      ).run()
    else { return nil }
    pageCount = image.pageCount
    var found: [Diagnosis.Finding] = []
    let name = facts.path.fileName
    if verdict == .hotJournal {
      found += Self.rolledBack(image, report, name)
    } else if report.isSound {
      let from = image.changes.committedFrames > 0 ? " and its -wal" : ""
      found.append(
        .init(
          "recoverable", .info,
          "Read together, what is left of \(name)\(from) makes a sound database of \(tables) tables.",
          remedy: "Run `holdfast doctor --repair \(facts.path)`."))
    } else {
      found.append(
        .init(
          "partly-recoverable", .info,
          "\(tables) tables of \(name) can still be told; parts of them or of the file are damaged.",
          remedy: "Run `holdfast doctor --repair \(facts.path)`, which saves every row that can be read."))
    }
    findings = found
  }

  /// Whether the rollback does what it is for. Where it damages what is sound without it, the journal is
  /// another database's.
  private static func rolledBack(
    _ image: FileImage, _ report: ContentReport, _ name: String
  ) -> [Diagnosis.Finding] {
    if report.isSound {
      return [
        .init(
          "recoverable", .info,
          "With the \(image.changes.fromJournal.count) pages of the journal laid back, \(name) is sound.",
          remedy: "Have SQLite or `holdfast doctor --repair` do it; nothing that was committed is lost.")
      ]
    }
    if image.changes.isRolledBack, let alone = try? FileImage(path: image.path),
      let found = try? ContentCheck(
        view: ImageView(alone), map: PageMap(alone), extent: .everything, isDeep: false, progress: { _, _ in }
      ).run(), found.isSound
    {
      return [
        .init(
          "foreign-journal", .error,
          """
          \(name) is sound as it is and damaged with the journal's pages laid back, so the journal is probably another \
          database's or an older one's.
          """,
          remedy: "Copy both; then move the journal away before anything opens the database.")
      ]
    }
    let damage = report.problems.prefix(3).map(\.what).joined(separator: "; ")
    return [
      .init(
        "damage", .error, "Even with the journal's pages laid back \(name) is damaged: \(damage).",
        remedy: "Keep both as they are; run `holdfast doctor --repair`, which works on a copy.")
    ]
  }
}
