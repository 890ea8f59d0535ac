// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

extension UsageLedger {
  /// Takes in what programs' logs of one format tell, or says what taking it in would do.
  ///
  /// Each request counts once, whoever else tells of it and however often: the gateway that relayed it, another import
  /// at the same time, a fork's copy of it. It can be done again at any time, by several at once and after it was
  /// killed at any point; a file goes on where it was left, in the same transaction as its rows. Nothing of the source
  /// is written to, and what cannot be read of it ends nothing. Other writers go on beside it: it writes in pieces that
  /// hold the ledger for about 10 ms.
  ///
  /// - Parameters:
  ///   - places: what to read, in this order.
  ///   - format: the program all of them are of.
  ///   - dryRun: whether only to look.
  ///   - onFault: called with each line, record or file that was not taken.
  ///   - onProgress: called from time to time with what was done so far.
  /// - Throws: the ledger's own error when it cannot be written; what was written until then stays.
  public func importLogs(
    _ places: [UsageLogPlace], of format: UsageLogFormat, dryRun: Bool = false,
    onFault: (UsageLogFault) -> Void = { _ in }, onProgress: (UsageImportReport) -> Void = { _ in }
  ) async throws -> UsageImportReport {
    var run = UsageLogRun(format)
    var pacer = SlicePacer(units: 64)
    var rest = places[...]
    while !rest.isEmpty {
      let part = rest.prefix(UsageLogRun.filesAtOnce)
      rest = rest.dropFirst(part.count)
      let feed = UsageLogFeed(part, try await logMarks(part.map(\.path)))
      while let slice = try await feed.next(most: min(pacer.units, UsageLogRun.mostRows)) {
        try Task.checkCancellation()
        if dryRun {
          run.add(try await preview(run.unseen(slice)))
        } else {
          let landing = try await land(slice.pieces)
          // No rest: whoever waits for the ledger has his turn before the next piece has its.
          _ = pacer.held(landing.held)
          run.add(landing.counts)
          if let last = slice.pieces.last?.mark?.path, let mark = landing.ahead[last] {
            feed.goOn(from: mark)
          }
        }
        run.add(slice, onFault)
        onProgress(run.report)
      }
    }
    return run.report
  }
}

extension UsageLogPlace {
  /// What an import would do where there is no ledger yet.
  public static func preview(
    _ places: [UsageLogPlace], of format: UsageLogFormat, onFault: (UsageLogFault) -> Void = { _ in }
  ) async throws -> UsageImportReport {
    var run = UsageLogRun(format)
    let feed = UsageLogFeed(places[...], [:])
    while let slice = try await feed.next(most: UsageLogRun.mostRows) {
      var counts = UsageLogCounts()
      counts.new = run.unseen(slice).count
      run.add(counts)
      run.add(slice, onFault)
    }
    return run.report
  }
}

/// What an import has come to so far.
private struct UsageLogRun {
  /// How many files' marks are held at once.
  static let filesAtOnce = 500
  /// How many requests are held at once.
  static let mostRows = 2048

  private(set) var report: UsageImportReport
  private var seen: Set<String> = []

  init(_ format: UsageLogFormat) { report = UsageImportReport(source: format.source) }

  /// The requests that this run has not met yet, when nothing is written down; the others are unchanged.
  mutating func unseen(_ slice: UsageLogSlice) -> [UsageRow] {
    let rows = slice.pieces.flatMap(\.rows)
    let new = rows.filter { seen.insert($0.uid ?? "").inserted }
    report.rowsUnchanged += rows.count - new.count
    return new
  }

  mutating func add(_ counts: UsageLogCounts) {
    report.rowsNew += counts.new
    report.rowsMerged += counts.merged
    report.rowsUnchanged += counts.unchanged
    report.rowsExpired += counts.expired
  }

  mutating func add(_ slice: UsageLogSlice, _ onFault: (UsageLogFault) -> Void) {
    report.files += slice.files
    report.filesUnchanged += slice.filesUnchanged
    report.incomplete += slice.incomplete
    report.rowsUnchanged += Int(slice.known)
    report.refused += slice.faults.count
    for fault in slice.faults {
      if report.faults.count < UsageImportReport.mostFaults { report.faults.append(fault) }
      onFault(fault)
    }
  }
}
