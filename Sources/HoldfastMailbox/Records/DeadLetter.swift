// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// A message that went no further, kept whole.
public struct DeadLetter: Sendable, Hashable, Codable {
  /// Which way it was going.
  public enum Direction: String, Sendable, Hashable, Codable {
    /// To the worker.
    case inbound = "in"
    /// From the worker.
    case outbound = "out"
  }

  /// What the message is called.
  public var id: String
  /// Which way it was going.
  public var direction: Direction
  /// Its place among those of its direction.
  public var seq: Int64
  /// What sort of message it is.
  public var kind: String
  /// What it says; the bytes are in the file as they were.
  public var content: MailboxContent
  /// Where it was to go.
  public var routing: MailboxContent?
  /// Why it went no further, as in `tries-used-up`.
  public var reason: String
  /// What was said when it was last tried.
  public var error: String?
  /// How often it was tried.
  public var tries: Int
  /// When it became one.
  public var time: UTCInstant
  /// When it was last put back to be tried again.
  public var retriedAt: UTCInstant?

  private enum CodingKeys: String, CodingKey {
    case id, direction, seq, kind, content, routing, reason, error, tries, time
    case retriedAt = "retried_at"
  }
}
