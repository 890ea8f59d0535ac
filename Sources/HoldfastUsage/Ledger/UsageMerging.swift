// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// Lands rows such that one request is one row, whoever told of it and in whatever order: the gateway that relayed it,
/// and its program's log. Used within one write transaction.
///
/// Rows are of one request when their uids are the same, or when a log's row and another have the same request-id of
/// the provider, or else the same id of the response, within the hours an answer can take. Two rows that no log told
/// are two requests whatever ids they have: some servers give the same to all.
struct UsageMerging {
  private let rates: RateCardTable
  /// By hour, whether a row from a log may be of a request made in it.
  private var logsNear: [Int64: Bool] = [:]
  /// The first hour of which no row has been removed for its age.
  private var horizon: Int64?

  init(rates: RateCardTable) { self.rates = rates }

  /// What became of a row.
  enum Landed {
    case new, merged, unchanged
    /// It is older than rows are kept, so nobody can say whether it was counted.
    case expired
  }

  private static let insertion = """
    INSERT INTO usage(\(UsageColumns.names.joined(separator: ", ")))
    VALUES (\(UsageColumns.names.map { _ in "?" }.joined(separator: ", ")))
    ON CONFLICT(uid) DO NOTHING
    """

  private static let update = """
    UPDATE usage SET \(UsageColumns.names.map { "\($0) = ?" }.joined(separator: ", ")) WHERE seq = ?
    """

  /// Writes a row that has its uid and its time. The sums of one that is ``Landed/new`` are the caller's.
  mutating func land(_ row: UsageRow, _ db: Database) throws -> Landed {
    row.origin == .log ? try landLog(row, db) : try landOther(row, db)
  }

  private mutating func insert(_ row: UsageRow, _ db: Database) throws -> Landed {
    try db.cachedStatement(sql: Self.insertion).execute(arguments: UsageColumns.arguments(row))
    return db.changesCount > 0 ? .new : .unchanged
  }

  // MARK: A log's row

  private mutating func landLog(_ row: UsageRow, _ db: Database) throws -> Landed {
    guard let known = try Self.known(row, db) else {
      if try isExpired(row, db) { return .expired }
      let landed = try insert(row, db)
      logsNear.removeAll()
      return landed
    }
    // Counted, and removed since for its age.
    guard let seq = known.seq, let before = known.row else { return .unchanged }
    let (after, isLowerBound) = merged(row, known, before)
    if let uid = row.uid, uid != before.uid, !known.isAlias {
      try Self.alias(uid, seq, isLowerBound ?? false, db)
    }
    guard after != before else { return .unchanged }
    try write(after, seq, db)
    return .merged
  }

  /// What landing a log's row would do.
  mutating func preview(_ row: UsageRow, _ db: Database) throws -> Landed {
    guard let known = try Self.known(row, db) else { return try isExpired(row, db) ? .expired : .new }
    guard let before = known.row else { return .unchanged }
    return merged(row, known, before).row == before ? .unchanged : .merged
  }

  private func merged(
    _ row: UsageRow, _ known: Known, _ before: UsageRow
  ) -> (row: UsageRow, isLowerBound: Bool?) {
    var after: UsageRow
    var isLowerBound = known.isLowerBound
    if before.origin == .log {
      after = before.taking(log: row)
    } else {
      isLowerBound = isLowerBound ?? before.hasLowerBound
      after = before.filled(fromLog: row, isLowerBound: isLowerBound)
    }
    price(&after, before)
    return (after, isLowerBound)
  }

  /// A cost that was told without a card is its teller's and stays, as long as it is of the same counts.
  private func price(_ after: inout UsageRow, _ before: UsageRow) {
    if after.costs(like: before), before.costMicrodollars != nil {
      (after.costMicrodollars, after.rateCard) = (before.costMicrodollars, before.rateCard)
      after.savedMicrodollars = before.savedMicrodollars
      return
    }
    let told = after.rateCard == nil ? after.costMicrodollars : nil
    if before.costMicrodollars != nil, before.rateCard == nil, before.origin == .told {
      after.costMicrodollars = before.costMicrodollars
      return
    }
    rates.price(&after)
    if after.costMicrodollars == nil { after.costMicrodollars = told }
  }

  /// A row that is known already.
  private struct Known {
    /// Nil when the row has been removed for its age.
    var seq: Int64?
    var row: UsageRow?
    /// Found under a uid that another row stands for.
    var isAlias = false
    /// Whether the counts of the row that no log told are a lower bound, where that has been noted.
    var isLowerBound: Bool?
  }

