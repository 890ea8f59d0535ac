// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastTestKit
import HoldfastUsage

/// One way to break a promise, each with the promise that finds it out.
enum LedgerAlteration: String, CaseIterable, Sendable {
  case dropsCache, mintsNothing, countsTwice, takesTheAbsurd, forgetsRefusals, pricesUnknown, hidesErrors
  case flushIsNoBarrier, waitsInSilence, closeForgets, takesAfterTheEnd
  case endIsIncluded, ignoresTheZone, respellsNone, cheapestFirst, ignoresTheLimit
  case logsCountTwice, firstLineCounts, logsStandAlone, marksGoBack
  case seriesInUTC, latestStepFirst, noTimeBefore, meansAreMedians, blocksOfSix, pruningSubtracts,
    prunesNothing

  /// The promise it breaks.
  var promise: @Sendable (UsageLedgerConformance) async throws -> Void {
    switch self {
    case .dropsCache, .mintsNothing: { try await $0.acceptedRowsAreReported() }
    case .countsTwice: { try await $0.aUIDCountsOnce() }
    case .takesTheAbsurd, .forgetsRefusals: { try await $0.absurdRowsAreRefused() }
    case .pricesUnknown, .hidesErrors: { try await $0.unknownIsNotZero() }
    case .flushIsNoBarrier: { try await $0.aFlushIsABarrier() }
    case .waitsInSilence: { try await $0.rowsAreAcceptedWhileItIsHeld() }
    case .closeForgets, .takesAfterTheEnd: { try await $0.closingLosesNothing() }
    case .endIsIncluded, .ignoresTheZone, .respellsNone: { try await $0.reportsAreThoseOfTheRows() }
    case .cheapestFirst, .ignoresTheLimit: { try await $0.linesAreOrderedAndLimited() }
    case .logsCountTwice: { try await $0.aLogLandsOnce() }
    case .firstLineCounts: { try await $0.laterLinesBringARequestUpToDate() }
    case .logsStandAlone: { try await $0.oneRequestIsOneRow() }
    case .marksGoBack: { try await $0.marksNeverGoBack() }
    case .seriesInUTC, .latestStepFirst: { try await $0.seriesAreThoseOfTheRows() }
    case .noTimeBefore, .meansAreMedians: { try await $0.overviewsAreThoseOfTheRows() }
    case .blocksOfSix: { try await $0.blocksFollowEachOther() }
    case .pruningSubtracts, .prunesNothing: { try await $0.pruningKeepsTheSums() }
    }
  }
}

/// A ledger that leaves everything to another and breaks one promise at most.
///
/// Made of nothing but what the protocol shows, so it also says that another module can make one.
struct AlteredLedger: UsageLedger {
  private struct State {
    var held: [UsageRow] = []
    var accepted = 0
    var landed = 0
    var isClosed = false
  }

  private let base: any UsageLedger
  private let alteration: LedgerAlteration?
  private let state = Monitor(State())

  init(_ base: any UsageLedger, _ alteration: LedgerAlteration?) {
    (self.base, self.alteration) = (base, alteration)
  }

  func accept(_ row: UsageRow) throws(UsageError) -> String {
    var row = row
    let accepted = state.withLock { state in
      state.accepted += 1
      return state.accepted
    }
    switch alteration {
    case .dropsCache: row.cacheWrite1hTokens = nil
    case .mintsNothing: row.uid = row.uid ?? "none"
    case .countsTwice: row.uid = row.uid.map { "\($0)-\(accepted)" }
    case .takesTheAbsurd:
      if (row.inputTokens ?? 0) < 0 { row.inputTokens = 0 }
    case .pricesUnknown:
      if row.costMicrodollars == nil, row.outputTokens != nil { row.costMicrodollars = 0 }
    case .hidesErrors: if row.status == 529 { row.outcome = .complete; row.status = nil }
    case .flushIsNoBarrier:
      // The last row is always late.
      let late = state.withLock { state in
        defer { state.held = [row] }
        return state.held
      }
      for row in late { try base.accept(row) }
      return row.uid ?? ""
    case .closeForgets:
      state.withLock { $0.held.append(row) }
      return row.uid ?? ""
    case .takesAfterTheEnd:
      if state.withLock({ $0.isClosed }) { return row.uid ?? "" }
    default: break
    }
    return try base.accept(row)
  }

