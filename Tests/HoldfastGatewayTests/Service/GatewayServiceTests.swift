// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine
import HoldfastGateway
import HoldfastTestKit
import HoldfastUsage
import Logging
import NIOCore
import NIOPosix
import Synchronization
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

private let post =
  "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"

/// A ledger that takes nothing.
private final class RefusingLedger: UsageLedger {
  let refused = Mutex(0)

  func accept(_ row: UsageRow) throws(UsageError) -> String {
    refused.withLock { $0 += 1 }
    throw UsageError(.spoolRefused, "The spool is full.")
  }

  func report(_ query: UsageReportQuery) async throws -> [UsageReportLine] { [] }
  func series(_ query: UsageSeriesQuery) async throws -> [UsageSeriesPoint] { [] }
  func overview(since: UTCInstant?, until: UTCInstant?) async throws -> UsageOverview {
    throw StoreError(.closed, "There is nothing here.", outcome: .notApplied)
  }
  func blocks(since: UTCInstant) async throws -> [UsageBlock] { [] }
  func prune(before moment: UTCInstant) async throws -> UsagePruneReport { UsagePruneReport() }
  func logMarks(_ paths: [String]) async throws -> [String: UsageLogMark] { [:] }
  func land(_ pieces: [UsageLogPiece]) async throws -> UsageLogLanding { UsageLogLanding() }
  func preview(_ rows: [UsageRow]) async throws -> UsageLogCounts { UsageLogCounts() }
  func flush(within: Duration?) async throws {}
  func status() async -> UsageLedgerStatus { UsageLedgerStatus() }
  func close() async {}
}

@Suite struct GatewayServiceTests {
  private let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func ask(_ port: Int, _ text: String, until mark: String) async throws -> String {
    let client = try await LoopbackClient.connect(port)
    try await client.send(text)
    #expect(await eventually { client.text.contains(mark) })
    try? await client.close()
    return client.text
  }

  @Test func aStreamGoesToItsEndAfterTheOrderToStop_G08() async throws {
    let gate = AsyncStream.makeStream(of: Void.self)
    let upstream = try await LoopbackUpstream.start { channel in
      try await channel.writeAndFlush(
        ByteBuffer(
          string:
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"
        ))
      for await _ in gate.stream { break }
      try await channel.writeAndFlush(ByteBuffer(string: "3\r\ntwo\r\n0\r\n\r\n"))
    }
    let ledger = try await SQLiteUsageLedger.open(home: directory.path)
    let gateway = try await RunningGateway.start(
      home: directory.path, upstream: upstream.port, ledger: ledger)
    let client = try await LoopbackClient.connect(gateway.port)
    try await client.send("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
    #expect(await eventually { client.text.contains("one") })

    await gateway.beginStopping()
    #expect(
      await eventually {
        guard let late = try? await LoopbackClient.connect(gateway.port) else { return true }
        try? await late.close()
        return false
      }, "new connections are refused")
    gate.continuation.yield()
    try await gateway.ended()

    #expect(await eventually { client.text.hasSuffix("3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n") })
    try await ledger.flush()
    let lines = try await ledger.report(UsageReportQuery(by: .provider))
    #expect(lines.map(\.requests) == [1])
    await ledger.close()
    upstream.stop()
  }