  private static func known(_ row: UsageRow, _ db: Database) throws -> Known? {
    if let found = try Row.fetchOne(
      db.cachedStatement(sql: "SELECT \(UsageColumns.selection) FROM usage WHERE uid = ?"),
      arguments: [row.uid])
    {
      let (seq, known) = UsageColumns.row(found)
      return Known(seq: seq, row: known)
    }
    if let alias = try Row.fetchOne(
      db.cachedStatement(sql: "SELECT seq, lower_bound FROM usage_alias WHERE uid = ?"), arguments: [row.uid])
    {
      let found = try Row.fetchOne(
        db.cachedStatement(sql: "SELECT \(UsageColumns.selection) FROM usage WHERE seq = ?"),
        arguments: [alias[0] as Int64?])
      guard let found else { return Known(isAlias: true) }
      let (seq, known) = UsageColumns.row(found)
      return Known(seq: seq, row: known, isAlias: true, isLowerBound: alias[1])
    }
    guard let (seq, known) = try sameRequest(as: row, hours: -6...1, onlyLogs: false, db) else { return nil }
    return Known(seq: seq, row: known)
  }

  // MARK: Anybody else's row

  private mutating func landOther(_ row: UsageRow, _ db: Database) throws -> Landed {
    guard row.requestID != nil || row.responseID != nil, try mayBeLogged(row, db),
      let (seq, log) = try Self.sameRequest(as: row, hours: -1...6, onlyLogs: true, db)
    else { return try insert(row, db) }
    // The same uid again is the same row.
    let isKnown = try Bool.fetchOne(
      db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM usage WHERE uid = ?)"), arguments: [row.uid])
    guard isKnown != true else { return .unchanged }
    var after = row.filled(fromLog: log)
    price(&after, row)
    // A log is read again more often than a request is relayed: the log's uid is the one that is looked up.
    try write(after, seq, db)
    if let uid = log.uid, uid != row.uid { try Self.alias(uid, seq, row.hasLowerBound, db) }
    return .merged
  }

  /// Whether there is any log's row in the hours around: where nobody imports logs, this is all there is to merging.
  private mutating func mayBeLogged(_ row: UsageRow, _ db: Database) throws -> Bool {
    guard let time = row.time else { return false }
    let hour = time.milliseconds / 3_600_000
    if let known = logsNear[hour] { return known }
    let isNear = try Bool.fetchOne(
      db.cachedStatement(
        sql: """
          SELECT EXISTS (SELECT 1 FROM usage WHERE origin = 'log' AND time_ms / 3600000 BETWEEN ?1 - 1 AND ?1 + 6)
          """), arguments: [hour])
    logsNear[hour] = isNear ?? false
    return isNear ?? false
  }

  // MARK: Finding and writing

  private static func sameRequest(
    as row: UsageRow, hours: ClosedRange<Int64>, onlyLogs: Bool, _ db: Database
  ) throws -> (Int64, UsageRow)? {
    guard let time = row.time else { return nil }
    let hour = time.milliseconds / 3_600_000
    let span = hours.map { hour + $0 }
    if let id = row.requestID, !id.isEmpty {
      let found = try candidates("request_id", id, span, time, onlyLogs, db).first
      if let found { return found }
    }
    guard let id = row.responseID, !id.isEmpty else { return nil }
    return try candidates("response_id", id, span, time, onlyLogs, db).first { _, known in
      // Where both know the provider's request-id, that decides.
      known.requestID == nil || row.requestID == nil || known.requestID == row.requestID
    }
  }

  /// The nearest first, and one that no log has told of before one that has.
  private static func candidates(
    _ column: String, _ id: String, _ hours: [Int64], _ time: UTCInstant, _ onlyLogs: Bool, _ db: Database
  ) throws -> [(Int64, UsageRow)] {
    let marks = hours.map { _ in "?" }.joined(separator: ", ")
    let statement = try db.cachedStatement(
      sql: """
        SELECT \(UsageColumns.selection) FROM usage
        WHERE time_ms / 3600000 IN (\(marks)) AND \(column) = ?\(onlyLogs ? " AND origin = 'log'" : "")
        ORDER BY origin = 'both', abs(time_ms - ?), seq LIMIT 4
        """)
    let arguments = StatementArguments(hours) + [id, time.milliseconds]
    return try Row.fetchAll(statement, arguments: arguments).map(UsageColumns.row)
  }

  private func write(_ row: UsageRow, _ seq: Int64, _ db: Database) throws {
    try db.cachedStatement(sql: Self.update).execute(arguments: UsageColumns.arguments(row) + [seq])
  }

  private static func alias(_ uid: String, _ seq: Int64, _ isLowerBound: Bool, _ db: Database) throws {
    try db.cachedStatement(
      sql: """
        INSERT INTO usage_alias(uid, seq, lower_bound) VALUES (?, ?, ?)
        ON CONFLICT(uid) DO UPDATE SET seq = excluded.seq, lower_bound = excluded.lower_bound
        """
    ).execute(arguments: [uid, seq, isLowerBound])
  }

  private mutating func isExpired(_ row: UsageRow, _ db: Database) throws -> Bool {
    guard let time = row.time else { return false }
    if horizon == nil {
      horizon = try Int64.fetchOne(db.cachedStatement(sql: "SELECT hour FROM usage_horizon")) ?? .min
    }
    return time.milliseconds / 3_600_000 < horizon ?? .min
  }
}
