// SPDX-License-Identifier: Apache-2.0

public import GRDB

extension StateFile {
  /// Does long work in slices that no writer notices: pruning, optimising a search index, giving pages back.
  ///
  /// Each slice is a write of its own and durable by itself, so work that is stopped half way leaves whole
  /// slices. Between slices the file is left to others for four times as long as the slice held it, and the
  /// size of the slices is fitted so that one holds it for about 10 ms.
  ///
  /// ```swift
  /// try await file.maintain { db, units in
  ///   try db.execute(sql: "DELETE FROM log WHERE id IN (SELECT id FROM log WHERE time < ? LIMIT ?)",
  ///     arguments: [limit, units])
  ///   return db.changesCount > 0
  /// }
  /// ```
  ///
  /// - Parameters:
  ///   - units: how many units (rows, pages; the body's own measure) the first slice does.
  ///   - slice: does up to so many units and returns whether there is more to do. As with ``write(within:_:)``
  ///     it may be run again.
  /// - Throws: as ``write(within:_:)``; `CancellationError` between two slices.
  public func maintain(
    startingWith units: Int = 64, _ slice: @escaping @Sendable (_ db: Database, _ units: Int) throws -> Bool
  ) async throws {
    var pacer = SlicePacer(units: units)
    while true {
      try Task.checkCancellation()
      let units = pacer.units
      let (began, more) = try await write { db in (ContinuousClock.now, try slice(db, units)) }
      // The commit and, at times, a checkpoint are part of what others waited for.
      let rest = pacer.held(began.duration(to: .now))
      guard more else { return }
      try await Task.sleep(for: rest)
    }
  }
}
