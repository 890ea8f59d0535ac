// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
public import HoldfastUsage

extension UsageError: CodedError {}

/// What every `UsageLedger` promises, asked of one implementation.
///
/// A method is a promise: it returns when it is kept and throws ``BrokenPromise`` when it is not. Each wants ledgers
/// that nothing has been written to, so make one of these for each.
public struct UsageLedgerConformance: NamedStoreConformance {
  typealias Refusal = UsageError

  /// Opens the ledger of a name: for a name that is new an empty one, for another the same once more, as another process
  /// would have it.
  public typealias Opening = @Sendable (_ name: String) async throws -> any UsageLedger
  /// Keeps a ledger that was opened from being written, as another program's transaction does, until what it returns is
  /// called.
  public typealias Holding = @Sendable (_ name: String) async throws -> @Sendable () async throws -> Void

  let source: StoreSource<any UsageLedger>

  /// The promises, to be asked of the ledgers that `open` opens.
  public init(open: @escaping Opening, hold: @escaping Holding) {
    source = StoreSource(open: open, hold: hold) { await $0.close() }
  }

  // MARK: Accepting

  /// What was accepted and flushed is reported, with every count and the cost it came with.
  public func acceptedRowsAreReported() async throws {
    try await trial { trial in
      let ledger = try await trial.store()
      var row = UsageSample.row(1)
      (row.inputTokens, row.cacheReadTokens, row.cacheWrite5mTokens) = (1, 2, 3)
      (row.cacheWrite1hTokens, row.outputTokens, row.costMicrodollars) = (4, 5, 6)
      let uid = try ledger.accept(row)
      try holds(uid == row.uid, "the uid of a row that brought one is \(uid)")
      try await ledger.flush()
      var expected = UsageReportLine(emptyFor: row.model)
      (expected.requests, expected.inputTokens, expected.cacheReadTokens) = (1, 1, 2)
      (expected.cacheWrite5mTokens, expected.cacheWrite1hTokens) = (3, 4)
      (expected.outputTokens, expected.costMicrodollars) = (5, 6)
      try same(try await ledger.report(UsageReportQuery(by: .model)), [expected], "the report")
      var bare = row
      bare.uid = nil
      let minted = Set([try ledger.accept(bare), try ledger.accept(bare)])
      try holds(minted.count == 2, "two rows without a uid got one")
      try await ledger.flush()
      try same(try await ledger.report(UsageReportQuery(by: .model)).map(\.requests), [3], "the requests")
    }
  }

  /// The same uid again changes nothing, whoever accepts it.
  public func aUIDCountsOnce() async throws {
    try await trial { trial in
      let ledgers = [try await trial.store(), try await trial.store()]
      for ledger in ledgers + ledgers {
        for number in 0..<20 { try ledger.accept(UsageSample.row(number)) }
        try await ledger.flush()
      }
      let lines = try await ledgers[1].report(UsageReportQuery(by: .provider))
      try same(lines.map(\.requests), [20], "the requests")
    }
  }

  /// What cannot be true is refused with its reason, and counted; what comes after it is accepted (failure D15).
  public func absurdRowsAreRefused() async throws {
    try await trial { trial in
      let ledger = try await trial.store()
      let absurd: [(inout UsageRow) -> Void] = [
        { $0.inputTokens = -1 }, { $0.outputTokens = .max }, { $0.costMicrodollars = -5 }, { $0.status = 42 },
        { $0.model = "" }, { $0.session = "a\u{0}b" }, { $0.time = UTCInstant(milliseconds: -1) },
      ]
      for (number, change) in absurd.enumerated() {
        var row = UsageSample.row(number)
        change(&row)
        let refusal = try await refused("absurd row \(number)", as: .invalidRow) { try ledger.accept(row) }
        try holds(!refusal.message.isEmpty, "absurd row \(number) was refused without a reason")
      }
      try ledger.accept(UsageSample.row(99))
      try await ledger.flush()
      try same(try await ledger.report(UsageReportQuery()).map(\.requests), [1], "the requests")
      try same(await ledger.status().invalid, UInt64(absurd.count), "the refused that were counted")
    }
  }

  /// What is not known is not zero: rows without usage or without a price are counted as such.
  public func unknownIsNotZero() async throws {
    try await trial { trial in
      let ledger = try await trial.store()
      let changes: [(inout UsageRow) -> Void] = [
        { $0.costMicrodollars = nil }, { ($0.outputTokens, $0.costMicrodollars) = (nil, nil) },
        { $0.outcome = .clientLeft }, { ($0.outcome, $0.status) = (.upstreamError, 529) },
        { ($0.outcome, $0.inputTokens, $0.costMicrodollars) = (.upstreamUnreachable, nil, nil) },
      ]
      for (number, change) in changes.enumerated() {
        var row = UsageSample.row(number)
        (row.model, row.endpoint, row.outcome) = ("nobody-prices-this", .anthropicMessages, .complete)
        (row.status, row.costMicrodollars) = (nil, 1)
        (row.inputTokens, row.outputTokens) = (1, 1)
        change(&row)
        try ledger.accept(row)
      }
      try await ledger.flush()
      let line = try await ledger.report(UsageReportQuery()).reduce(into: UsageReportLine(emptyFor: nil)) {
        $0.add($1)
      }
      try same(
        [line.requests, line.unpriced, line.unknown, line.incomplete, line.errors], [5, 1, 1, 1, 2],
        "requests, unpriced, unknown, incomplete, errors")
    }
  }

  /// After a flush everything accepted before it is reported, whatever others accept meanwhile.
  public func aFlushIsABarrier() async throws {
    try await trial { trial in
      let ledgers = [try await trial.store(), try await trial.store()]
      try await withThrowingTaskGroup(of: Void.self) { group in
        for (place, ledger) in ledgers.enumerated() {
          group.addTask {
            for number in 0..<300 {
              try ledger.accept(UsageSample.row(place * 1000 + number, source: "s\(place)"))
              guard number % 60 == 59 else { continue }
              try await ledger.flush()
              let lines = try await ledger.report(UsageReportQuery(by: .source))
              let found = lines.first { $0.key == "s\(place)" }?.requests
              try same(found, Int64(number + 1), "what was reported after a flush")
            }
          }
        }
        try await group.waitForAll()
      }
    }
  }

  /// Rows are accepted while the ledger cannot be written, and are there afterwards.
  public func rowsAreAcceptedWhileItIsHeld() async throws {
    try await trial { trial in
      let ledger = try await trial.store()
      try ledger.accept(UsageSample.row(0))
      try await ledger.flush()
      try await trial.whileHeld {
        for number in 1...50 { try ledger.accept(UsageSample.row(number)) }
        try await refused("a flush that cannot end in time") {
          try await ledger.flush(within: .milliseconds(50))
        }
      }
      try await ledger.flush()
      try same(try await ledger.report(UsageReportQuery(by: .provider)).map(\.requests), [51], "the requests")
    }
  }

  /// Closing loses nothing of what was accepted, though what could not be landed in time lands with the next opening;
  /// afterwards nothing is accepted.
  public func closingLosesNothing() async throws {
    try await trial { trial in
      let ledger = try await trial.store()
      for number in 0..<200 { try ledger.accept(UsageSample.row(number)) }
      await ledger.close()
      try await refused("a row after the end", as: .closed) { try ledger.accept(UsageSample.row(999)) }
      let again = try await trial.store()
      try holds(
        await eventually(within: .seconds(20)) {
          (try? await again.report(UsageReportQuery(by: .provider)).map(\.requests)) == [200]
        }, "not all of 200 requests are there after closing and opening again")
    }
  }
}
