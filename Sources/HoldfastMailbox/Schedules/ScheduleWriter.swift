// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// Changes the `schedules` of `inbound.db`, inside a write transaction of the caller's.
enum ScheduleWriter {
  /// The most messages at once for times that were missed.
  static let mostRuns = 10_000

  /// Refuses what the tables could not keep, or could never be run.
  static func check(_ schedule: NewMailboxSchedule) throws(MailboxError) -> ScheduleRule {
    for (name, text, most) in [
      ("series", schedule.series, 200), ("kind", schedule.kind, 64), ("expression", schedule.cron, 1024),
    ] {
      guard (1...most).contains(text.unicodeScalars.count), !text.utf8.contains(0) else {
        throw MailboxError(.invalid, "A schedule's \(name) has 1 to \(most) characters and no NUL.")
      }
    }
    guard (1...mostRuns).contains(schedule.cap) else {
      throw MailboxError(
        .invalid, "The most runs to make up for is a number from 1 to 10,000, not \(schedule.cap).")
    }
    return try ScheduleRule(schedule.cron, in: schedule.timeZone)
  }

  /// Keeps a schedule in place of the one with its name. When both are due by the same rule its time stays, so that
  /// whoever says at each start what is wanted puts nothing off; and what was paused stays so.
  static func put(_ schedule: NewMailboxSchedule, next: UTCInstant?, _ db: Database) throws -> MailboxSchedule
  {
    let row = try Row.fetchOne(
      db,
      sql: """
        INSERT INTO schedules(series, cron, time_zone, kind, content, routing, missed, cap, next_run)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT DO UPDATE SET
          next_run = CASE
            WHEN state = 'paused' THEN NULL
            WHEN state = 'active' AND cron = excluded.cron AND time_zone = excluded.time_zone
              THEN coalesce(next_run, excluded.next_run)
            ELSE excluded.next_run END,
          state = CASE state WHEN 'paused' THEN 'paused' ELSE 'active' END,
          cron = excluded.cron, time_zone = excluded.time_zone, kind = excluded.kind, content = excluded.content,
          routing = excluded.routing, missed = excluded.missed, cap = excluded.cap, error = NULL
        RETURNING \(MailboxReader.scheduleColumns)
        """,
      arguments: [
        schedule.series, schedule.cron, schedule.timeZone, schedule.kind, schedule.content.json,
        schedule.routing?.json, schedule.missed.rawValue, schedule.cap, next?.milliseconds,
      ])
    return try found(row, schedule.series)
  }

  /// The schedule of this name.
  static func schedule(_ series: String, _ db: Database) throws -> MailboxSchedule {
    let row = try Row.fetchOne(
      db, sql: "SELECT \(MailboxReader.scheduleColumns) FROM schedules WHERE series = ?", arguments: [series])
    return try found(row, series)
  }

  private static func found(_ row: Row?, _ series: String) throws -> MailboxSchedule {
    guard let row else { throw MailboxError(.notFound, "There is no schedule “\(series)” in this mailbox.") }
    return try MailboxReader.schedule(row)
  }

  /// Puts a schedule into another state; the caller has seen that it may be.
  static func set(
    _ state: ScheduleState, next: UTCInstant?, _ series: String, _ db: Database
  ) throws -> MailboxSchedule {
    let row = try Row.fetchOne(
      db,
      sql: """
        UPDATE schedules SET state = ?, next_run = ?, error = NULL WHERE series = ?
        RETURNING \(MailboxReader.scheduleColumns)
        """, arguments: [state.rawValue, next?.milliseconds, series])
    return try found(row, series)
  }

  /// What came of a schedule that was due.
  enum Landing: Sendable {
    case sent([String])
    /// Another host was quicker, or it was changed meanwhile.
    case late
    case retired(String)
  }

  /// Moves a schedule on, and sends what it is due for, in one transaction: whoever moves it sends, nobody else.
  static func land(_ turn: ScheduleTurn, _ row: ScheduleRow, _ db: Database) throws -> Landing {
    let next = turn.next.flatMap { UTCInstant.supported.contains($0) ? $0 : nil }
    let moved = try Row.fetchOne(
      db.cachedStatement(
        sql: """
          UPDATE schedules SET next_run = ?1
          WHERE rowid = ?2 AND state = 'active' AND next_run IS ?3 AND cron = ?4 AND time_zone = ?5 AND missed = ?6
            AND cap = ?7
          RETURNING \(MailboxReader.scheduleColumns)
          """),
      arguments: [
        next?.milliseconds, row.place, row.due, row.cron, row.timeZone, row.missed, row.cap,
      ])
    guard let moved else { return .late }
    let schedule: MailboxSchedule
    do {
      schedule = try MailboxReader.schedule(moved)
    } catch let error as MailboxError {
      return try retire(row, due: next?.milliseconds, error.message, db)
    }
    var sent: [String] = []
    for time in turn.runs {
      let id = "\(schedule.series)@\(time.rfc3339(wholeSeconds: true))"
      if try send(schedule, id: id, for: time, db) != nil { sent.append(id) }
    }
    if next == nil { _ = try retire(row, due: nil, "No time is left at which it is due.", db) }
    return .sent(sent)
  }

  /// Sends a message of a schedule, unless it was sent before; nil then.
  static func send(
    _ schedule: MailboxSchedule, id: String, for time: UTCInstant, _ db: Database
  ) throws -> MailboxReceipt? {
    // A time that has had its message has had it, whatever the schedule says now.
    guard try Int64.fetchOne(db, sql: "SELECT seq FROM messages_in WHERE id = ?", arguments: [id]) == nil
    else {
      return nil
    }
    var message = NewMailboxMessage(id: id, kind: schedule.kind, content: schedule.content)
    message.routing = schedule.routing
    message.series = schedule.series
    message.recurrence = schedule.cron
    let receipt = try InboundWriter.insert(message, id: id, db)
    try db.execute(
      sql: "UPDATE schedules SET runs = runs + 1, last_run = ? WHERE series = ?",
      arguments: [time.milliseconds, schedule.series])
    return receipt
  }

  /// Ends a schedule that cannot be run, for good: trying it again would say the same again.
  static func retire(
    _ row: ScheduleRow, due: Int64?, _ reason: String, _ db: Database
  ) throws -> Landing {
    let reason = printable(reason)
    try db.execute(
      sql: """
        UPDATE schedules SET state = 'retired', next_run = NULL, error = ?
        WHERE rowid = ? AND state = 'active' AND next_run IS ?
        """, arguments: [reason, row.place, due])
    return db.changesCount > 0 ? .retired(reason) : .late
  }
  /// A reason as a column and a line may carry it: what it quotes may have anything in it.
  private static func printable(_ reason: String) -> String {
    reason.unicodeScalars.prefix(1024).map {
      $0.properties.generalCategory == .control ? "�" : String($0)
    }.joined()
  }
}
