// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// The usage ledger of a home: rows are accepted into `spool/` and land in `usage.db`.
///
/// Any number of processes may have the ledger of one home open at once, and other programs may read and
/// write `usage.db` (its schema is documented in the file itself).
///
/// ```swift
/// let ledger = try await SQLiteUsageLedger.open(home: "/home/me/.holdfast")
/// let uid = try ledger.accept(row)
/// try await ledger.flush()
/// for line in try await ledger.report(.last(.seconds(7 * 86_400), by: .model)) { … }
/// await ledger.close()
/// ```
public final class SQLiteUsageLedger: UsageLedger {
  /// What a ledger is opened for.
  public enum Purpose: Sendable, Hashable {
    /// Rows are accepted, and those of dead processes are landed.
    case accepting
    /// Only reports are read; no spool is opened.
    case reporting
  }

  private struct Counts {
    var accepted: UInt64 = 0
    var invalid: UInt64 = 0
    var refused: UInt64 = 0
    var unpriced: UInt64 = 0
    var unknown: UInt64 = 0
  }

  let spool: Spool?
  private let file: StoreFile
  private let table: Monitor<RateCardTable>
  private let counts = Monitor(Counts())
  private let observer = Monitor<(@Sendable (UsageRow, UInt64) -> Void)?>(nil)

  /// Opens the ledger of a home.
  ///
  /// Returns as soon as rows can be accepted: the database is opened in the background, and tried again for
  /// as long as it takes when it is locked, full or damaged. ``report(_:)`` and ``flush(within:)`` wait for it.
  ///
  /// - Parameters:
  ///   - home: the directory of `usage.db` and `spool/`; made with mode 0700 when it is missing.
  ///   - purpose: what for.
  ///   - rates: the prices rows are costed with.
  ///   - configuration: how the database is opened.
  ///   - spoolBytes: the most that may wait to land, in bytes.
  /// - Throws: `StoreError` when the home or its spool cannot be made.
  public static func open(
    home: String, for purpose: Purpose = .accepting, rates: RateCardTable = .builtIn,
    configuration: StateFileConfiguration = .init(), spoolBytes: Int = 64 << 20
  ) async throws -> SQLiteUsageLedger {
    try StoreFile.makeHome(home)
    var spool: Spool?
    if purpose == .accepting {
      spool = try Spool.open(.init(directory: home + "/spool", stream: "usage", capacity: spoolBytes))
    }
    let table = Monitor(rates)
    let file = StoreFile(
      "usage ledger", at: home + "/usage.db", configuration: configuration,
      migrations: UsageSchema.migrations,
      spool: spool.map { spool in
        (
          spool,
          { db, records in try UsageWriter.apply(db, records, rates: table.withLock { $0 }) }
        )
      })
    await file.keepTrying()
    return SQLiteUsageLedger(spool: spool, file: file, table: table)
  }

  private init(spool: Spool?, file: StoreFile, table: Monitor<RateCardTable>) {
    self.spool = spool
    self.file = file
    self.table = table
  }

  /// Replaces the prices that rows accepted from now on are costed with.
  public func setRates(_ rates: RateCardTable) { table.withLock { $0 = rates } }

  /// The prices rows are costed with.
  public var rates: RateCardTable { table.withLock { $0 } }

  /// The database, once it is open.
  func openFile() async throws -> StateFile { try await file.file() }

  /// Accepts a row at memory speed: checked, priced, and safe from the death of the process when this returns.
  @discardableResult
  public func accept(_ row: UsageRow) throws(UsageError) -> String {
    guard let spool else {
      throw UsageError(.closed, "This ledger was opened for reports only; open it for accepting.")
    }
    var row = row
    let time = row.time ?? .now
    let uid = row.uid ?? UsageUID.mint(at: time)
    (row.time, row.uid) = (time, uid)
    if row.costMicrodollars == nil { rates.price(&row) }
    do throws(UsageError) {
      try row.validate()
    } catch {
      counts.withLock { $0.invalid += 1 }
      throw error
    }
    let sequence: UInt64
    do {
      sequence = try spool.append(row.encodedRecord())
    } catch {
      counts.withLock { $0.refused += 1 }
      throw UsageError(
        error.code == .closed ? .closed : .spoolRefused, "The row was not accepted: \(error.message)",
        underlying: error)
    }
    count(row)
    observer.withLock { $0 }?(row, sequence)
    return uid
  }

