// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

extension SQLiteSessionStore {
  /// Takes in transcripts of one program, or says what taking them in would do.
  ///
  /// What is there already is left as it is, so it can be done again at any time, by several at once, and after it
  /// was stopped at any point: a transcript that has grown is continued. Nothing of the source is written to, and
  /// what cannot be read of it ends nothing. Other writers of the store go on beside it: it writes in pieces that
  /// hold the store for about 10 ms.
  ///
  /// - Parameters:
  ///   - places: what to read, in this order.
  ///   - format: the program all of them are of.
  ///   - dryRun: whether only to look.
  ///   - onFault: called with each line, row or file that could not be read.
  ///   - onProgress: called from time to time with what was done so far.
  /// - Throws: the store's own error when it cannot be written; what was written until then stays.
  public func importTranscripts(
    _ places: [TranscriptPlace], of format: TranscriptFormat, dryRun: Bool = false,
    onFault: @escaping (TranscriptFault) -> Void = { _ in },
    onProgress: @escaping (TranscriptImportReport) -> Void = { _ in }
  ) async throws -> TranscriptImportReport {
    let file = try await file()
    var pacer = SlicePacer(units: 64)
    var resumed: Set<String> = []
    return try await TranscriptRun(places, format, onFault, onProgress).run { items in
      if dryRun {
        return try await [file.read { db in try TranscriptLanding.preview(items[...], format, db) }]
      }
      var counts: [TranscriptCounts] = []
      var start = 0
      while start < items.count {
        let end = TranscriptBatch.end(of: items, from: start, most: pacer.units)
        let slice = items[start..<end]
        let (began, made) = try await file.write { [resumed] db in
          var landing = TranscriptLanding(format, resumed: resumed)
          return (ContinuousClock.now, try landing.land(slice, db))
        }
        // No rest: whoever waits for the store has his turn before the next piece has its.
        _ = pacer.held(began.duration(to: .now))
        resumed.formUnion(made.resumed)
        counts.append(made)
        start = end
      }
      return counts
    }
  }
}

extension TranscriptPlace {
  /// What an import would do where there is no store yet.
  public static func preview(
    _ places: [TranscriptPlace], of format: TranscriptFormat,
    onFault: @escaping (TranscriptFault) -> Void = { _ in }
  ) async throws -> TranscriptImportReport {
    try await TranscriptRun(places, format, onFault, { _ in }).run { items in
      [try TranscriptLanding.preview(items[...], format, nil)]
    }
  }
}

/// One import: reads ahead on a thread of its own while what was read before is written.
private struct TranscriptRun {
  private let feed: TranscriptFeed
  private let onFault: (TranscriptFault) -> Void
  private let onProgress: (TranscriptImportReport) -> Void
  private var report: TranscriptImportReport

  init(
    _ places: [TranscriptPlace], _ format: TranscriptFormat, _ onFault: @escaping (TranscriptFault) -> Void,
    _ onProgress: @escaping (TranscriptImportReport) -> Void
  ) {
    feed = TranscriptFeed(places)
    (self.onFault, self.onProgress) = (onFault, onProgress)
    report = TranscriptImportReport(source: format.source)
  }

  consuming func run(
    _ write: ([TranscriptBatch.Item]) async throws -> [TranscriptCounts]
  ) async throws -> TranscriptImportReport {
    var next = Task { [feed] in try await feed.next() }
    while let batch = try await next.value {
      next = Task { [feed] in try await feed.next() }
      report.files += batch.files
      report.skipped += batch.skipped
      report.incomplete += batch.incomplete
      note(batch.faults)
      do {
        for made in try await write(batch.items) { add(made) }
      } catch {
        // Nobody is to be left reading.
        next.cancel()
        _ = await next.result
        throw error
      }
      onProgress(report)
    }
    return report
  }

  private mutating func note(_ faults: [TranscriptFault]) {
    report.refused += faults.count
    for fault in faults {
      if report.faults.count < TranscriptImportReport.mostFaults { report.faults.append(fault) }
      onFault(fault)
    }
  }

  private mutating func add(_ made: TranscriptCounts) {
    report.sessions += made.sessions
    report.sessionsKnown += made.sessionsKnown
    report.messages += made.messages
    report.messagesKnown += made.messagesKnown
    report.messagesUpdated += made.messagesUpdated
    note(
      made.cycles.map { TranscriptFault($0, "The session comes from itself by way of others: left a root.") })
  }
}

/// The places of an import, read one after the other as batches that may span several.
private final class TranscriptFeed: @unchecked Sendable {
  // Not shared: one call of next() is awaited before there is another.
  private var places: [TranscriptPlace]
  private var current: (any TranscriptReading)?

  init(_ places: [TranscriptPlace]) { self.places = places.reversed() }

  /// The next batch; nil at the end. Read on a thread that may block.
  func next() async throws -> TranscriptBatch? {
    try await BlockingThread.run(named: "hf-import") {
      var batch = TranscriptBatch()
      while !batch.isFull {
        guard let reading = self.current ?? self.open(&batch) else { break }
        self.current = reading
        let told = batch.faults.count
        do {
          defer { for index in told..<batch.faults.count { batch.faults[index].name(self.path) } }
          if try !reading.read(into: &batch) { self.current = nil }
        } catch {
          batch.faults.append(TranscriptFault(self.path, Self.reason(error)))
          self.current = nil
        }
      }
      return batch.items.isEmpty && batch.faults.isEmpty && batch.files == 0 && self.current == nil
        ? nil : batch
    }
  }

  private var path = ""

  private func open(_ batch: inout TranscriptBatch) -> (any TranscriptReading)? {
    while let place = places.popLast() {
      path = place.path
      do {
        return try place.open()
      } catch {
        batch.faults.append(TranscriptFault(place.path, Self.reason(error)))
      }
    }
    return nil
  }

  private static func reason(_ error: any Error) -> String {
    (error as? StoreError)?.message ?? (error as? SessionError)?.message ?? "\(error)"
  }
}
