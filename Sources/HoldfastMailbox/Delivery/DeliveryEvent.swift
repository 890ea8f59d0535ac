// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// One thing that happened to a message of a worker's on its way, as `holdfast supervise --json` prints it.
public struct DeliveryEvent: Sendable, Hashable {
  /// What it was.
  public enum News: Sendable, Hashable {
    /// The receiver has it, after so many attempts.
    case delivered(id: String, kind: String, attempts: Int)
    /// An attempt failed; the next is at a moment.
    case postponed(id: String, kind: String, attempts: Int, error: String, next: UTCInstant)
    /// It went no further.
    case dead(id: String, kind: String, attempts: Int, reason: String, error: String)
    /// Nobody carries messages of this kind, so they wait to be received. Told once for a mailbox and kind.
    case unrouted(kind: String)
    /// The mailbox could not be read or written; it is tried again. Told when it stays so.
    case troubled(message: String, failures: Int)
  }

  /// When.
  public var time: UTCInstant
  /// In whose mailbox.
  public var mailbox: MailboxAddress
  /// What.
  public var news: News

  /// A sentence for a person, without whose message it is.
  public var sentence: String {
    switch news {
    case .delivered(let id, let kind, let attempts):
      "\(kind) \(id) was delivered" + (attempts > 1 ? ", after \(attempts) attempts" : "")
    case .postponed(let id, let kind, let attempts, let error, let next):
      "\(kind) \(id) is tried again at \(next), after \(attempts) attempts: \(error)"
    case .dead(let id, let kind, let attempts, let reason, let error):
      "\(kind) \(id) is a dead letter after \(attempts) attempts (\(reason)): \(error)"
    case .unrouted(let kind): "nobody carries messages of kind \(kind); they wait to be received"
    case .troubled(let message, let failures): "trouble at delivery, \(failures) in a row: \(message)"
    }
  }
}

extension DeliveryEvent: Encodable {
  private enum CodingKeys: String, CodingKey {
    case time, mailbox, event, id, kind, attempts, reason, error, next, stage, message, failures
  }

  /// Writes the fields that the event has.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(time.description, forKey: .time)
    try fields.encode(mailbox, forKey: .mailbox)
    switch news {
    case .delivered(let id, let kind, let attempts):
      try fields.encode("delivered", forKey: .event)
      try fields.encode(id, forKey: .id)
      try fields.encode(kind, forKey: .kind)
      try fields.encode(attempts, forKey: .attempts)
    case .postponed(let id, let kind, let attempts, let error, let next):
      try fields.encode("postponed", forKey: .event)
      try fields.encode(id, forKey: .id)
      try fields.encode(kind, forKey: .kind)
      try fields.encode(attempts, forKey: .attempts)
      try fields.encode(error, forKey: .error)
      try fields.encode(next.description, forKey: .next)
    case .dead(let id, let kind, let attempts, let reason, let error):
      try fields.encode("dead", forKey: .event)
      try fields.encode(id, forKey: .id)
      try fields.encode(kind, forKey: .kind)
      try fields.encode(attempts, forKey: .attempts)
      try fields.encode(reason, forKey: .reason)
      try fields.encode(error, forKey: .error)
    case .unrouted(let kind):
      try fields.encode("unrouted", forKey: .event)
      try fields.encode(kind, forKey: .kind)
    case .troubled(let message, let failures):
      try fields.encode("troubled", forKey: .event)
      try fields.encode("deliver", forKey: .stage)
      try fields.encode(message, forKey: .message)
      try fields.encode(failures, forKey: .failures)
    }
  }
}
