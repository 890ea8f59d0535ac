// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// Stores on filesystems that are not one machine's own, as an injected mount table says.
@Suite(.serialized) struct SharedFilesystemTests {
  private let test: PeerTest

  init() throws { test = try PeerTest() }

  static let coherent = ["ext4", "xfs", "btrfs", "tmpfs", "overlay"]
  static let incoherent = [
    "virtiofs", "9p", "nfs", "nfs4", "cifs", "smb3", "fuse.sshfs", "vboxsf", "lustre", "somethingnew",
  ]

  /// A machine with one of everything.
  private static let table: String = {
    var lines = ["21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw"]
    for (index, type) in (coherent + incoherent).enumerated() {
      lines.append("\(30 + index) 21 0:\(index) / /mnt/\(type) rw shared:2 master:1 - \(type) source rw")
    }
    lines.append("90 21 0:90 / /mnt/a\\040b rw - 9p with\\040blank rw")
    lines.append("91 90 0:91 / /mnt/a\\040b/disk rw - ext4 /dev/sdb rw")
    return lines.joined(separator: "\n")
  }()

  private func on(
    _ type: String, journal: StateFileConfiguration.Journal = .automatic
  ) -> StateFileConfiguration {
    var configuration = StateFileConfiguration(journal: journal)
    configuration.mountTable = "21 1 0:1 / / rw - \(type) source rw"
    return configuration
  }

  private func open(_ type: String) async throws -> StateFile {
    try await StateFile.open(test.database, configuration: on(type), migrations: numbers)
  }

  /// What the header asks for.
  private func header(_ path: String? = nil) throws -> DatabaseHeader {
    DatabaseHeader(bytes: try [UInt8](contentsOf: path ?? test.database).prefix(100))
  }

  private func sidecars() -> [String] {
    ["-wal", "-shm"].filter { FileManager.default.fileExists(atPath: test.database + $0) }
  }

  @Test func theMountTableSaysWhereWALWorks_C14() throws {
    func policy(_ path: String) -> JournalPolicy {
      var configuration = StateFileConfiguration()
      configuration.mountTable = Self.table
      return .decide(path, configuration: configuration, isRecorded: false)
    }
    for type in Self.coherent { #expect(policy("/mnt/\(type)/home/usage.db") == .wal) }
    for type in Self.incoherent {
      #expect(
        policy("/mnt/\(type)/home/usage.db")
          == .rollback(.filesystem(Filesystem(type: type, mountPoint: "/mnt/\(type)"))))
    }
    #expect(policy("/mnt/usage.db") == .wal)
    #expect(policy("/mnt/a b/usage.db").needsFreshConnections)
    #expect(policy("/mnt/a b/disk/usage.db") == .wal)
    // A mount on top of another hides it.
    let hidden = Self.table + "\n99 21 0:99 / /mnt/ext4 rw - nfs4 server:/export rw"
    #expect(Filesystem.of("/mnt/ext4/usage.db", mountTable: hidden)?.isCoherent == false)
  }

