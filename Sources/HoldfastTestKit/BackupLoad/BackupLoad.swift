// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// Makes a backup of a database beside processes that write it at a steady rate, and says how long they waited and
/// whether everything is where it should be (row C18).
public struct BackupLoad: Sendable {
  /// What a run is to do.
  public struct Configuration: Sendable {
    /// The database's size before the load begins, in bytes.
    public var bytes: Int64
    /// Rows a second, of all writers together.
    public var rate: Double
    /// Processes that write.
    public var writers: Int
    /// How long the load runs before the backup begins, to compare with.
    public var control: Duration
    /// How long it runs on after the backup's end.
    public var after: Duration
    /// Whether the backup is compressed.
    public var isCompressed = false
    /// An empty directory for the run's files; it needs three times ``bytes``.
    public var directory: String
    /// The program and its first arguments that run a ``BackupLoadPeer``; its settings follow as one argument.
    public var program: [String]

    /// A load.
    public init(
      bytes: Int64, rate: Double, writers: Int, control: Duration, after: Duration, directory: String,
      program: [String]
    ) {
      precondition(writers > 0, "a load needs a writer")
      precondition(!program.isEmpty, "a load needs a program to start")
      self.bytes = bytes
      self.rate = rate
      self.writers = writers
      self.control = control
      self.after = after
      self.directory = directory
      self.program = program
    }
  }

  private let configuration: Configuration
  private let progress: @Sendable (String) -> Void

  /// - Parameter progress: called with what is being done.
  public init(_ configuration: Configuration, progress: @escaping @Sendable (String) -> Void = { _ in }) {
    self.configuration = configuration
    self.progress = progress
  }

  private func peer(_ role: BackupLoadPeer.Role, slot: Int) -> BackupLoadPeer {
    BackupLoadPeer(
      role: role, directory: configuration.directory, slot: UInt64(slot),
      rate: configuration.rate / Double(configuration.writers), isCompressed: configuration.isCompressed)
  }

  private func start(_ peer: BackupLoadPeer) throws -> PeerProcess {
    let settings = String(decoding: try JSONEncoder().encode(peer), as: UTF8.self)
    return try PeerProcess.start(
      configuration.program[0], arguments: Array(configuration.program.dropFirst()) + [settings])
  }

  /// Runs, checks, and says what came of it. A broken promise is in the report, not an error.
  ///
  /// - Throws: what kept the run itself from being made.
  public func run() async throws -> BackupLoadReport {
    let peers = (1...configuration.writers).map { peer(.writer, slot: $0) }
    let database = peers[0].database
    var report = BackupLoadReport()
    report.rate = configuration.rate
    progress("making a database of \(configuration.bytes >> 20) MiB")
    report.databaseBytes = try make(database)

    progress("writing, without a backup")
    let processes = try peers.map(start)
    defer { for process in processes { process.send(SIGKILL) } }
    let backup = try start(peer(.backup, slot: 0))
    defer { backup.send(SIGKILL) }
    for process in processes { try await process.pass("start") }
    for process in processes { report.note(await process.word(), expected: "writing") }
    let watch = FileWatch(database + "-wal")
    let watching = Task { await watch.run() }
    defer { watching.cancel() }
    try await Task.sleep(for: configuration.control)
    report.controlWALBytes = watch.largest

    progress("writing, beside a backup")
    let known = peers.flatMap { AcknowledgementJournal.numbers(in: $0.journal) }
    let began = MonotonicTime.now
    try await backup.pass("start")
    guard let made = await backup.word() else {
      throw PeerProcess.Failure(description: "The backup's process made none and ended.")
    }
    let ended = MonotonicTime.now
    report.backupSeconds = Double(ended - began) / 1e9
    report.backupBytes = fileBytes(made)
    try await Task.sleep(for: configuration.after)
    report.peakWALBytes = watch.largest

    progress("looking at what is there")
    for process in processes { process.open("stop") }
    for process in processes { report.note(await process.word(), expected: "done") }
    for process in processes { report.note(ending: await process.end()) }
    report.finalWALBytes = fileBytes(database + "-wal")
    let waits = peers.flatMap { Self.waits(in: $0.waits) }
    report.control = .init(nanoseconds: waits.filter { $0.call < began }.map(\.wait))
    report.during = .init(nanoseconds: waits.filter { $0.call >= began && $0.call < ended }.map(\.wait))
    report.after = .init(nanoseconds: waits.filter { $0.call >= ended }.map(\.wait))
    report.slowest = Self.slowest(waits.filter { $0.call >= began }, since: began)
    try await check(
      &report, made: made, known: known, all: peers.flatMap { AcknowledgementJournal.numbers(in: $0.journal) }
    )
    return report
  }

