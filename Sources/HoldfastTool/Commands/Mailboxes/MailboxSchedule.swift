// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastMailbox

/// `holdfast mailbox schedule …`: messages that are sent again and again.
struct MailboxScheduleCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "schedule",
    abstract: "Messages to workers that are sent again and again.",
    discussion: """
      Examples:
        holdfast mailbox schedule add writer/session-1 report --cron '0 9 * * mon-fri' \\
          --zone Europe/Berlin --content '{"task":"report"}'
        holdfast mailbox schedule list writer/session-1
        holdfast mailbox schedule pause writer/session-1 report
        holdfast mailbox schedule next '0 9 * * mon-fri' --zone Europe/Berlin

      `holdfast serve` and `holdfast supervise` run them; of several, one does.
      """,
    subcommands: [
      MailboxScheduleAdd.self, MailboxScheduleList.self, MailboxSchedulePause.self,
      MailboxScheduleResume.self, MailboxScheduleCancel.self, MailboxScheduleRun.self,
      MailboxScheduleNext.self,
    ])
}

/// `holdfast mailbox schedule add`.
struct MailboxScheduleAdd: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "add",
    abstract: "Add a schedule, or replace the one with its name.",
    discussion: """
      Examples:
        holdfast mailbox schedule add writer/session-1 report --cron '0 9 * * mon-fri' \\
          --zone Europe/Berlin --content '{"task":"report"}'
        holdfast mailbox schedule add writer/session-1 tidy --cron @hourly --content 1 --missed skip

      Five fields: minute, hour, day of month, month, day of week; names, ranges,
      steps and lists as in crontab(5), L for the last day, fri#3 for the third
      Friday, L5 for the last. Adding the same again changes nothing.
      """)

  @OptionGroup var mailbox: MailboxArgument

  @Argument(help: ArgumentHelp("What it is called.", valueName: "series"))
  var series: String

  @Option(name: .long, help: ArgumentHelp("When it is due, as in crontab(5).", valueName: "expression"))
  var cron: String

  @Option(name: .long, help: ArgumentHelp("What its messages say.", valueName: "json"))
  var content: String

  @Option(
    name: .long, help: ArgumentHelp("The time zone of its times (default: UTC).", valueName: "zone"))
  var zone = "UTC"

  @Option(
    name: .long, help: ArgumentHelp("What sort of message it sends (default: message).", valueName: "kind"))
  var kind = "message"

  @Option(name: .long, help: ArgumentHelp("Where an answer goes, for who delivers it.", valueName: "json"))
  var routing: String?

  @Option(
    name: .long,
    help: ArgumentHelp(
      "Times at which nothing ran it: skip them, one message for the latest, or one for all.",
      valueName: "skip|latest|all"))
  var missed = "latest"

  @Option(
    name: .long, help: ArgumentHelp("The most messages for missed times with all.", valueName: "count"))
  var cap = 100

  @OptionGroup var common: CommonOptions

  func validate() throws {
    guard MissedRuns(rawValue: missed) != nil else {
      throw ValidationError("--missed is one of skip, latest, all, not “\(missed)”.")
    }
  }

  func run() async throws {
    var schedule = NewMailboxSchedule(series: series, cron: cron, content: try MailboxContent(json: content))
    schedule.timeZone = zone
    schedule.kind = kind
    schedule.routing = try routing.map { json in try MailboxContent(json: json) }
    schedule.missed = MissedRuns(rawValue: missed) ?? .latest
    schedule.cap = cap
    let added = try await common.withMailboxes(making: true) { [schedule] store in
      try await store.putSchedule(schedule, in: mailbox.address, now: .now)
    }
    try added.print(common)
  }
}

/// `holdfast mailbox schedule list`.
struct MailboxScheduleList: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "The schedules of a mailbox.",
    discussion: """
      Examples:
        holdfast mailbox schedule list writer/session-1
        holdfast mailbox schedule list writer/session-1 --json | jq -r .next_run
      """)

  @OptionGroup var mailbox: MailboxArgument

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let list = try await common.withMailboxes { store in try await store.schedules(in: mailbox.address) }
    for fault in list.faults { Console.printError("\(fault.subject) was left out: \(fault.reason)") }
    if common.json {
      for schedule in list.schedules { Console.print(try JSONLine.text(schedule)) }
      return
    }
    Console.print(list.schedules.isEmpty ? "No schedules." : MailboxSchedule.table(list.schedules))
  }
}

/// A schedule of a mailbox.
struct ScheduleArgument: ParsableArguments {
  @OptionGroup var mailbox: MailboxArgument

  @Argument(help: ArgumentHelp("What it is called.", valueName: "series"))
  var series: String
}