  @Test func whatIsRecordedOrChosenIsStrongerThanTheFilesystem_C14() {
    let disk = Filesystem(type: "ext4", mountPoint: "/")
    let share = Filesystem(type: "nfs", mountPoint: "/")
    #expect(JournalPolicy.decide(filesystem: disk, journal: .automatic, isRecorded: false) == .wal)
    #expect(
      JournalPolicy.decide(filesystem: disk, journal: .automatic, isRecorded: true) == .rollback(.recorded))
    #expect(
      JournalPolicy.decide(filesystem: disk, journal: .rollback, isRecorded: false) == .rollback(.chosen))
    #expect(
      JournalPolicy.decide(filesystem: share, journal: .automatic, isRecorded: true)
        == .rollback(.filesystem(share)))
    // No table, no knowledge: nothing is changed.
    #expect(JournalPolicy.decide(filesystem: nil, journal: .automatic, isRecorded: false) == .asItIs)
    #expect(
      JournalPolicy.decide(filesystem: nil, journal: .automatic, isRecorded: true) == .rollback(.recorded))
  }

  @Test(arguments: coherent + incoherent)
  func aNewStoreGetsWALOnlyWhereItWorks_C14(type: String) async throws {
    let isCoherent = Self.coherent.contains(type)
    for number in 1...2 {
      let file = try await open(type)
      try await file.write(insertNumber(number))
      #expect(try header() == (isCoherent ? .wal : .rollback))
      #expect(sidecars().isEmpty == !isCoherent)
      #expect(try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM number") } == number)
      _ = try await file.checkpoint()
      await file.close()
    }
    #expect(try test.numbersInFile() == [1, 2])
  }

  /// A home that was moved to a share, or a share that was never checked before.
  @Test func aWALFileOnAShareIsTakenOutOfWALWithEveryRow_C14() async throws {
    let before = try await open("ext4")
    for number in 1...5 { try await before.write(insertNumber(number)) }
    await before.close()
    #expect(try header() == .wal)
    #expect(try [UInt8](contentsOf: test.database + "-wal").count > 4096)
    let file = try await open("virtiofs")
    #expect(try header() == .rollback)
    #expect(!FileManager.default.fileExists(atPath: test.database + "-wal"))
    try await file.write(insertNumber(6))
    #expect(try await file.read { try Int.fetchAll($0, sql: "SELECT value FROM number") } == Array(1...6))
    await file.close()
    #expect(try test.numbersInFile() == Array(1...6))
    #expect(try test.integrity() == "ok")
  }

  @Test func aWALFileThatAnotherProcessHasOpenOnAShareIsRefusedAndNamesIt_C14() async throws {
    let other = try test.start(.holdTurn, first: 7)
    try await other.arrival(at: "start")
    let error = await #expect(throws: StoreError.self) { await (try open("9p")).close() }
    #expect(error?.code == .transient)
    #if os(Linux)
      #expect(error?.holders.map(\.pid) == [other.pid])
    #endif
    #expect(try header() == .wal)
    // And what the other does there still arrives.
    other.open("start")
    try await other.pass("inside")
    #expect(await other.word() == "written")
    #expect(await other.end() == .exited(0))
    let file = try await open("9p")
    #expect(try header() == .rollback)
    #expect(try await file.read { try Int.fetchAll($0, sql: "SELECT value FROM number") } == [7])
    await file.close()
  }

  /// One machine's disk may be another's share.
  @Test func aFileKeptFromWALStaysSoAndItsCopyDoesNot_C14() async throws {
    await (try open("nfs4")).close()
    let file = try await open("ext4")
    try await file.write(insertNumber(1))
    #expect(try header() == .rollback)
    await file.close()
    // Whoever else puts it in WAL mode has it taken back at the next opening.
    #expect(try ForeignConnection(test.database).text("PRAGMA journal_mode = WAL") == "wal")
    for type in ["xfs", "virtiofs"] {
      let again = try await open(type)
      #expect(try header() == .rollback)
      await again.close()
    }
    let elsewhere = try TemporaryDirectory()
    try [UInt8](contentsOf: test.database).write(to: elsewhere.file("numbers.db"))
    try [UInt8](contentsOf: test.database + "-lane").write(to: elsewhere.file("numbers.db-lane"))
    let copy = try await StateFile.open(
      elsewhere.file("numbers.db"), configuration: on("ext4"), migrations: numbers)
    #expect(try header(elsewhere.file("numbers.db")) == .wal)
    #expect(try await copy.read { try Int.fetchAll($0, sql: "SELECT value FROM number") } == [1])
    await copy.close()
  }

  @Test func aProgramMayChooseARollbackJournalAnywhere_C14() async throws {
    let file = try await StateFile.open(
      test.database, configuration: on("ext4", journal: .rollback), migrations: numbers)
    try await file.write(insertNumber(1))
    await file.close()
    #expect(try header() == .rollback)
    let other = try await open("ext4")
    #expect(try header() == .rollback)
    await other.close()
  }

  #if os(Linux)
    /// What a connection that stays open remembers may be older than the file.
    @Test func eachReadOnAShareHasAConnectionOfItsOwn_C14() async throws {
      for (type, isKept) in [("virtiofs", false), ("ext4", true)] {
        let directory = try TemporaryDirectory()
        let file = try await StateFile.open(
          directory.file("a.db"), configuration: on(type), migrations: numbers)
        try await file.write(insertNumber(1))
        let identity = FileIdentity(path: file.path)
        let open = { ProcFile.descriptors().count { FileIdentity(descriptor: $0) == identity } }
        let before = open()
        for _ in 0..<3 {
          #expect(try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM number") } == 1)
        }
        // The reader's thread gives its caller the result before it closes.
        let settled = await eventually(within: .seconds(10)) { (open() > before) == isKept }
        #expect(settled, "\(type): \(before) before, \(open()) after")
        await file.close()
      }
    }

    @Test func itIsSaidOnce_C14() async throws {
      for (type, times) in [("virtiofs", 1), ("ext4", 0)] {
        let directory = try TemporaryDirectory()
        var settings = PeerSettings(database: directory.file("numbers.db"), count: 3)
        settings.filesystem = type
        // The peer's log goes to its standard error.
        let peer = try PeerProcess.start(
          "/bin/sh",
          arguments: ["-c", "exec \"$@\" 2>\"$0\"", directory.file("log"), test.peer]
            + settings.arguments(for: EngineScenarioName.openAndClose.rawValue))
        try await peer.pass("start")
        #expect(await peer.end() == .exited(0))
        let log = try String(decoding: [UInt8](contentsOf: directory.file("log")), as: UTF8.self)
        let lines = log.split(separator: "\n").filter { $0.contains("not put in WAL mode") }
        #expect(lines.count == times, "\(log)")
        #expect(lines.allSatisfy { $0.contains("virtiofs") && $0.contains("numbers.db") })
      }
    }
  #endif

  @Test func changesByOthersAreHeardOnAShare_C14() async throws {
    let file = try await open("nfs")
    let foreign = try ForeignConnection(test.database, busyTimeout: 60_000)
    var changes = try await file.changes().makeAsyncIterator()
    for number in 1...3 {
      try foreign.run("INSERT INTO number(value) VALUES (\(number))")
      #expect(await changes.next() != nil)
      // What is heard can be read.
      #expect(try await file.read { try Int.fetchOne($0, sql: "SELECT max(value) FROM number") } == number)
    }
    await file.close()
    #expect(await changes.next() == nil)
  }

  /// A read-only connection cannot roll back; somebody must, and no person.
  @Test func aReadAfterAWriterDiedInItsTransactionFindsTheOldRows_C01_C14() async throws {
    var migrator = DatabaseMigrator()
    migrator.registerMigration("note") { db in
      try db.execute(
        sql: "CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT); INSERT INTO note(text) VALUES ('old')")
    }
    let file = try await StateFile.open(
      test.database, configuration: on("virtiofs"), migrations: migrator)
    let writer = try test.start(.spill, count: 50)
    try await writer.pass("start")
    try await writer.arrival(at: "inside")
    await writer.kill()
    #expect(FileFacts.Entry(path: test.database + "-journal")?.size ?? 0 > 512)
    let texts = try await file.read { try String.fetchAll($0, sql: "SELECT text FROM note") }
    #expect(texts == ["old"])
    await file.close()
  }

  /// Workers that write, read, spool and reopen beside a foreign writer, killed at random, all in rollback mode.
  @Test func everyAcknowledgedWriteOfKilledProcessesIsThereOnceOnAShare_C14_B10() async throws {
    let (processes, kills) = isSoak ? (8, 500) : (3, 25)
    var configuration = Torture.Configuration(
      processes: processes, kills: kills, seed: 14, directory: test.directory.path,
      program: [test.peer, "torture"])
    configuration.filesystem = "virtiofs"
    let report = try await Torture(configuration).run()
    print("torture of \(processes) processes in rollback mode: \(report)")
    #expect(report.holds, "\(report)")
    #expect(report.kills == kills)
    #expect(report.acknowledged > kills)
    #expect(try header(test.directory.file("torture.db")) == .rollback)
  }
}
