// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// A schedule that is active, as far as it takes to decide about it; its content is read when it is sent.
struct ScheduleRow: Sendable {
  var place: Int64
  var series: String
  var cron: String
  var timeZone: String
  var missed: String
  var cap: Int
  /// In milliseconds; nil when somebody took it away.
  var due: Int64?
  /// Whether an earlier message of it is not done with.
  var isWaiting: Bool

  /// What is to be done for it.
  enum Decision: Sendable {
    case turn(ScheduleTurn)
    case retire(String)
  }

  /// Those of a mailbox.
  static func active(_ db: Database) throws -> [ScheduleRow] {
    try Row.fetchAll(
      db,
      sql: """
        SELECT s.rowid AS place, s.series, CAST(s.cron AS BLOB) AS cron, CAST(s.time_zone AS BLOB) AS time_zone,
          s.missed, s.cap, s.next_run,
          EXISTS (SELECT 1 FROM messages_in AS m WHERE m.series = s.series AND m.status = 'pending') AS is_waiting
        FROM schedules AS s WHERE s.state = 'active' ORDER BY s.next_run, s.series
        """
    ).map { row in
      ScheduleRow(
        place: row["place"], series: row["series"], cron: text(row["cron"]), timeZone: text(row["time_zone"]),
        missed: row["missed"], cap: row["cap"], due: row["next_run"], isWaiting: row["is_waiting"])
    }
  }

  /// What is no UTF-8 is no expression and no zone either.
  private static func text(_ bytes: Data) -> String { String(decoding: bytes, as: UTF8.self) }

  /// Decides; nil when nothing changes.
  func decision(_ now: UTCInstant) -> Decision? {
    let rule: ScheduleRule
    do {
      rule = try ScheduleRule(cron, in: timeZone)
    } catch {
      return .retire(error.message)
    }
    guard let missed = MissedRuns(rawValue: missed) else {
      return .retire("Its rule for missed runs, “\(missed)”, is none this version knows.")
    }
    guard let due else { return .turn(ScheduleTurn(next: rule.next(after: now))) }
    let turn = ScheduleTurn(
      rule.cron, in: rule.zone, due: UTCInstant(milliseconds: due), now: now, missed: missed, cap: cap,
      isWaiting: isWaiting)
    return turn.next?.milliseconds == due ? nil : .turn(turn)
  }
}

/// When a schedule is due: an expression and the zone of its times.
struct ScheduleRule: Sendable {
  var cron: CronExpression
  var zone: ScheduleZone

  init(_ cron: String, in zone: String) throws(MailboxError) {
    self.cron = try CronExpression(cron)
    self.zone = try ScheduleZone(zone)
  }

  /// The first time after a moment that a row may bear.
  func next(after now: UTCInstant) -> UTCInstant? {
    cron.next(after: now, in: zone).flatMap { UTCInstant.supported.contains($0) ? $0 : nil }
  }
}
