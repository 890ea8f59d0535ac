// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastTestKit
import Logging

@testable import HoldfastMailbox

/// A mailbox directory with an `outbound.db` in rollback mode, and real workers for it.
final class WorkerTest: Sendable {
  let directory: TemporaryDirectory
  let peer: String
  let lock: WorkerLock
  let address: MailboxAddress
  let logger: Logger = {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
  }()

  var mailbox: String { directory.path }
  var outbound: String { directory.file("outbound.db") }

  init() throws {
    directory = try TemporaryDirectory()
    peer = try PeerProcess.builtExecutable(named: "HoldfastTestPeer")
    lock = try WorkerLock(mailbox: directory.path)
    address = try MailboxAddress(agent: "agent", session: "session")
    try ForeignConnection(directory.file("outbound.db")).run(
      """
      CREATE TABLE messages_out(
        seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, kind TEXT, content TEXT) STRICT;
      INSERT INTO messages_out(id, kind, content) VALUES ('first', 'x', '"old"')
      """)
  }

  func runtime(_ ways: String) -> ProcessRuntime {
    ProcessRuntime(command: [peer, "worker", ways], environment: ["SWIFT_BACKTRACE": "enable=no"])
  }

  var launch: WorkerLaunch {
    WorkerLaunch(address: address, directory: mailbox, incarnation: 1, heartbeatSeconds: 10)
  }

  func start(_ ways: String) async throws -> any RunningWorker {
    try await runtime(ways).start(launch, lock: lock, logger: logger)
  }

  /// Waits until a worker is where its scenario says, and returns the number of the process that is; one that no
  /// process has when it never is, so that whoever signals it signals nobody.
  @discardableResult
  func arrival(_ scenario: String, _ incarnation: Int = 1) async -> Int32 {
    let place = directory.file("\(scenario)-\(incarnation)")
    _ = await eventually { FileManager.default.fileExists(atPath: place) }
    let text = (try? String(contentsOfFile: place, encoding: .utf8)) ?? ""
    return Int32(text) ?? .max
  }

  /// The outbound contents as a poll sees them.
  func contents() async throws -> [String] {
    try await ForeignReader(outbound, patience: .milliseconds(5)).read {
      try String.fetchAll($0, sql: "SELECT content FROM messages_out ORDER BY seq")
    }
  }

  var journal: [UInt8] {
    get throws { try [UInt8](contentsOf: outbound + "-journal") }
  }

  func isAlive(_ pid: Int32) -> Bool { ProcessStamp(pid: pid) != nil }
}

/// What a supervisor needs of a mailbox, in memory.
actor MemoryBook: WorkerBook {
  struct Refusal: Error {}

  private var record: WorkerRecord?
  private var wanted = true
  private(set) var due = 1
  private var held: [WorkerClaim] = []
  private(set) var drains: [[String]] = []
  private(set) var released: [Int64] = []
  private(set) var looks = 0
  var isBroken = false
  /// What there is to be taken in, asked at each drain.
  private var outbound: @Sendable () async throws -> [String] = { [] }

  init(_ record: WorkerRecord? = nil) { self.record = record }

  func read(_ outbound: @escaping @Sendable () async throws -> [String]) { self.outbound = outbound }
  func hold(_ claims: [WorkerClaim]) { held = claims }
  func set(due: Int) { self.due = due }
  func set(isBroken: Bool) { self.isBroken = isBroken }
  private func check() throws { if isBroken { throw Refusal() } }

  func make() throws { try check() }
  func alone<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
    try check()
    return try await body()
  }
  func prepare() throws { try check() }
  func worker() throws -> WorkerRecord? {
    try check()
    return record
  }
  func save(_ record: WorkerRecord) throws {
    try check()
    self.record = record
  }
  func isWanted() throws -> Bool {
    looks += 1
    try check()
    return wanted
  }
  func want(_ isWanted: Bool) { wanted = isWanted }
  func claims() throws -> [WorkerClaim] {
    try check()
    return held
  }
  func dueCount() throws -> Int {
    try check()
    return due
  }
  func progress() throws -> Int64 {
    try check()
    return 0
  }
  func drain() async throws {
    try check()
    drains.append(try await outbound())
  }
  func releaseClaims(through incarnation: Int64) throws -> Int {
    try check()
    released.append(incarnation)
    let before = held.count
    held.removeAll { $0.incarnation <= incarnation }
    return before - held.count
  }
}

/// A supervisor at work, and what it told.
final class Supervised: Sendable {
  let supervisor: WorkerSupervisor<FakeClock>
  let clock = FakeClock()
  let book: MemoryBook
  private let told = Monitor<[WorkerNews]>([])
  private let task: Task<Void, Never>

  init(
    _ test: WorkerTest, _ ways: String, book: MemoryBook = MemoryBook(), runtime: (any WorkerRuntime)? = nil,
    isToldToStop: Bool = false, _ change: (inout WorkerPolicy) -> Void = { _ in }
  ) {
    var policy = WorkerPolicy()
    change(&policy)
    let told = told
    self.book = book
    supervisor = WorkerSupervisor(
      WorkerPlan(
        address: test.address, directory: test.mailbox, policy: policy, runtime: runtime ?? test.runtime(ways)
      ),
      book: book, clock: clock, logger: test.logger
    ) { news in told.withLock { $0.append(news) } }
    let supervisor = supervisor
    if isToldToStop { supervisor.shutDown() }
    task = Task { await supervisor.run() }
  }

  var news: [WorkerNews] { told.withLock { $0 } }
  var names: [String] { news.map(\.name) }

  /// Lets it look until something holds; its clock stands still meanwhile.
  func prod(until condition: () async throws -> Bool) async rethrows -> Bool {
    try await eventually {
      supervisor.look()
      return try await condition()
    }
  }

  /// Lets so much of its time pass, a second at a time, each seen by it.
  func pass(_ seconds: Int) async {
    for _ in 0..<seconds { await passSecond() }
  }

  /// Lets its time pass, a second at a time, each seen by it, until something holds. Where that takes a process to start
  /// or to end, which has the machine's time and not its own, it is waited for with the clock standing still.
  func pass(_ seconds: Int = 100_000, until condition: () async throws -> Bool) async rethrows {
    for _ in 0..<seconds {
      if try await condition() { return }
      await passSecond()
    }
    _ = try await prod(until: condition)
  }

  private func passSecond() async {
    let looks = await book.looks
    advance()
    _ = await prod { await book.looks > looks }
  }

  /// A second passes, but not while a process that was killed is on its way to its end: that takes the machine's time,
  /// on a busy disk more of it than anybody would grant on this clock.
  private func advance() {
    if names.last != "killed" { clock.advance(by: .seconds(1)) }
  }

  /// Ends it, and whatever it watches over.
  func end() async {
    supervisor.shutDown()
    let ended = Monitor(false)
    let watcher = Task {
      await task.value
      ended.withLock { $0 = true }
    }
    // A worker that does not mind SIGTERM is killed when its time is up.
    _ = await eventually {
      advance()
      supervisor.look()
      return ended.withLock { $0 }
    }
    await watcher.value
  }
}