  func report(_ query: UsageReportQuery) async throws -> [UsageReportLine] {
    var query = query
    switch alteration {
    case .endIsIncluded: query.until = query.until.map { $0.advanced(by: .seconds(6 * 3600)) }
    case .ignoresTheZone: query.zone = .utc
    case .ignoresTheLimit: query.limit = nil
    default: break
    }
    var lines = try await base.report(query)
    switch alteration {
    case .respellsNone: for index in lines.indices where lines[index].key == nil { lines[index].key = "" }
    case .cheapestFirst: lines.reverse()
    case .pruningSubtracts:
      if state.withLock({ $0.isClosed }) { lines.removeLast(1) }
    default: break
    }
    return lines
  }

  func series(_ query: UsageSeriesQuery) async throws -> [UsageSeriesPoint] {
    var query = query
    if alteration == .seriesInUTC { query.zone = .utc }
    let points = try await base.series(query)
    return alteration == .latestStepFirst ? points.reversed() : points
  }

  func overview(since: UTCInstant?, until: UTCInstant?) async throws -> UsageOverview {
    var overview = try await base.overview(since: since, until: until)
    if alteration == .noTimeBefore { overview.previous = nil }
    if alteration == .meansAreMedians { overview.current.latency?.p50 *= 1.6 }
    return overview
  }

  func blocks(since: UTCInstant) async throws -> [UsageBlock] {
    var blocks = try await base.blocks(since: since)
    if alteration == .blocksOfSix, let last = blocks.popLast(), let next = blocks.popLast() {
      var joined = last
      joined.line.add(next.line)
      blocks.append(joined)
    }
    return blocks
  }

  func prune(before moment: UTCInstant) async throws -> UsagePruneReport {
    if alteration == .prunesNothing { return UsagePruneReport() }
    if alteration == .pruningSubtracts { state.withLock { $0.isClosed = true } }
    return try await base.prune(before: moment)
  }

  func logMarks(_ paths: [String]) async throws -> [String: UsageLogMark] {
    try await base.logMarks(paths)
  }

  func land(_ pieces: [UsageLogPiece]) async throws -> UsageLogLanding {
    var pieces = pieces
    for index in pieces.indices {
      if alteration == .marksGoBack { pieces[index].mark?.generation += Int64(state.withLock { $0.landed }) }
      for place in pieces[index].rows.indices {
        change(&pieces[index].rows[place])
      }
    }
    state.withLock { $0.landed += 1 }
    return try await base.land(pieces)
  }

  private func change(_ row: inout UsageRow) {
    switch alteration {
    case .logsCountTwice:
      let number = state.withLock { $0.landed }
      row.uid = row.uid.map { "\($0)-\(number)" }
      (row.requestID, row.responseID) = (nil, nil)
    case .firstLineCounts:
      if state.withLock({ $0.landed }) > 0 { row.outputTokens = 0 }
    case .logsStandAlone: (row.requestID, row.responseID) = (nil, nil)
    default: break
    }
  }

  func preview(_ rows: [UsageRow]) async throws -> UsageLogCounts { try await base.preview(rows) }

  func flush(within: Duration?) async throws {
    do {
      try await base.flush(within: within)
    } catch {
      if alteration != .waitsInSilence { throw error }
    }
  }

  func status() async -> UsageLedgerStatus {
    alteration == .forgetsRefusals ? UsageLedgerStatus() : await base.status()
  }

  func close() async {
    state.withLock { $0.isClosed = true }
    await base.close()
  }
}
