// SPDX-License-Identifier: Apache-2.0

import Foundation
import Testing

@testable import HoldfastEngine

@Suite struct DiagnosisTests {
  @Test func theJSONHasExactlyTheNamesOfTheContract() throws {
    var diagnosis = Diagnosis(path: "/a.db", verdict: .walOrphan)
    diagnosis.holders = [FileUser(pid: 4711, command: "python3 hold.py", locks: ["a SHARED lock"])]
    diagnosis.findings = [.init("wal-orphan", .error, "The database is gone.", remedy: "Repair it.")]
    let data = try JSONEncoder().encode(diagnosis)
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    #expect(
      Set(object.keys) == [
        "path", "verdict", "sqlite_version", "wal_reset_bug", "journal_mode", "wal_bytes", "page_count",
        "filesystem", "holders", "findings", "certain", "indexes", "search_indexes", "tables", "quarantine",
      ])
    #expect(object["verdict"] as? String == "wal-orphan")
    #expect(object["journal_mode"] is NSNull)
    let holder = try #require((object["holders"] as? [[String: Any]])?.first)
    #expect(Set(holder.keys) == ["pid", "command", "locks", "stopped"])
    #expect(holder["locks"] as? [String] == ["a SHARED lock"])
    let finding = try #require((object["findings"] as? [[String: Any]])?.first)
    #expect(Set(finding.keys) == ["code", "severity", "message", "remedy"])
    #expect(try JSONDecoder().decode(Diagnosis.self, from: data) == diagnosis)
  }

  @Test func theVerdictsAreThoseOfTheContract() {
    #expect(
      Set(FileVerdict.allCases.map(\.rawValue)) == [
        "healthy", "fresh", "busy", "hot-journal", "wal-orphan", "zeroed", "not-a-database", "truncated",
        "damaged", "index-damaged", "unreadable", "newer-schema",
      ])
  }
}
