// SPDX-License-Identifier: Apache-2.0

/// One attempt to carry a message of a worker's to where it goes: what an adapter is given, and what a command reads
/// and a webhook receives.
public struct Delivery: Sendable, Hashable {
  /// Whose message it is.
  public var mailbox: MailboxAddress
  /// The message.
  public var message: OutboundMessage
  /// Which attempt it is, from 1 on.
  public var attempt: Int

  /// An attempt.
  public init(mailbox: MailboxAddress, message: OutboundMessage, attempt: Int) {
    (self.mailbox, self.message, self.attempt) = (mailbox, message, attempt)
  }

  /// By what a receiver tells that it has had the message before; the same with each attempt (row E04).
  ///
  /// The worker's own key as it is; where it gave none, the message's id with the mailbox before it, because ids are one
  /// mailbox's alone and a receiver hears from many.
  public var idempotencyKey: String {
    message.idempotencyKey == message.id ? "\(mailbox)/\(message.id)" : message.idempotencyKey
  }
}

extension Delivery: Encodable {
  private enum CodingKeys: String, CodingKey {
    case mailbox, id, seq, kind, content, routing, time, attempt
    case inReplyTo = "in_reply_to"
    case idempotencyKey = "idempotency_key"
  }

  /// Writes `{mailbox, id, seq, kind, content, in_reply_to, routing, time, idempotency_key, attempt}`, each always there.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(mailbox, forKey: .mailbox)
    try fields.encode(message.id, forKey: .id)
    try fields.encode(message.seq, forKey: .seq)
    try fields.encode(message.kind, forKey: .kind)
    try fields.encode(message.content, forKey: .content)
    try fields.encode(message.inReplyTo, forKey: .inReplyTo)
    try fields.encode(message.routing, forKey: .routing)
    try fields.encode(message.time, forKey: .time)
    try fields.encode(idempotencyKey, forKey: .idempotencyKey)
    try fields.encode(attempt, forKey: .attempt)
  }
}
