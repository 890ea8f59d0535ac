// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// Reads rows of both files; one that cannot be read is told as a fault and costs the others nothing (row D14).
enum MailboxReader {
  /// The most content one piece has, in bytes; a piece has one message at least.
  static let pieceBytes = 4 << 20

  private static func bytes(_ columns: String...) -> String {
    columns.map { "CAST(\($0) AS BLOB) AS \($0)" }.joined(separator: ", ")
  }

  /// What ``inbound(_:)`` reads.
  static let inboundColumns = """
    seq, \(bytes("id", "kind", "content", "routing")), time, status, process_after, tries, max_tries, after_incarnation,
      trigger, series, finished_at, error
    """
  /// What ``outbound(_:)`` reads.
  static let outboundColumns = """
    seq, \(bytes("id", "kind", "content", "routing", "in_reply_to", "idempotency_key")), time, deliver_after
    """
  /// What ``deadLetter(_:)`` reads.
  static let deadLetterColumns = """
    direction, seq, \(bytes("id", "kind", "content", "routing")), reason, error, tries, time, retried_at
    """
  /// What ``schedule(_:)`` reads.
  static let scheduleColumns = """
    rowid AS place, \(bytes("series", "cron", "time_zone", "kind", "content", "routing")), missed, cap, state, next_run,
      last_run, runs, error
    """

  static func inbound(_ row: Row) throws -> InboundMessage {
    let status: String = row["status"]
    guard let state = InboundStatus(rawValue: status) else {
      throw MailboxError(.unreadable, "Its status, “\(status)”, is none this version knows.")
    }
    let after: Int64 = row["process_after"]
    return InboundMessage(
      id: try text(row, "id"), seq: row["seq"], kind: try text(row, "kind"),
      content: try content(row, "content"),
      time: UTCInstant(milliseconds: row["time"]), status: state,
      processAfter: after == 0 ? nil : UTCInstant(milliseconds: after), tries: row["tries"],
      maximumTries: row["max_tries"], afterIncarnation: row["after_incarnation"], wakes: row["trigger"],
      series: row["series"], routing: try routing(row),
      finishedAt: (row["finished_at"] as Int64?).map(UTCInstant.init(milliseconds:)), error: row["error"])
  }

  static func outbound(_ row: Row) throws -> OutboundMessage {
    let id = try text(row, "id")
    return OutboundMessage(
      id: id, seq: row["seq"], kind: try text(row, "kind"), content: try content(row, "content"),
      inReplyTo: try optionalText(row, "in_reply_to"), time: UTCInstant(milliseconds: row["time"]),
      deliverAfter: (row["deliver_after"] as Int64?).map(UTCInstant.init(milliseconds:)),
      routing: try routing(row), idempotencyKey: try optionalText(row, "idempotency_key") ?? id)
  }

  static func deadLetter(_ row: Row) throws -> DeadLetter {
    guard let direction = DeadLetter.Direction(rawValue: row["direction"]) else {
      throw MailboxError(.unreadable, "Its direction is none this version knows.")
    }
    return DeadLetter(
      id: try text(row, "id"), direction: direction, seq: row["seq"], kind: try text(row, "kind"),
      content: try content(row, "content"), routing: try routing(row), reason: row["reason"],
      error: row["error"],
      tries: row["tries"], time: UTCInstant(milliseconds: row["time"]),
      retriedAt: (row["retried_at"] as Int64?).map(UTCInstant.init(milliseconds:)))
  }

  static func schedule(_ row: Row) throws -> MailboxSchedule {
    guard let missed = MissedRuns(rawValue: row["missed"]) else {
      throw MailboxError(.unreadable, "Its rule for missed runs is none this version knows.")
    }
    guard let state = ScheduleState(rawValue: row["state"]) else {
      throw MailboxError(.unreadable, "Its state is none this version knows.")
    }
    return MailboxSchedule(
      series: try text(row, "series"), cron: try text(row, "cron"), timeZone: try text(row, "time_zone"),
      kind: try text(row, "kind"), content: try content(row, "content"), routing: try routing(row),
      missed: missed, cap: row["cap"], state: state,
      nextRun: (row["next_run"] as Int64?).map(UTCInstant.init(milliseconds:)),
      lastRun: (row["last_run"] as Int64?).map(UTCInstant.init(milliseconds:)), runs: row["runs"],
      error: row["error"])
  }

  private static func content(_ row: Row, _ column: String) throws -> MailboxContent {
    MailboxContent(written: try text(row, column))
  }

  private static func routing(_ row: Row) throws -> MailboxContent? {
    try optionalText(row, "routing").map(MailboxContent.init(written:))
  }

  private static func text(_ row: Row, _ column: String) throws -> String {
    guard let text = try optionalText(row, column) else {
      throw MailboxError(.unreadable, "Its \(column) is missing.")
    }
    return text
  }

  /// A text as it is: read as a string, what is no UTF-8 would come as U+FFFD and what follows a NUL not at all, and
  /// an id would be another's. So the queries ask for bytes.
  private static func optionalText(_ row: Row, _ column: String) throws -> String? {
    guard let bytes: Data = row[column] else { return nil }
    guard let text = String(validating: bytes, as: UTF8.self) else {
      throw MailboxError(.unreadable, "Its \(column) is no UTF-8 text; the bytes stay as they are.")
    }
    return text
  }
}
