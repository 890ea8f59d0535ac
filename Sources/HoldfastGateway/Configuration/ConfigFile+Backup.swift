// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import Yams

extension ConfigFile {
  /// What the file says under `backup`; what it leaves out is as in ``BackupPlan/standard(home:)``.
  struct Backup: Hashable {
    /// nil: none are made.
    var interval: BackupSchedule.Interval? = .daily
    /// The minute of the day.
    var minute: Int?
    /// As given.
    var directory: String?
    /// All three nil: as usual.
    var hourly, daily, weekly: Int?
    var isCompressed = true

    /// - Parameter userHome: what `~` stands for.
    func plan(home: String, userHome: String?) -> BackupPlan? {
      guard let interval else { return nil }
      var plan = BackupPlan.standard(home: home)
      let usual = interval == .hourly ? 0 : plan.schedule.minute
      plan.schedule = BackupSchedule(interval, minute: minute ?? usual)
      if let directory { plan.directory = Self.absolute(directory, home: home, userHome: userHome) }
      if hourly != nil || daily != nil || weekly != nil {
        plan.retention = BackupRetention(hourly: hourly ?? 0, daily: daily ?? 0, weekly: weekly ?? 0)
      } else if interval == .hourly {
        plan.retention = BackupRetention(hourly: 24, daily: 7, weekly: 0)
      } else if interval == .weekly {
        plan.retention = BackupRetention(hourly: 0, daily: 0, weekly: 4)
      }
      plan.isCompressed = isCompressed
      return plan
    }

    /// A relative one is in the home: the daemon's working directory is anybody's guess.
    private static func absolute(_ given: String, home: String, userHome: String?) -> String {
      var text = given
      if text == "~" || text.hasPrefix("~/"), let userHome { text = userHome + text.dropFirst() }
      if !text.hasPrefix("/") { text = home + "/" + text }
      while text.count > 1, text.hasSuffix("/") { text.removeLast() }
      return text
    }
  }

  private static let backupKeys = [
    "every", "at", "directory", "keep_hourly", "keep_daily", "keep_weekly", "compress",
  ]

  /// Reads the mapping under `backup`, or `false` for none at all.
  static func backup(_ node: Node) throws(GatewayError) -> Backup {
    var backup = Backup()
    if let isOn = node.scalar?.string, node.mapping == nil {
      guard node.bool == false || isOn == "never" else {
        throw problem(node, "backup is a mapping, or never; it is “\(isOn)”")
      }
      backup.interval = nil
      return backup
    }
    var atNode: Node?
    for (field, value) in try entries(node, "backup") {
      switch field.name {
      case "every":
        let text = try string(value, "backup.every")
        backup.interval = BackupSchedule.Interval(rawValue: text)
        guard backup.interval != nil || text == "never" else {
          throw problem(value, "backup.every is “\(text)”; it is hourly, daily, weekly or never")
        }
      case "at":
        backup.minute = try minute(value)
        atNode = value
      case "directory": backup.directory = try string(value, "backup.directory")
      case "keep_hourly": backup.hourly = try count(value, "backup.keep_hourly")
      case "keep_daily": backup.daily = try count(value, "backup.keep_daily")
      case "keep_weekly": backup.weekly = try count(value, "backup.keep_weekly")
      case "compress":
        guard let isOn = value.bool else { throw problem(value, "backup.compress is neither true nor false") }
        backup.isCompressed = isOn
      default:
        throw unknown(field, in: "backup", known: backupKeys)
      }
    }
    if backup.interval == .hourly, let minute = backup.minute, minute >= 60, let atNode {
      throw problem(atNode, "backup.at is the minute of the hour for an hourly backup, as in \"00:20\"")
    }
    if [backup.hourly, backup.daily, backup.weekly].compactMap(\.self).reduce(0, +) == 0,
      backup.hourly != nil || backup.daily != nil || backup.weekly != nil
    {
      throw problem(
        node, "backup keeps nothing: one of keep_hourly, keep_daily and keep_weekly is 1 or more")
    }
    return backup
  }

  /// `HH:MM`. An unquoted one is a number of minutes or seconds to some readers of YAML, so the text decides.
  private static func minute(_ node: Node) throws(GatewayError) -> Int {
    let text = try string(node, "backup.at")
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    guard parts.count == 2, parts.allSatisfy({ (1...2).contains($0.count) && $0.allSatisfy(\.isASCIIDigit) }),
      let hour = Int(parts[0]), let minute = Int(parts[1]), hour < 24, minute < 60
    else { throw problem(node, "backup.at is “\(text)”; it is a time of day in UTC, as in \"03:30\"") }
    return hour * 60 + minute
  }

  private static func count(_ node: Node, _ place: String) throws(GatewayError) -> Int {
    guard let count = node.int, (0...10_000).contains(count) else {
      throw problem(node, "\(place) is a count from 0 to 10000")
    }
    return count
  }
}

extension Character {
  fileprivate var isASCIIDigit: Bool { ("0"..."9").contains(self) }
}
