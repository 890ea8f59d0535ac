// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct DoctorSubjectTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  /// Puts a manifest, and no files, where a set of `name` would have been put.
  private func setAside(
    _ name: String, stamp: String = "20261121T100000123Z-9f3a01cc",
    state: QuarantineManifest.State = .complete
  ) throws -> String {
    try QuarantineFiles.makeDirectory(directory.path + "/quarantine")
    let entry = directory.path + "/quarantine/\(name)-\(stamp)"
    try QuarantineFiles.makeDirectory(entry)
    let manifest = QuarantineManifest(
      path: "/elsewhere/\(name)", name: name, verdict: .zeroed, reason: "It was empty.",
      time: "2026-11-21T10:00:00.123Z", pid: 1, files: [], state: state)
    try QuarantineFiles.write(manifest, into: entry)
    return entry
  }

  private func touch(_ name: String, _ bytes: [UInt8] = []) throws {
    try Data(bytes).write(to: URL(fileURLWithPath: directory.file(name)))
  }

  @Test func aFileStandsForItself() throws {
    try touch("x.db")
    let (subject, others) = try one(Doctor.subjects(of: directory.path + "/./x.db"))
    #expect(others == 0)
    #expect(subject.path == directory.file("x.db"))
    #expect(subject.files.wal == directory.file("x.db-wal"))
    #expect(subject.files.journal == directory.file("x.db-journal"))
    #expect(subject.quarantine == nil)
  }

  @Test func anAbsentFileThatWasSetAsideStandsForTheNewestSet_C05() throws {
    _ = try setAside("x.db", stamp: "20261120T100000123Z-9f3a01cc")
    let newest = try setAside("x.db")
    _ = try setAside("x.db", stamp: "20261122T100000123Z-9f3a01cc", state: .resolved)
    let (subject, _) = try one(Doctor.subjects(of: directory.file("x.db")))
    #expect(subject.path == directory.file("x.db"))
    #expect(subject.quarantine?.directory == newest)
    #expect(subject.files.database == newest + "/x.db")
    // By its own directory it is found too, wherever the home was when it was set aside.
    #expect(try Doctor.subjects(of: newest) == [subject])
    #expect(try Doctor.subjects(of: directory.path) == [subject])
    try touch("x.db")
    #expect(try one(Doctor.subjects(of: directory.file("x.db"))).0.quarantine == nil)
  }

  @Test func aDirectoryStandsForItsDatabasesAndForNothingElse() throws {
    try touch("empty.db")
    try touch("named.sqlite", PageLayout.magic + [0, 0])
    try touch("text.sqlite", Array("SQLite format 2".utf8))
    try touch("a.db-lane")
    try touch("a.db-journal")
    try touch("blank.db-wal")
    try touch("lost.db-wal", [1])
    try FileManager.default.createDirectory(
      atPath: directory.file("dir.db"), withIntermediateDirectories: true)
    // A manifest is a file anybody may have edited.
    _ = try setAside("..")
    let names = try Doctor.subjects(of: directory.path).map { $0.path.fileName }
    #expect(names == ["empty.db", "lost.db", "named.sqlite"])
  }

  @Test func aDirectoryWithoutADatabaseIsAnError() throws {
    #expect { try Doctor.subjects(of: directory.path) } throws: {
      ($0 as? StoreError)?.code == .cannotOpen
    }
  }

  private func one(_ subjects: [DoctorSubject]) throws -> (DoctorSubject, Int) {
    (try #require(subjects.first), subjects.count - 1)
  }
}
