// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// The contract of C09 over random schemas, workloads and wounds. One seed makes all the files of a test.
@Suite struct SalvageTrials {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// What the files of a test had, and what came of them.
  private struct Totals {
    var files = 0
    var rows = 0
    var scanned = 0
    var recovered = 0
    var besides = 0
    var uncertain = 0
    var methods: [String: Int] = [:]

    var words: String {
      """
      \(files) files: \(rows) rows before, \(scanned) by a plain scan, \(recovered) salvaged into their tables, \
      \(besides) beside them, \(uncertain) of deleted rows after damage to the free list; methods \
      \(methods.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))
      """
    }
  }

  /// Damages one file, salvages it and holds the result against the damaged file.
  private func attempt(
    _ round: Int, _ path: String, _ sample: MemoryPages, deleted: [String: Set<RowContent>],
    _ random: inout SplitMix64, _ totals: inout Totals
  ) throws {
    totals.files += 1
    totals.rows += try allRows(path).values.reduce(0) { $0 + $1.count }
    var pages = sample
    damage(&pages, &random)
    try Data(pages.bytes).write(to: URL(filePath: path))
    let output = directory.file("out-\(round).db")
    let report = try Salvage.run(FileImage(path: path), into: output)
    #expect(try [UInt8](Data(contentsOf: URL(filePath: path))) == pages.bytes, "round \(round)")
    #expect(try ForeignConnection(output).text("PRAGMA integrity_check") == "ok", "round \(round)")
    let found = try allRows(output)
    let lost = try lostRows(output)
    let plain = plainRows(path)
    for (table, rows) in plain where !isOfAnIndex(table) {
      let there = Set(found[table] ?? [])
      for row in rows where !there.contains(row) {
        // What the table's own rules refuse is beside it, by its number or by its fields.
        let isBeside = lost.contains {
          $0.table == table && ($0.id == row.first || $0.values.starts(with: row.prefix(1)))
        }
        #expect(isBeside, "round \(round): \(table) lacks \(row.prefix(3))")
      }
      let counted = report.tables.first { $0.name == table } ?? .init(name: table)
      #expect(
        counted.recovered + counted.lostAndFound >= max(rows.count, counted.scanned),
        "round \(round): \(counted), and \(rows.count) are there to be read")
      totals.scanned += rows.count
      totals.besides += counted.lostAndFound
    }
    for (table, rows) in found where !isOfAnIndex(table) {
      totals.recovered += rows.count
      #expect(Set(rows).count == rows.count, "round \(round): \(table) has a row twice")
      if let counted = report.tables.first(where: { $0.name == table }) {
        #expect(counted.recovered == rows.count, "round \(round): \(table)")
      }
      // What SQLite reads is not ours to judge: a page in the place of another can be an old one.
      let risen = Set(rows).subtracting(plain[table] ?? []).intersection(deleted[table] ?? [])
      if report.problems.contains(where: { $0.hasPrefix("The list of free pages is damaged") }) {
        totals.uncertain += risen.count
      } else {
        #expect(
          risen.isEmpty, "round \(round): \(table) has deleted rows again: \(risen.map { $0.prefix(2) })")
      }
    }
    for method in report.methods { totals.methods[method, default: 0] += 1 }
    for name in [path, output] { try FileManager.default.removeItem(atPath: name) }
  }

  /// The shadow tables of a search index but its contents: they are made again from those.
  private func isOfAnIndex(_ table: String) -> Bool {
    table.hasPrefix("search_") && table != "search_content"
  }

  @Test func neverLessThanAPlainScanReads_C09() throws {
    var random = SplitMix64(seed: 0x5a1_7a6e)
    var totals = Totals()
    for round in 0..<(isSoak ? 500 : 80) {
      let path = directory.file("in-\(round).db")
      let pages = try randomDatabase(path, &random)
      try attempt(round, path, pages, deleted: [:], &random, &totals)
    }
    #expect(totals.recovered >= totals.scanned)
    print("salvage, an agent's tables:", totals.words)
  }

  @Test func everyKindOfTableComesBackAndNothingDeleted_C09() throws {
    var random = SplitMix64(seed: 0xc09)
    var totals = Totals()
    for round in 0..<(isSoak ? 500 : 40) {
      let path = directory.file("in-\(round).db")
      let (pages, deleted) = try manifoldDatabase(path, &random)
      try attempt(round, path, pages, deleted: deleted, &random, &totals)
    }
    #expect(totals.recovered >= totals.scanned)
    print("salvage, every kind of table:", totals.words)
  }
}
