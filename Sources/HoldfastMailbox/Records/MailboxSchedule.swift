// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// A message that is to be sent again and again.
public struct NewMailboxSchedule: Sendable, Hashable {
  /// What it is called within the mailbox: 1 to 200 characters.
  public var series: String
  /// When it is due; see ``CronExpression``.
  public var cron: String
  /// The time zone of its times, as `Europe/Berlin`.
  public var timeZone = "UTC"
  /// What sort of message it sends.
  public var kind = "message"
  /// What its messages say.
  public var content: MailboxContent
  /// Where answers go, for the programs that deliver.
  public var routing: MailboxContent?
  /// What becomes of times at which no host was up.
  public var missed = MissedRuns.latest
  /// The most messages for times that were missed, where all are wanted: 1 to 10,000.
  public var cap = 100

  /// A schedule in UTC that is made up for once.
  public init(series: String, cron: String, content: MailboxContent) {
    (self.series, self.cron, self.content) = (series, cron, content)
  }
}

/// How things are with a schedule.
public enum ScheduleState: String, Sendable, Hashable, Codable, CaseIterable {
  /// It sends its messages.
  case active
  /// It sends none until it is resumed.
  case paused
  /// It was ended.
  case cancelled
  /// It cannot be run any more: its expression, its zone or its content cannot be read.
  case retired
}

/// A schedule, as the mailbox has it.
public struct MailboxSchedule: Sendable, Hashable, Codable {
  /// What it is called.
  public var series: String
  /// When it is due.
  public var cron: String
  /// The time zone of its times.
  public var timeZone: String
  /// What sort of message it sends.
  public var kind: String
  /// What its messages say.
  public var content: MailboxContent
  /// Where answers go.
  public var routing: MailboxContent?
  /// What becomes of times at which no host was up.
  public var missed: MissedRuns
  /// The most messages for times that were missed, where all are wanted.
  public var cap: Int
  /// How things are with it.
  public var state: ScheduleState
  /// When it is due again; nil unless it is active.
  public var nextRun: UTCInstant?
  /// The time it last sent a message for.
  public var lastRun: UTCInstant?
  /// How many messages it has sent.
  public var runs: Int
  /// Why it was retired.
  public var error: String?

  private enum CodingKeys: String, CodingKey {
    case series, cron, kind, content, routing, missed, cap, state, runs, error
    case timeZone = "time_zone"
    case nextRun = "next_run"
    case lastRun = "last_run"
  }
}

/// The schedules of a mailbox, and those that could not be read.
public struct ScheduleList: Sendable, Hashable {
  /// The schedules, by name.
  public var schedules: [MailboxSchedule] = []
  /// What could not be read.
  public var faults: [MailboxFault] = []
}

/// What came of running the schedules that were due.
public struct ScheduleRuns: Sendable, Hashable {
  /// The ids of the messages that were sent, `SERIES@TIME`.
  public var sent: [String] = []
  /// Times that came and no message was sent for: they were missed, or an earlier message still waits.
  public var leftOut = 0
  /// Schedules that cannot be run any more, with the reason.
  public var retired: [MailboxFault] = []
  /// When the first of those that are left is due; nil when none is.
  public var next: UTCInstant?

  /// None.
  public init() {}
}