  /// Is told of every row as it is accepted, on the thread that brings it, with its place among those of this process.
  public func setAcceptanceObserver(_ observer: (@Sendable (UsageRow, _ sequence: UInt64) -> Void)?) {
    self.observer.withLock { $0 = observer }
  }

  private func count(_ row: UsageRow) {
    let isUnknown = row.isUnknown
    let isUnpriced = row.costMicrodollars == nil && row.inputTokens != nil && row.outputTokens != nil
    counts.withLock { counts in
      counts.accepted += 1
      if isUnknown { counts.unknown += 1 }
      if isUnpriced { counts.unpriced += 1 }
    }
  }

  /// Sums the rows of a span of time by one of their fields.
  ///
  /// Rows still in the spool are not in it; ``status()`` says how many those are.
  ///
  /// - Throws: `StoreError` when the database cannot be opened or read in time.
  public func report(_ query: UsageReportQuery) async throws -> [UsageReportLine] {
    try await file.file().read { db in try UsageReporter(query).lines(db) }
  }

  /// Sums by hour or day, and within those by a field: the earliest step first, and within it the costliest value.
  public func series(_ query: UsageSeriesQuery) async throws -> [UsageSeriesPoint] {
    try await file.file().read { db in try UsageAnswers.series(query, db) }
  }

  /// What a span of time came to, and the span of the same length before it.
  public func overview(since: UTCInstant?, until: UTCInstant?) async throws -> UsageOverview {
    try await file.file().read { db in
      try UsageAnswers.overview(since: since, until: until, now: .now, db)
    }
  }

  /// The blocks of five hours that had not ended at a moment, the latest first.
  public func blocks(since: UTCInstant) async throws -> [UsageBlock] {
    try await file.file().read { db in try UsageAnswers.blocks(since: since, now: .now, db) }
  }

  /// Waits until every row accepted before the call is in the database, or set aside with its reason.
  ///
  /// - Throws: `StoreError` `deadline` when that takes longer than `within` (the rows are kept), or why the
  ///   database cannot be opened.
  public func flush(within: Duration?) async throws {
    try await flush(within: within, includingLeftovers: false)
  }

  /// The same, and with `includingLeftovers` the rows that processes now dead had accepted as well.
  public func flush(within: Duration?, includingLeftovers: Bool) async throws {
    guard let spool else { return }
    let clock = ContinuousClock()
    let start = clock.now
    if let within {
      try await Deadline.wait(within, for: "usage.db was not open") { [file] in _ = try await file.file() }
      let rest = max(within - start.duration(to: clock.now), .zero)
      try await spool.flush(within: rest, includingLeftovers: includingLeftovers)
    } else {
      _ = try await file.file()
      try await spool.flush(includingLeftovers: includingLeftovers)
    }
  }

  /// What the ledger holds and what it refused, in this process.
  public func status() async -> UsageLedgerStatus {
    var status = UsageLedgerStatus()
    let counts = counts.withLock { $0 }
    status.accepted = counts.accepted
    status.invalid = counts.invalid
    status.refused = counts.refused
    status.unpriced = counts.unpriced
    status.unknown = counts.unknown
    let spooled = spool?.status()
    status.spool = spooled
    status.depth = spooled?.depth ?? 0
    status.oldest = spooled?.oldest.map { UTCInstant(milliseconds: $0.milliseconds) }
    status.file = await file.status
    status.fault = await file.fault ?? spooled?.lastError
    if let file = status.file, file.waitingWrites > 0, let oldest = spooled?.oldest,
      UnixTime.now().milliseconds - oldest.milliseconds >= 1000
    {
      status.holders = LockTable.holders(ofDatabaseAt: file.path)
    }
    return status
  }

  /// Refuses further rows, lands what it can within ten seconds, and lets go of its files.
  ///
  /// What has not landed by then stays on disk and lands when the home's ledger is next opened for accepting.
  public func close() async { await close(within: .seconds(10)) }

  /// The same with a bound of the caller's.
  public func close(within: Duration) async { await file.close(within: within) }
}
