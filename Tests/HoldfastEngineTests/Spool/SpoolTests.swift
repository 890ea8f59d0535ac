// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// A database with a table that refuses the number 13.
let numbers: DatabaseMigrator = {
  var migrator = DatabaseMigrator()
  migrator.registerMigration("numbers") { db in
    try db.execute(
      sql: "CREATE TABLE number(id INTEGER PRIMARY KEY, value INTEGER NOT NULL CHECK(value <> 13)) STRICT")
  }
  return migrator
}()

@Sendable func insertNumbers(_ db: Database, _ records: [SpoolRecord]) throws {
  let insert = try db.cachedStatement(sql: "INSERT INTO number(value) VALUES (?)")
  for record in records {
    try insert.execute(arguments: [Int(String(decoding: record.payload, as: UTF8.self))])
  }
}

func readNumbers(_ file: StateFile) async throws -> [Int] {
  try await file.read { try Int.fetchAll($0, sql: "SELECT value FROM number ORDER BY id") }
}

extension Spool {
  func append(_ number: Int) throws(StoreError) {
    try append(Array(String(number).utf8))
  }
}

/// A database that fails as told before each write, without being one.
private final class FaultySink: SpoolSink {
  private let file: StateFile
  private let script: Monitor<[Fault]>
  enum Fault { case none, before, after }

  init(_ file: StateFile, _ faults: [Fault]) {
    self.file = file
    script = Monitor(faults.reversed())
  }

  func land(
    _ body: @escaping @Sendable (Database) throws -> SpoolLanding.Outcome,
    end: @escaping @Sendable (Result<SpoolLanding.Outcome, any Error>) -> Void
  ) -> @Sendable () -> Void {
    let fault = script.withLock { $0.popLast() ?? .none }
    if fault == .before {
      end(.failure(StoreError(.diskFull, "told to fail")))
      return {}
    }
    return file.land(body) { result in
      let lost = StoreError(.io, "told to lose the answer", outcome: .unknown)
      end(fault == .after ? .failure(lost) : result)
    }
  }
}

@Suite struct SpoolTests {
  let directory: TemporaryDirectory
  let file: StateFile

  init() async throws {
    directory = try TemporaryDirectory()
    file = try await StateFile.open(directory.file("numbers.db"), migrations: numbers)
  }

  private func configuration(
    segments: Int = 64, segmentBytes: Int = 16 << 10, linger: Duration = .milliseconds(1)
  ) -> Spool.Configuration {
    .init(
      directory: directory.file("spool"), stream: "numbers", capacity: segments * segmentBytes,
      segmentBytes: segmentBytes, linger: linger, adoptionInterval: .seconds(3600))
  }

  private func segmentsOnDisk() throws -> Int {
    try SpoolDirectory.open(directory.file("spool")).segments(of: "numbers").count
  }

  private func cursors() async throws -> Int {
    try await file.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM holdfast_spool") ?? -1 }
  }

  @Test func recordsLandInOrderAndAFlushWaitsForThem() async throws {
    let spool = try Spool.open(configuration())
    for number in 100..<200 { try spool.append(number) }
    #expect(spool.status().depth == 100)
    #expect(spool.status().oldest != nil)
    spool.startDraining(into: file, apply: insertNumbers)
    try await spool.flush()
    #expect(try await readNumbers(file) == Array(100..<200))
    #expect(spool.status().depth == 0)
    #expect(spool.status().oldest == nil)
    await spool.close()
    #expect(try segmentsOnDisk() == 0)
  }

  @Test func recordsAcrossManySegmentsLandOnceAndTheirFilesAndCursorsGo() async throws {
    let spool = try Spool.open(configuration())
    spool.startDraining(into: file, apply: insertNumbers)
    for number in 100..<10_100 { try spool.append(number) }
    try await spool.flush()
    #expect(try await readNumbers(file) == Array(100..<10_100))
    await spool.close()
    #expect(try segmentsOnDisk() == 0)
    // A later drain sweeps what cursors the last close left.
    let again = try Spool.open(configuration())
    again.startDraining(into: file, apply: insertNumbers)
    try again.append(1)
    try await again.flush()
    #expect(try await cursors() == 1)
    await again.close()
  }

