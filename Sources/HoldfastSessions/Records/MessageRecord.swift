// SPDX-License-Identifier: Apache-2.0

/// What a message says: a text, or parts as JSON. In JSON a text is a string and anything else itself.
public enum MessageContent: Sendable, Hashable, Codable {
  /// A text.
  case text(String)
  /// Parts, as the provider shapes them.
  case json(JSONValue)

  /// Reads a string as text and anything else as JSON.
  public init(from decoder: any Decoder) throws {
    let value = try JSONValue(from: decoder)
    self = value.text.map(MessageContent.text) ?? .json(value)
  }

  /// Writes the text or the JSON.
  public func encode(to encoder: any Encoder) throws {
    switch self {
    case .text(let text): try text.encode(to: encoder)
    case .json(let value): try value.encode(to: encoder)
    }
  }
}

/// Whether a message counts for the next request.
public enum MessageState: String, Sendable, Hashable, Codable, CaseIterable {
  /// It does.
  case live
  /// A summary stands for it.
  case compacted
  /// It was taken back.
  case undone
}

/// A message to be appended, as `holdfast sessions append` reads it.
public struct NewMessage: Sendable, Hashable, Codable {
  /// Its identity within the session; the same uid again is the same message. Nil mints one.
  public var uid: String?
  /// Who speaks: `user`, `assistant`, `tool`, `system`…
  public var role: String
  /// What it says.
  public var content: MessageContent
  /// The tool calls of an assistant's message, as the provider shapes them.
  public var toolCalls: JSONValue?
  /// The call a tool's message answers.
  public var toolCallID: String?
  /// The model that wrote it.
  public var model: String?
  /// Why the model stopped.
  public var finishReason: String?
  /// When it was written, RFC 3339; now when nil. Nothing is ordered by it.
  public var time: String?
  /// Prompt tokens outside any cache.
  public var inputTokens: Int64?
  /// Prompt tokens read from a cache.
  public var cacheReadTokens: Int64?
  /// Prompt tokens written to a cache.
  public var cacheWriteTokens: Int64?
  /// Tokens produced.
  public var outputTokens: Int64?
  /// Millionths of a dollar.
  public var costMicrodollars: Int64?

  /// A message of text.
  public init(uid: String? = nil, role: String, _ text: String) {
    self.init(uid: uid, role: role, content: .text(text))
  }

  /// A message.
  public init(uid: String? = nil, role: String, content: MessageContent) {
    (self.uid, self.role, self.content) = (uid, role, content)
  }

  enum CodingKeys: String, CodingKey {
    case uid, role, content, model, time
    case toolCalls = "tool_calls"
    case toolCallID = "tool_call_id"
    case finishReason = "finish_reason"
    case inputTokens = "input_tokens"
    case cacheReadTokens = "cache_read_tokens"
    case cacheWriteTokens = "cache_write_tokens"
    case outputTokens = "output_tokens"
    case costMicrodollars = "cost_microusd"
  }
}

/// What became of an appended message; in JSON `{uid, seq}` and what else is true of it.
public struct MessageAcknowledgement: Sendable, Hashable, Codable {
  /// Its uid in the store.
  public var uid: String
  /// Its place in the session.
  public var seq: Int64
  /// True when it was there already.
  public var duplicate: Bool?
  /// The uid it was sent with, when another message has that (row D05).
  public var wantedUID: String?
  /// Fields of which something could not be stored and was replaced by U+FFFD (row D01).
  public var repaired: [String]?

  /// What became of a message.
  public init(
    uid: String, seq: Int64, duplicate: Bool? = nil, wantedUID: String? = nil, repaired: [String]? = nil
  ) {
    (self.uid, self.seq, self.duplicate) = (uid, seq, duplicate)
    (self.wantedUID, self.repaired) = (wantedUID, repaired)
  }

  enum CodingKeys: String, CodingKey {
    case uid, seq, duplicate, repaired
    case wantedUID = "wanted_uid"
  }
}

/// A message as it is in the store.
public struct MessageRecord: Sendable, Hashable, Codable {
  /// Its place in the session.
  public var seq: Int64
  /// Its state.
  public var state: MessageState
  /// True for a tool's result that resume made up.
  public var synthetic: Bool
  /// True while its end has not been written.
  public var streaming: Bool
  /// Everything else, `uid` and `time` filled in.
  public var message: NewMessage

  private enum CodingKeys: String, CodingKey { case seq, state, synthetic, streaming }

  /// A message.
  public init(seq: Int64, state: MessageState, synthetic: Bool, streaming: Bool, message: NewMessage) {
    (self.seq, self.state, self.synthetic, self.streaming) = (seq, state, synthetic, streaming)
    self.message = message
  }

  /// Reads one flat object.
  public init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: CodingKeys.self)
    self.init(
      seq: try fields.decode(Int64.self, forKey: .seq),
      state: try fields.decodeIfPresent(MessageState.self, forKey: .state) ?? .live,
      synthetic: try fields.decodeIfPresent(Bool.self, forKey: .synthetic) ?? false,
      streaming: try fields.decodeIfPresent(Bool.self, forKey: .streaming) ?? false,
      message: try NewMessage(from: decoder))
  }

  /// Writes one flat object.
  public func encode(to encoder: any Encoder) throws {
    try message.encode(to: encoder)
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(seq, forKey: .seq)
    try fields.encode(state, forKey: .state)
    if synthetic { try fields.encode(true, forKey: .synthetic) }
    if streaming { try fields.encode(true, forKey: .streaming) }
  }
}
