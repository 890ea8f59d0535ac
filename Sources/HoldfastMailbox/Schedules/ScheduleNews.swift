// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// What came of the schedules of a mailbox that were due, as `holdfast supervise --json` prints it.
public struct ScheduleNews: Sendable, Hashable, Encodable {
  /// When.
  public var time: UTCInstant
  /// Whose schedules.
  public var mailbox: MailboxAddress
  /// What came of them.
  public var runs: ScheduleRuns

  private enum CodingKeys: String, CodingKey {
    case time, mailbox, event, messages, retired
    case leftOut = "left_out"
  }

  /// Writes `scheduled`, with the ids of the messages that were sent and what was retired.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(time.description, forKey: .time)
    try fields.encode(mailbox, forKey: .mailbox)
    try fields.encode("scheduled", forKey: .event)
    try fields.encode(runs.sent, forKey: .messages)
    try fields.encode(runs.leftOut, forKey: .leftOut)
    if !runs.retired.isEmpty { try fields.encode(runs.retired, forKey: .retired) }
  }

  /// A sentence for a person, without whose schedules they are.
  public var sentence: String {
    var parts = runs.sent.map { "\($0) was sent by its schedule" }
    if runs.leftOut > 0 { parts.append("\(runs.leftOut) times of schedules were left out") }
    parts += runs.retired.map { "schedule \($0.subject) cannot be run any more: \($0.reason)" }
    return parts.joined(separator: "; ")
  }
}
