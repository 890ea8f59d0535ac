// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// A message of a worker's.
public struct OutboundMessage: Sendable, Hashable {
  /// What the worker calls it.
  public var id: String
  /// Its place among the worker's messages.
  public var seq: Int64
  /// What sort of message it is.
  public var kind: String
  /// What it says.
  public var content: MailboxContent
  /// The message it answers.
  public var inReplyTo: String?
  /// When it was written, by the worker's clock.
  public var time: UTCInstant
  /// Not to be delivered before this moment.
  public var deliverAfter: UTCInstant?
  /// Where it goes, for the programs that deliver.
  public var routing: MailboxContent?
  /// By what a receiver tells that it has had it before; the id where the worker gave none.
  public var idempotencyKey: String
}

extension OutboundMessage: Encodable {
  private enum CodingKeys: String, CodingKey {
    case id, seq, kind, content, time, routing
    case inReplyTo = "in_reply_to"
    case deliverAfter = "deliver_after"
    case idempotencyKey = "idempotency_key"
  }

  /// Writes `{id, seq, kind, content, in_reply_to, time, …}`; what scripts read is always there, null or not.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(id, forKey: .id)
    try fields.encode(seq, forKey: .seq)
    try fields.encode(kind, forKey: .kind)
    try fields.encode(content, forKey: .content)
    try fields.encode(inReplyTo, forKey: .inReplyTo)
    try fields.encode(time, forKey: .time)
    try fields.encodeIfPresent(deliverAfter, forKey: .deliverAfter)
    try fields.encodeIfPresent(routing, forKey: .routing)
    if idempotencyKey != id { try fields.encode(idempotencyKey, forKey: .idempotencyKey) }
  }
}

/// A piece of what a worker sent.
public struct OutboundPage: Sendable, Hashable {
  /// The messages, in the worker's order.
  public var messages: [OutboundMessage] = []
  /// What could not be read; it holds nothing else up.
  public var faults: [MailboxFault] = []
  /// The `seq` behind which the next piece begins; nil at the end.
  public var next: Int64?
}

/// A row, or a mailbox, that could not be read.
public struct MailboxFault: Sendable, Hashable, Codable {
  /// The table and the row, or the mailbox's address.
  public var subject: String
  /// One sentence.
  public var reason: String

  /// Makes a fault.
  public init(subject: String, reason: String) { (self.subject, self.reason) = (subject, reason) }
}
