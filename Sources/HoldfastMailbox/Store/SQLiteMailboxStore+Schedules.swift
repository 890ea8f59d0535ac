// SPDX-License-Identifier: Apache-2.0

import GRDB
public import HoldfastEngine

extension SQLiteMailboxStore {
  /// Keeps a schedule, in place of the one with its name if there is one.
  @discardableResult
  public func putSchedule(
    _ schedule: NewMailboxSchedule, in address: MailboxAddress, now: UTCInstant
  ) async throws -> MailboxSchedule {
    let next = try ScheduleWriter.check(schedule).next(after: now)
    return try await with(address, making: true) { mailbox in
      try await mailbox.write { db in try ScheduleWriter.put(schedule, next: next, db) }
    }
  }

  /// The schedules of a mailbox, by name.
  public func schedules(in address: MailboxAddress) async throws -> ScheduleList {
    try await with(address) { mailbox in
      try await mailbox.read { db in
        var list = ScheduleList()
        let rows = try Row.fetchCursor(
          db, sql: "SELECT \(MailboxReader.scheduleColumns) FROM schedules ORDER BY series")
        while let row = try rows.next() {
          do {
            list.schedules.append(try MailboxReader.schedule(row))
          } catch let error as MailboxError {
            list.faults.append(
              MailboxFault(subject: "schedules \(row["place"] as Int64)", reason: error.message))
          }
        }
        return list
      }
    }
  }

  /// Has a schedule send nothing until it is resumed.
  @discardableResult
  public func pauseSchedule(_ series: String, in address: MailboxAddress) async throws -> MailboxSchedule {
    try await with(address) { mailbox in
      try await mailbox.write { db in
        let schedule = try ScheduleWriter.schedule(series, db)
        guard schedule.state == .active || schedule.state == .paused else {
          throw Self.refusal(schedule, "paused")
        }
        return try ScheduleWriter.set(.paused, next: nil, series, db)
      }
    }
  }

  /// Has a schedule that was paused or retired send again, from the next time on.
  @discardableResult
  public func resumeSchedule(
    _ series: String, in address: MailboxAddress, now: UTCInstant
  ) async throws -> MailboxSchedule {
    try await with(address) { mailbox in
      try await mailbox.write { db in
        let schedule = try ScheduleWriter.schedule(series, db)
        switch schedule.state {
        case .active: return schedule
        case .cancelled: throw Self.refusal(schedule, "resumed")
        case .paused, .retired:
          let rule = try ScheduleRule(schedule.cron, in: schedule.timeZone)
          return try ScheduleWriter.set(.active, next: rule.next(after: now), series, db)
        }
      }
    }
  }

  /// Ends a schedule; its messages that wait stay.
  @discardableResult
  public func cancelSchedule(_ series: String, in address: MailboxAddress) async throws -> MailboxSchedule {
    try await with(address) { mailbox in
      try await mailbox.write { db in try ScheduleWriter.set(.cancelled, next: nil, series, db) }
    }
  }

  /// Sends a message of a schedule at once, beside those of its times.
  @discardableResult
  public func runSchedule(
    _ series: String, in address: MailboxAddress, now: UTCInstant
  ) async throws -> MailboxReceipt {
    try await with(address) { mailbox in
      try await mailbox.write { db in
        let schedule = try ScheduleWriter.schedule(series, db)
        guard schedule.state == .active || schedule.state == .paused else {
          throw Self.refusal(schedule, "run")
        }
        // To the millisecond: no id of one of its times is like that.
        var id = "\(series)@\(now)"
        var count = 1
        while true {
          if let receipt = try ScheduleWriter.send(schedule, id: id, for: now, db) { return receipt }
          count += 1
          id = "\(series)@\(now)~\(count)"
        }
      }
    }
  }

  private static func refusal(_ schedule: MailboxSchedule, _ what: String) -> MailboxError {
    MailboxError(
      .refused,
      """
      The schedule “\(schedule.series)” is \(schedule.state) and cannot be \
      \(what)\(schedule.error.map { " (\($0))" } ?? ""); add it again.
      """)
  }

  /// Runs the schedules that are due.
  @discardableResult
  public func runDueSchedules(in address: MailboxAddress, now: UTCInstant) async throws -> ScheduleRuns {
    try await with(address) { mailbox in
      // Decided while nothing is locked; whoever then moves a schedule from the time that was seen runs it.
      let decided = try await mailbox.read { db in
        try ScheduleRow.active(db).map { ($0, $0.decision(now)) }
      }
      var runs = ScheduleRuns()
      for (row, decision) in decided {
        var next = row.due.map(UTCInstant.init(milliseconds:))
        let landing: ScheduleWriter.Landing?
        switch decision {
        case .turn(let turn):
          landing = try await mailbox.write { db in try ScheduleWriter.land(turn, row, db) }
          next = turn.next
          if case .sent = landing { runs.leftOut += turn.leftOut }
        case .retire(let reason):
          landing = try await mailbox.write { db in try ScheduleWriter.retire(row, due: row.due, reason, db) }
          next = nil
        case nil: landing = nil
        }
        switch landing {
        case .sent(let ids): runs.sent += ids
        case .retired(let reason):
          runs.retired.append(MailboxFault(subject: row.series, reason: reason))
          next = nil
        case .late, nil: break
        }
        if let next { runs.next = min(runs.next ?? next, next) }
      }
      return runs
    }
  }
}