  @Test func aStreamThatDoesNotEndIsBrokenOffAtTheBound_G08() async throws {
    let upstream = try await LoopbackUpstream.start { channel in
      try await channel.writeAndFlush(
        ByteBuffer(string: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n"))
    }
    let ledger = try await SQLiteUsageLedger.open(home: directory.path)
    let gateway = try await RunningGateway.start(
      home: directory.path, upstream: upstream.port, ledger: ledger, drain: .milliseconds(50))
    let client = try await LoopbackClient.connect(gateway.port)
    try await client.send("POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}")
    #expect(await eventually { client.text.contains("one") })
    try await gateway.stop()
    #expect(!client.text.hasSuffix("0\r\n\r\n"))
    try await ledger.flush()
    #expect(try await ledger.report(UsageReportQuery(by: .provider)).map(\.requests) == [1])
    await ledger.close()
    upstream.stop()
  }

  @Test func aLedgerThatRefusesCostsNoRequest_G05() async throws {
    let upstream = try await LoopbackUpstream.start { channel in
      try await channel.writeAndFlush(ByteBuffer(string: LoopbackUpstream.answer("m")))
    }
    let ledger = RefusingLedger()
    let gateway = try await RunningGateway.start(
      home: directory.path, upstream: upstream.port, ledger: ledger)
    for _ in 0..<20 {
      #expect(
        try await ask(gateway.port, post, until: "\"output_tokens\":4}}").hasPrefix("HTTP/1.1 200 OK\r\n"))
    }
    #expect(ledger.refused.withLock { $0 } == 20)
    let metrics = try await ask(
      gateway.port, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", until: "holdfast_database_fault 0")
    #expect(metrics.contains(#"holdfast_requests_total{provider="anthropic",model="m",status="200"} 20"#))
    try await gateway.stop()
    upstream.stop()
  }

  @Test func requestsDoNotWaitForALockedDatabase_A07_A08() async throws {
    let upstream = try await LoopbackUpstream.start { channel in
      try await channel.writeAndFlush(ByteBuffer(string: LoopbackUpstream.answer("m")))
    }
    let ledger = try await SQLiteUsageLedger.open(home: directory.path)
    try await ledger.flush()
    let gateway = try await RunningGateway.start(
      home: directory.path, upstream: upstream.port, ledger: ledger)
    let foreign = try ForeignConnection(directory.file("usage.db"), busyTimeout: 10_000)
    try foreign.run("BEGIN EXCLUSIVE")
    for _ in 0..<50 {
      #expect(
        try await ask(gateway.port, post, until: "\"output_tokens\":4}}").hasPrefix("HTTP/1.1 200 OK\r\n"))
    }
    // All fifty were answered and none of them could have landed.
    #expect(await ledger.status().depth == 50)
    try foreign.run("COMMIT")
    try await ledger.flush()
    #expect(try await ledger.report(UsageReportQuery(by: .model)).map(\.requests) == [50])
    try await gateway.stop()
    await ledger.close()
    upstream.stop()
  }

  @Test func apiAndProxyTakeTurnsOnOneConnection() async throws {
    let upstream = try await LoopbackUpstream.start { channel in
      try await channel.writeAndFlush(ByteBuffer(string: LoopbackUpstream.answer("m")))
    }
    let ledger = try await SQLiteUsageLedger.open(home: directory.path)
    let gateway = try await RunningGateway.start(
      home: directory.path, upstream: upstream.port, ledger: ledger)
    let client = try await LoopbackClient.connect(gateway.port)
    let proxied = "POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"
    let local = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    // Sent at once: each must be answered in its turn.
    try await client.send(proxied + local + proxied + local)
    #expect(await eventually { client.text.split(separator: "HTTP/1.1 200 OK").count == 4 })
    let kinds = client.text.split(separator: "HTTP/1.1 200 OK").map { $0.contains("output_tokens") }
    #expect(kinds == [true, false, true, false])
    try await client.close()
    try await gateway.stop()
    await ledger.close()
    upstream.stop()
  }

  @Test func whoListensToEventsDoesNotHoldUpTheStop_G08() async throws {
    let upstream = try await LoopbackUpstream.start { channel in
      try await channel.writeAndFlush(ByteBuffer(string: LoopbackUpstream.answer("m")))
    }
    let ledger = try await SQLiteUsageLedger.open(home: directory.path)
    // A bound no test waits for: the order to stop alone must end the events.
    let gateway = try await RunningGateway.start(
      home: directory.path, upstream: upstream.port, ledger: ledger, drain: .seconds(3600))
    let client = try await LoopbackClient.connect(gateway.port)
    try await client.send("GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    #expect(await eventually { client.text.contains("retry: 1000") })
    _ = try await ask(gateway.port, post, until: "\"output_tokens\":4}}")
    #expect(
      await eventually { client.text.contains("event: request\n") && client.text.contains("\"ended\"") })
    #expect(await eventually { client.text.contains("event: usage\n") })
    try await gateway.stop()
    #expect(client.text.hasSuffix("0\r\n\r\n"), "the stream is ended, not broken off")
    await ledger.close()
    upstream.stop()
  }

  @Test func aPortInUseIsNamed() async throws {
    let upstream = try await LoopbackUpstream.start { _ in }
    var configuration = GatewayConfiguration(home: directory.path)
    configuration.port = upstream.port
    configuration.providers = configuration.providers.map { provider in
      Provider(
        name: provider.name, kind: provider.kind, baseURL: BaseURL("http://10.0.0.1") ?? provider.baseURL)
    }
    let gateway = Gateway(
      configuration: configuration, ledger: RefusingLedger(), logger: .init(label: "test"))
    let error = await #expect(throws: GatewayError.self) { try await gateway.run() }
    #expect(error?.code == .addressInUse)
    #expect(error?.message.contains("\(upstream.port)") == true)
    upstream.stop()
  }
}

@Suite struct DaemonLockTests {
  @Test func aSecondDaemonIsToldOfTheFirst_B14() throws {
    let home = try TemporaryDirectory()
    #expect(DaemonLock.holder(home: home.path) == nil)
    let first = try DaemonLock.acquire(home: home.path)
    try first.noteListening(host: "127.0.0.1", port: 4242)
    let error = #expect(throws: GatewayError.self) { try DaemonLock.acquire(home: home.path) }
    #expect(error?.code == .alreadyRunning)
    #expect(error?.message.contains("pid \(getpid())") == true)
    #expect(error?.message.contains("4242") == true)
    #expect(DaemonLock.holder(home: home.path)?.port == 4242)
    withExtendedLifetime(first) {}
  }

  @Test func aLeftoverFileMeansNothingWhileTheLockIsFree_B07() throws {
    let home = try TemporaryDirectory()
    try Array(#"{"pid":1,"since":"2020-01-01T00:00:00Z","port":1}"#.utf8).write(to: home.file("daemon.lock"))
    #expect(DaemonLock.holder(home: home.path) == nil)
    let lock = try DaemonLock.acquire(home: home.path)
    #expect(DaemonLock.holder(home: home.path)?.pid == getpid())
    withExtendedLifetime(lock) {}
  }

  @Test func theLockEndsWithItsHolder_B07() throws {
    let home = try TemporaryDirectory()
    do {
      let lock = try DaemonLock.acquire(home: home.path)
      withExtendedLifetime(lock) {}
    }
    #expect(DaemonLock.holder(home: home.path) == nil)
    #expect(throws: Never.self) { try DaemonLock.acquire(home: home.path) }
  }
}