  /// Rows of nobody's, until the file has its size.
  private func make(_ path: String) throws -> Int64 {
    do {
      // By plain SQLite, with nothing that makes it wait for the disk.
      let queue = try DatabaseQueue(path: path)
      try BackupLoadPeer.migrations.migrate(queue)
      // A row is its text, its keys, and their copies in the indexes.
      let rows = configuration.bytes / Int64(BackupLoadPeer.textLength + 120)
      try queue.inDatabase { db in
        try db.execute(
          sql: """
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;
            DROP INDEX message_uid; DROP INDEX message_session;
            WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < \(rows))
            INSERT INTO message(number, session, uid, text)
            SELECT -i, i % 997, randomblob(16), hex(randomblob(\(BackupLoadPeer.textLength / 2))) FROM n;
            CREATE UNIQUE INDEX message_uid ON message(uid);
            CREATE INDEX message_session ON message(session, id);
            """)
      }
      try queue.close()
    }
    let descriptor = unsafe open(path, O_RDWR | O_CLOEXEC)
    defer { close(descriptor) }
    guard descriptor >= 0, fsync(descriptor) == 0 else {
      throw PeerProcess.Failure(description: "The database \(path) could not be synced (error \(errno)).")
    }
    return fileBytes(path)
  }

  private struct Wait {
    var call: UInt64
    var wait: UInt64
  }

  private static func waits(in path: String) -> [Wait] {
    let words = AcknowledgementJournal.numbers(in: path)
    return stride(from: 0, to: words.count - 1, by: 2).map {
      Wait(call: words[$0], wait: words[$0 + 1] - words[$0])
    }
  }

  private static func slowest(_ waits: [Wait], since began: UInt64) -> [BackupLoadReport.Slow] {
    var found: [Wait] = []
    for wait in waits.sorted(by: { $0.wait > $1.wait }) where found.count < 8 {
      let isApart = found.allSatisfy { max($0.call, wait.call) - min($0.call, wait.call) > 250_000_000 }
      if isApart { found.append(wait) }
    }
    return found.map { .init(at: Double($0.call - began) / 1e9, milliseconds: Double($0.wait) / 1e6) }
  }

  private func check(
    _ report: inout BackupLoadReport, made: String, known: [UInt64], all: [UInt64]
  ) async throws {
    let database = peer(.writer, slot: 0).database
    let place = configuration.directory + "/restored.db"
    do {
      let restored = try await Backup.restore(from: made, to: place)
      let manifest = try Backup.manifest(of: made)
      report.restored =
        restored.contents.rows == manifest?.rows ? "ok" : "its rows are not those of its manifest"
    } catch {
      report.restored = "\(error)"
      return
    }
    for (path, numbers) in [(place, known), (database, all)] {
      let file = try await StateFile.open(path)
      let found = try await file.read { db in
        try Int64.fetchAll(db, sql: "SELECT number FROM message WHERE number > 0").map(UInt64.init)
      }
      await file.close()
      let check = AcknowledgementCheck(acknowledged: numbers, found: found)
      report.lost += check.lost.count
      report.doubled += check.doubled.count
    }
  }
}

extension BackupLoadReport {
  fileprivate mutating func note(_ word: String?, expected: String) {
    if word != expected { errors.append(word ?? "a writer ended early") }
  }

  fileprivate mutating func note(ending: PeerProcess.Ending) {
    if ending != .exited(0) { errors.append("a writer ended with \(ending)") }
  }
}

/// Looks at a file's size over and over.
private final class FileWatch: Sendable {
  private let path: String
  private let most = Monitor<Int64>(0)

  init(_ path: String) { self.path = path }

  var largest: Int64 { most.withLock { $0 } }

  func run() async {
    while !Task.isCancelled {
      let bytes = fileBytes(path)
      most.withLock { $0 = max($0, bytes) }
      try? await Task.sleep(for: .milliseconds(20))
    }
  }
}

private func fileBytes(_ path: String) -> Int64 {
  var info = stat()
  return unsafe lstat(path, &info) == 0 ? Int64(info.st_size) : 0
}
