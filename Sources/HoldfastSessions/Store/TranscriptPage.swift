// SPDX-License-Identifier: Apache-2.0

/// Which piece of a transcript is wanted.
public struct TranscriptPage: Sendable, Hashable {
  /// Where a piece is.
  public enum Place: Sendable, Hashable {
    /// At the beginning.
    case start
    /// At the end.
    case end
    /// Right after a place.
    case after(MessagePlace)
    /// Right before a place.
    case before(MessagePlace)
    /// From the message with this `seq` on, or where it would stand.
    case from(seq: Int64)
  }

  /// Where it is.
  public var place: Place
  /// Messages at most.
  public var limit: Int
  /// Messages of other states are left out.
  public var states: Set<MessageState>
  /// A piece ends after the message with which its contents reach this, so that a page of large ones stays small.
  public var maximumBytes: Int

  /// A piece; the first 200 live messages, or 4 MB of them, unless said otherwise.
  public init(
    _ place: Place = .start, limit: Int = 200, states: Set<MessageState> = [.live],
    maximumBytes: Int = 4 << 20
  ) {
    self.place = place
    self.limit = min(max(limit, 1), 10_000)
    self.states = states
    self.maximumBytes = maximumBytes
  }
}

/// A place between the messages of a session, in the order they are read; as text, for a URL.
public struct MessagePlace: Sendable, Hashable, Codable, LosslessStringConvertible {
  package var after: Int64
  package var isPlaced: Bool
  package var seq: Int64

  package init(after: Int64, isPlaced: Bool, seq: Int64) {
    (self.after, self.isPlaced, self.seq) = (after, isPlaced, seq)
  }

  /// Before every message.
  package static let start = MessagePlace(after: -1, isPlaced: false, seq: -1)
  /// After every message.
  package static let end = MessagePlace(after: .max, isPlaced: true, seq: .max)

  /// Reads what ``description`` wrote; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { Int64($0) }
    guard parts.count == 3, let after = parts[0], let isPlaced = parts[1], let seq = parts[2],
      (0...1).contains(isPlaced)
    else { return nil }
    self.init(after: after, isPlaced: isPlaced == 1, seq: seq)
  }

  /// The place as text, to be given back as it is.
  public var description: String { "\(after).\(isPlaced ? 1 : 0).\(seq)" }

  /// Reads the text.
  public init(from decoder: any Decoder) throws {
    let text = try decoder.singleValueContainer().decode(String.self)
    guard let place = MessagePlace(text) else {
      throw SessionError(.unreadable, "“\(text)” is no place in a transcript.")
    }
    self = place
  }

  /// Writes the text.
  public func encode(to encoder: any Encoder) throws {
    var value = encoder.singleValueContainer()
    try value.encode(description)
  }
}

/// A place in the list of sessions; as text, for a URL.
public struct SessionPlace: Sendable, Hashable, LosslessStringConvertible {
  package var lastActive: Int64
  package var key: Int64

  package init(lastActive: Int64, key: Int64) { (self.lastActive, self.key) = (lastActive, key) }

  /// Reads what ``description`` wrote; nil for anything else.
  public init?(_ text: String) {
    let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { Int64($0) }
    guard parts.count == 2, let lastActive = parts[0], let key = parts[1] else { return nil }
    self.init(lastActive: lastActive, key: key)
  }

  /// The place as text, to be given back as it is.
  public var description: String { "\(lastActive).\(key)" }
}
