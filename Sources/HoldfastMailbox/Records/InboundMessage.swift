// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// A message for a worker.
public struct NewMailboxMessage: Sendable, Hashable {
  /// Its identity within the mailbox; minted when nil. The same again with the same content is sent once.
  public var id: String?
  /// What sort of message it is, for the worker to tell apart.
  public var kind: String
  /// What it says.
  public var content: MailboxContent
  /// Not to be worked on before this moment.
  public var processAfter: UTCInstant?
  /// Whether it is for a worker that starts after it was sent, and not for one that may be ending (row E09).
  public var wakeOnly = false
  /// Whether it starts a worker; otherwise it waits, as context, for what does.
  public var wakes = true
  /// The schedule that made it.
  public var series: String?
  /// That schedule's expression.
  public var recurrence: String?
  /// Where an answer goes, for the programs that deliver.
  public var routing: MailboxContent?
  /// So often it is tried before it is a dead letter.
  public var maximumTries = 5

  /// A message that is due at once and starts a worker.
  public init(id: String? = nil, kind: String = "message", content: MailboxContent) {
    (self.id, self.kind, self.content) = (id, kind, content)
  }
}

/// That a message is in the mailbox, durably.
public struct MailboxReceipt: Sendable, Hashable, Codable {
  /// What the message is called.
  public var id: String
  /// Its place in the mailbox.
  public var seq: Int64
  /// Whether the very same message was there already.
  public var duplicate: Bool
  /// The id it was sent with, when another message has that (row E12).
  public var wantedID: String?

  private enum CodingKeys: String, CodingKey {
    case id, seq, duplicate
    case wantedID = "wanted_id"
  }
}

/// How things are with a message for a worker.
public enum InboundStatus: String, Sendable, Hashable, Codable, CaseIterable {
  /// To be worked on, now or later; perhaps being worked on.
  case pending
  /// The worker is done with it.
  case completed
  /// The worker said that it cannot be done; it is among the dead letters.
  case failed
  /// Taken back before it was done.
  case cancelled
  /// Its tries are used up; it is among the dead letters.
  case dead
}

/// A message for a worker, as the mailbox has it.
public struct InboundMessage: Sendable, Hashable, Codable {
  /// What it is called.
  public var id: String
  /// Its place in the mailbox.
  public var seq: Int64
  /// What sort of message it is.
  public var kind: String
  /// What it says.
  public var content: MailboxContent
  /// When it was sent.
  public var time: UTCInstant
  /// How things are with it.
  public var status: InboundStatus
  /// Not to be worked on before this moment.
  public var processAfter: UTCInstant?
  /// How many tries have failed or were lost with their worker.
  public var tries: Int
  /// So many are made.
  public var maximumTries: Int
  /// Only a worker with a higher incarnation takes it.
  public var afterIncarnation: Int64
  /// Whether it starts a worker.
  public var wakes: Bool
  /// The schedule that made it.
  public var series: String?
  /// Where an answer goes.
  public var routing: MailboxContent?
  /// When it was done with.
  public var finishedAt: UTCInstant?
  /// What went wrong last.
  public var error: String?

  private enum CodingKeys: String, CodingKey {
    case id, seq, kind, content, time, status, tries, wakes, series, routing, error
    case processAfter = "process_after"
    case maximumTries = "max_tries"
    case afterIncarnation = "after_incarnation"
    case finishedAt = "finished_at"
  }
}
