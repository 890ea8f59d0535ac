// SPDX-License-Identifier: Apache-2.0

public import GRDB

extension Spool {
  /// A moment before a reading of the database, from which on it can be told which records the reading has.
  public struct Mark: Sendable {
    fileprivate let settled: UInt64
    fileprivate let segments: Set<String>
  }

  /// The present moment. Take it before the reading begins: what is settled now, any later reading has.
  public func mark() -> Mark {
    let (settled, segments) = core.side.withLock { side in
      (side.settled, side.extents().map { $0.segment.id.description })
    }
    return Mark(settled: settled, segments: Set(segments))
  }

  /// The sequence of the first record of this process that a reading does not have: those before it are in the
  /// database as the transaction sees it, or were set aside.
  ///
  /// A commit is in the database a little before the spool knows of it; the cursors, which are written with the
  /// records, tell of those in between.
  ///
  /// - Parameters:
  ///   - db: the reading, within its transaction.
  ///   - mark: a moment before it began.
  public func landed(in db: Database, since mark: Mark) throws -> UInt64 {
    guard try db.tableExists("holdfast_spool") else { return mark.settled }
    let cursors = try Row.fetchAll(
      db.cachedStatement(sql: "SELECT segment, sequence FROM holdfast_spool WHERE stream = ?"),
      arguments: [core.configuration.stream])
    // A segment begun since the mark may have landed records as well.
    let own = mark.segments.union(self.mark().segments)
    return cursors.reduce(mark.settled) { landed, cursor in
      guard own.contains(cursor[0]) else { return landed }
      return max(landed, UInt64(bitPattern: cursor[1] as Int64))
    }
  }
}