  @Test func manyThreadsMayAppend() async throws {
    let spool = try Spool.open(configuration())
    spool.startDraining(into: file, apply: insertNumbers)
    await withTaskGroup { group in
      for task in 1...8 {
        group.addTask { for number in 0..<500 { try? spool.append(task * 1000 + number) } }
      }
    }
    try await spool.flush()
    let found = try await readNumbers(file)
    #expect(found.count == 4000 && Set(found).count == 4000)
    // Each writer's own records are in its order.
    for task in 1...8 {
      let own = found.filter { $0 / 1000 == task }
      #expect(own == own.sorted())
    }
    await spool.close()
  }

  @Test func appendsBeyondTheBoundAreRefusedAndCountedAndWorkAgainAfterwards_C10() async throws {
    let spool = try Spool.open(configuration(segments: 2))
    var accepted = 0
    let full = #expect(throws: StoreError.self) {
      while true {
        try spool.append(100 + accepted)
        accepted += 1
      }
    }
    #expect(full?.code == .refused)
    #expect(throws: StoreError.self) { try spool.append(1) }
    #expect(spool.status().refused == 2)
    #expect(spool.status().bytes <= spool.status().capacity)
    spool.startDraining(into: file, apply: insertNumbers)
    try await spool.flush()
    try spool.append(7)
    try await spool.flush()
    #expect(try await readNumbers(file) == Array(100..<100 + accepted) + [7])
    await spool.close()
  }

  @Test func whatACloseLeavesIsAdoptedAndLandsOnce_B10() async throws {
    let first = try Spool.open(configuration())
    for number in 100..<3000 { try first.append(number) }
    await first.close()
    #expect(throws: StoreError.self) { try first.append(1) }
    #expect(try segmentsOnDisk() > 1)

    let second = try Spool.open(configuration())
    second.startDraining(into: file, apply: insertNumbers)
    try await settled(second)
    #expect(try await readNumbers(file).sorted() == Array(100..<3000))
    await second.close()
    #expect(try segmentsOnDisk() == 0)
  }

  @Test func aSegmentOfALivingOwnerIsLeftToIt() async throws {
    let owner = try Spool.open(configuration())
    try owner.append(100)
    let other = try Spool.open(configuration())
    other.startDraining(into: file, apply: insertNumbers)
    try other.append(200)
    try await other.flush()
    #expect(try await readNumbers(file) == [200])
    #expect(other.status().orphans == 0)
    await other.close()
    owner.startDraining(into: file, apply: insertNumbers)
    try await owner.flush()
    #expect(try await readNumbers(file) == [200, 100])
    await owner.close()
  }

  @Test func aRecordThatCannotBeAppliedIsSetAsideAndBlocksNobody() async throws {
    let spool = try Spool.open(configuration())
    for number in 1...600 { try spool.append(number) }
    spool.startDraining(into: file, apply: insertNumbers)
    try await spool.flush()
    #expect(try await readNumbers(file) == (1...600).filter { $0 != 13 })
    #expect(spool.status().rejected == 1)
    let rejected = try await file.read {
      try String.fetchAll(
        $0,
        sql: "SELECT CAST(payload AS TEXT) || ' ' || sequence || ' ' || reason FROM holdfast_spool_rejected")
    }
    #expect(rejected.count == 1)
    #expect(rejected.first?.hasPrefix("13 13 ") == true)
    #expect(rejected.first?.contains("CHECK") == true)
    await spool.close()
  }

  @Test func aDatabaseThatFailsKeepsTheRecordsAndAnAnswerThatIsLostDoublesNone_A08() async throws {
    let spool = try Spool.open(configuration())
    spool.startDraining(
      sink: FaultySink(file, [.before, .after, .none, .before, .after, .after, .before]), apply: insertNumbers
    )
    for round in 1...5 {
      for number in 0..<50 { try spool.append(round * 100 + number) }
      try await spool.flush()
    }
    #expect(try await readNumbers(file) == (1...5).flatMap { round in (0..<50).map { round * 100 + $0 } })
    #expect(spool.status().lastError == nil)
    await spool.close()
  }

  @Test func appendsGoOnWhileAnotherHoldsTheDatabaseAndAllLandAfterwards_A08() async throws {
    let spool = try Spool.open(configuration())
    spool.startDraining(into: file, apply: insertNumbers)
    let foreign = try ForeignConnection(file.path)
    try foreign.run("BEGIN EXCLUSIVE")
    for number in 1000..<3000 { try spool.append(number) }
    #expect(spool.status().depth == 2000)
    // The flush waits for the lock like everybody; the records do not depend on it.
    let flushed = Task { try await spool.flush() }
    #expect(await eventually { file.status().waitingWrites == 1 })
    #expect(try foreign.text("SELECT count(*) FROM number") == "0")
    try foreign.run("COMMIT")
    try await flushed.value
    #expect(try await readNumbers(file) == Array(1000..<3000))
    await spool.close()
  }

  @Test func aCloseBesideAppendsTellsEachWhetherItWasAccepted_B09() async throws {
    var expected: [Int] = []
    for round in 1...25 {
      let spool = try Spool.open(configuration())
      if round % 2 == 0 { spool.startDraining(into: file, apply: insertNumbers) }
      let accepted = await withTaskGroup(of: [Int].self) { group in
        for task in 1...4 {
          group.addTask {
            let numbers = (0..<1000).map { round * 100_000 + task * 10_000 + $0 }
            return Array(numbers.prefix { (try? spool.append($0)) != nil })
          }
        }
        group.addTask {
          await spool.close()
          return []
        }
        return await group.reduce(into: []) { $0 += $1 }
      }
      expected += accepted
    }
    let last = try Spool.open(configuration())
    last.startDraining(into: file, apply: insertNumbers)
    try await settled(last)
    #expect(try await readNumbers(file).sorted() == expected.sorted())
    await last.close()
  }

  @Test func aDatabaseClosedFirstLeavesTheRecordsForTheNext() async throws {
    let spool = try Spool.open(configuration())
    let other = try await StateFile.open(directory.file("other.db"), migrations: numbers)
    spool.startDraining(into: other, apply: insertNumbers)
    try spool.append(1)
    try await spool.flush()
    await other.close()
    try spool.append(2)
    await spool.close()
    #expect(spool.status().lastError?.code == .closed)
    let next = try Spool.open(configuration())
    let again = try await StateFile.open(directory.file("other.db"), migrations: numbers)
    next.startDraining(into: again, apply: insertNumbers)
    try await settled(next)
    #expect(try await readNumbers(again) == [1, 2])
    await next.close()
    await again.close()
  }

  @Test func aSpoolWhoseDirectoryIsRemovedDrainsWhatItHasAndAcceptsNothingMore_C17() async throws {
    let gate = Gate()
    var configuration = configuration()
    configuration.adoptionInterval = .milliseconds(1)
    let spool = try Spool.open(configuration)
    spool.startDraining(sink: GatedSink(file, gate), apply: insertNumbers)
    for number in 100..<200 { try spool.append(number) }
    try FileManager.default.removeItem(atPath: configuration.directory)
    var accepted = 200
    var refusal: StoreError?
    while refusal == nil {
      do {
        try spool.append(accepted)
        accepted += 1
      } catch {
        refusal = error
      }
    }
    #expect(refusal?.code == .cannotOpen)
    gate.open()
    try await spool.flush()
    #expect(try await readNumbers(file) == Array(100..<accepted))
    #expect(!FileManager.default.fileExists(atPath: configuration.directory))
    await spool.close()
  }

  @Test func aFlushGivesUpAtItsDeadlineAndTheRecordsAreKept() async throws {
    let gate = Gate()
    let spool = try Spool.open(configuration())
    spool.startDraining(sink: GatedSink(file, gate), apply: insertNumbers)
    try spool.append(100)
    await #expect { try await spool.flush(within: .milliseconds(20)) } throws: {
      ($0 as? StoreError)?.code == .deadline
    }
    let waiting = Task { try await spool.flush() }
    waiting.cancel()
    await #expect { try await waiting.value } throws: { ($0 as? StoreError)?.code == .cancelled }
    gate.open()
    try await spool.flush()
    #expect(try await readNumbers(file) == [100])
    await spool.close()
  }

  /// A cancellation that comes while the drain looks around was once taken for one it had answered.
  @Test func everyFlushThatIsCancelledEnds() async throws {
    let gate = Gate()
    let spool = try Spool.open(configuration())
    spool.startDraining(sink: GatedSink(file, gate), apply: insertNumbers)
    try spool.append(100)
    let ended = Monitor(0)
    for round in 1...500 {
      let waiting = Task {
        await #expect { try await spool.flush() } throws: { ($0 as? StoreError)?.code == .cancelled }
        ended.withLock { $0 += 1 }
      }
      for _ in 0..<round % 8 { await Task.yield() }
      waiting.cancel()
      // By itself: the next would wake the drain for this one too.
      try #require(await eventually { ended.withLock { $0 } == round })
    }
    gate.open()
    await spool.close()
  }

  @Test func aCloseThatMayNotWaitLeavesTheRecordsForTheNext() async throws {
    let gate = Gate()
    let spool = try Spool.open(configuration())
    spool.startDraining(sink: GatedSink(file, gate), apply: insertNumbers)
    for number in 100..<110 { try spool.append(number) }
    await spool.close(within: .milliseconds(20))
    #expect(try segmentsOnDisk() == 1)
    // The batch that was on its way commits after all, while the next process has already adopted the
    // segment.
    gate.open()
    let next = try Spool.open(configuration())
    next.startDraining(into: file, apply: insertNumbers)
    try await settled(next)
    #expect(try await readNumbers(file) == Array(100..<110))
    await next.close()
  }

  @Test func damageInAnOrphanIsCountedAndItsFileSetAside() async throws {
    let first = try Spool.open(configuration())
    for number in 100..<200 { try first.append(number) }
    await first.close()
    let spoolDirectory = try SpoolDirectory.open(directory.file("spool"))
    let path = try #require(spoolDirectory.segments(of: "numbers").first).path(in: spoolDirectory.path)
    var bytes = try [UInt8](contentsOf: path)
    // Every record here takes 32 bytes: the one with number 150 loses a byte of its payload.
    bytes[SegmentFormat.headerBytes + 50 * 32 + SegmentFormat.recordHeaderBytes] ^= 0xff
    try bytes.write(to: path)
    let second = try Spool.open(configuration())
    second.startDraining(into: file, apply: insertNumbers)
    try await settled(second)
    #expect(try await readNumbers(file) == (100..<200).filter { $0 != 150 })
    #expect(second.status().damaged == 1)
    #expect(try [UInt8](contentsOf: path + ".damaged") == bytes)
    await second.close()
  }

  @Test func filesArePrivateWhateverTheUmask_C12() async throws {
    let spool = try Spool.open(configuration())
    let spoolDirectory = try SpoolDirectory.open(directory.file("spool"))
    let path = try #require(spoolDirectory.segments(of: "numbers").first).path(in: spoolDirectory.path)
    #expect(fileMode(path) == 0o600)
    #expect(fileMode(spoolDirectory.path) == 0o700)
    await spool.close()
  }

  @Test func aRecordLargerThanASegmentIsRefusedAsMisuse() async throws {
    let configuration = configuration()
    let spool = try Spool.open(configuration)
    let error = #expect(throws: StoreError.self) {
      try spool.append([UInt8](repeating: 1, count: configuration.largestPayload + 1))
    }
    #expect(error?.code == .misuse)
    try spool.append([UInt8](repeating: 1, count: configuration.largestPayload))
    await spool.close()
  }

  /// Waits until the orphans that were there at the start are drained.
  private func settled(_ spool: Spool) async throws {
    while true {
      let status = spool.status()
      if status.depth == 0, status.orphans == 0, try segmentsOnDisk() <= 1 { return }
      await Task.yield()
    }
  }
}