/// `holdfast mailbox schedule pause`.
struct MailboxSchedulePause: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "pause",
    abstract: "Have a schedule send nothing until it is resumed.",
    discussion: """
      Examples:
        holdfast mailbox schedule pause writer/session-1 report
      """)

  @OptionGroup var schedule: ScheduleArgument

  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await common.withMailboxes { store in
      try await store.pauseSchedule(schedule.series, in: schedule.mailbox.address)
    }.print(common)
  }
}

/// `holdfast mailbox schedule resume`.
struct MailboxScheduleResume: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "resume",
    abstract: "Have a paused schedule send again, from its next time on.",
    discussion: """
      Examples:
        holdfast mailbox schedule resume writer/session-1 report
      """)

  @OptionGroup var schedule: ScheduleArgument

  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await common.withMailboxes { store in
      try await store.resumeSchedule(schedule.series, in: schedule.mailbox.address, now: .now)
    }.print(common)
  }
}

/// `holdfast mailbox schedule cancel`.
struct MailboxScheduleCancel: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cancel",
    abstract: "End a schedule.",
    discussion: """
      Examples:
        holdfast mailbox schedule cancel writer/session-1 report

      Messages it has sent stay. Add it again to have it back.
      """)

  @OptionGroup var schedule: ScheduleArgument

  @OptionGroup var common: CommonOptions

  func run() async throws {
    try await common.withMailboxes { store in
      try await store.cancelSchedule(schedule.series, in: schedule.mailbox.address)
    }.print(common)
  }
}

/// `holdfast mailbox schedule run`.
struct MailboxScheduleRun: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Send a message of a schedule now, beside those of its times.",
    discussion: """
      Examples:
        holdfast mailbox schedule run writer/session-1 report
      """)

  @OptionGroup var schedule: ScheduleArgument

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let receipt = try await common.withMailboxes { store in
      try await store.runSchedule(schedule.series, in: schedule.mailbox.address, now: .now)
    }
    Console.print(try JSONLine.text(receipt))
  }
}

/// `holdfast mailbox schedule next`.
struct MailboxScheduleNext: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "next",
    abstract: "The coming times of an expression.",
    discussion: """
      Examples:
        holdfast mailbox schedule next '0 9 * * mon-fri' --zone Europe/Berlin
        holdfast mailbox schedule next '30 2 L * *' --from 2027-12-31T00:00:00Z --count 12

      Nothing is read or written. Times are UTC.
      """)

  @Argument(help: ArgumentHelp("Five fields, as in crontab(5).", valueName: "expression"))
  var expression: String

  @Option(name: .long, help: ArgumentHelp("The time zone it is meant in (default: UTC).", valueName: "zone"))
  var zone = "UTC"

  @Option(name: .long, help: ArgumentHelp("Those after this time (default: now).", valueName: "time"))
  var from: String?

  @Option(name: .long, help: ArgumentHelp("How many.", valueName: "count"))
  var count = 5

  @OptionGroup var common: CommonOptions

  private struct Time: Encodable {
    var time: String
  }

  func validate() throws {
    if let from, UTCInstant(from) == nil {
      throw ValidationError("--from is a time as in 2026-12-01T09:00:00Z, not “\(from)”.")
    }
    guard (1...1_000_000).contains(count) else {
      throw ValidationError("--count is from 1 to 1000000, not \(count).")
    }
  }

  func run() async throws {
    let cron = try CronExpression(expression)
    let zone = try ScheduleZone(zone)
    var time = from.flatMap { UTCInstant($0) } ?? .now
    for _ in 0..<count {
      guard let next = cron.next(after: time, in: zone), UTCInstant.supported.contains(next) else { return }
      time = next
      let text = next.rfc3339(wholeSeconds: true)
      Console.print(common.json ? try JSONLine.text(Time(time: text)) : text)
    }
  }
}

extension MailboxSchedule {
  fileprivate func print(_ common: CommonOptions) throws {
    Console.print(common.json ? try JSONLine.text(self) : Self.table([self]))
  }

  /// For people.
  static func table(_ schedules: [MailboxSchedule]) -> String {
    var table = Table([
      .init(title: "series"), .init(title: "expression"), .init(title: "zone"), .init(title: "state"),
      .init(title: "next"), .init(title: "last"), .init(title: "runs", isNumber: true),
      .init(title: "missed"), .init(title: "content"), .init(title: "error"),
    ])
    for schedule in schedules {
      table.add([
        schedule.series, schedule.cron, schedule.timeZone, schedule.state.rawValue,
        schedule.nextRun?.rfc3339(wholeSeconds: true) ?? "",
        schedule.lastRun?.rfc3339(wholeSeconds: true) ?? "", Amount.count(schedule.runs),
        schedule.missed.rawValue, schedule.content.glance, schedule.error ?? "",
      ])
    }
    return table.lines.joined(separator: "\n")
  }
}
