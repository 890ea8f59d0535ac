// SPDX-License-Identifier: Apache-2.0

import HoldfastSessions
import HoldfastUsage

/// Reads the messages out of requests and answers, whole or streamed, of the APIs that have any.
///
/// Shapes: Anthropic Messages, OpenAI chat completions (and the older completions), OpenAI responses. What is sent
/// upstream is never touched: this reads a copy, after it has gone.
enum WireConversation {
  /// What a request told.
  struct Request: Sendable, Hashable {
    var messages: [NewMessage]
    /// The answer it goes on from, where the server keeps the history.
    var continues: String?
    var model: String?
  }

  /// The messages of a request; nil when the body is none of its kind.
  static func request(_ body: JSONValue, _ kind: WireKind) -> Request? {
    let model = body["model"]?.text
    switch kind {
    case .anthropicMessages:
      guard case .array(let list)? = body["messages"] else { return nil }
      return Request(messages: list.compactMap(anthropicMessage), model: model)
    case .openAIChat:
      if case .array(let list)? = body["messages"] {
        return Request(messages: list.compactMap(chatMessage), model: model)
      }
      guard let prompt = body["prompt"]?.text else { return nil }
      return Request(messages: [NewMessage(role: "user", prompt)], model: model)
    case .openAIResponses:
      // The history of either is the server's.
      let before =
        body["previous_response_id"]?.text ?? body["conversation"]?.text ?? body["conversation"]?["id"]?.text
      switch body["input"] {
      case .string(let text):
        return Request(messages: [NewMessage(role: "user", text)], continues: before, model: model)
      case .array(let items):
        return Request(messages: items.compactMap(item), continues: before, model: model)
      default: return nil
      }
    default: return nil
    }
  }

  // MARK: - Messages

  static func anthropicMessage(_ value: JSONValue) -> NewMessage? {
    guard let role = value["role"]?.text, !role.isEmpty else { return nil }
    return CapturedContent.bounded(NewMessage(role: role, content: content(value["content"])))
  }

  static func chatMessage(_ value: JSONValue) -> NewMessage? {
    guard let role = value["role"]?.text, !role.isEmpty else { return nil }
    var message = NewMessage(role: role, content: content(value["content"]))
    if case .text("") = message.content, let refusal = value["refusal"]?.text {
      message.content = .text(refusal)
    }
    if case .array(let calls)? = value["tool_calls"], !calls.isEmpty { message.toolCalls = .array(calls) }
    message.toolCallID = value["tool_call_id"]?.text
    return CapturedContent.bounded(message)
  }

  /// An item of a response, or of the input of a request. Reasoning is not part of a transcript: it is sealed.
  static func item(_ value: JSONValue) -> NewMessage? {
    switch value["type"]?.text {
    case nil, "message":
      guard let role = value["role"]?.text, !role.isEmpty else { return nil }
      return CapturedContent.bounded(NewMessage(role: role, content: content(value["content"])))
    case "function_call", "custom_tool_call":
      var message = NewMessage(role: "assistant", "")
      // As chat completions have it, so that whoever resumes a session knows one form.
      message.toolCalls = .array([
        .object([
          "id": value["call_id"] ?? value["id"] ?? .null, "type": .string("function"),
          "function": .object([
            "name": value["name"] ?? .null, "arguments": value["arguments"] ?? value["input"] ?? .null,
          ]),
        ])
      ])
      return CapturedContent.bounded(message)
    case "function_call_output", "custom_tool_call_output":
      var message = NewMessage(role: "tool", content: content(value["output"]))
      message.toolCallID = value["call_id"]?.text
      return CapturedContent.bounded(message)
    case "reasoning", "item_reference": return nil
    default:
      let role = value["role"]?.text ?? (value["output"] == nil ? "assistant" : "tool")
      return CapturedContent.bounded(NewMessage(role: role, content: .json(.array([value]))))
    }
  }

  /// A text, or parts; a single part of text is a text.
  static func content(_ value: JSONValue?) -> MessageContent {
    switch value {
    case nil, .null?: return .text("")
    case .string(let text)?: return .text(text)
    case .array(let parts)?:
      let plain = parts.map(withoutMarks)
      if plain.isEmpty { return .text("") }
      if plain.count == 1, let text = plain[0]["text"]?.text,
        ["text", "input_text", "output_text"].contains(plain[0]["type"]?.text)
      {
        return .text(text)
      }
      return .json(.array(plain))
    case .some(let other): return .json(other)
    }
  }

  /// A cache breakpoint is no content, and moves from request to request.
  private static func withoutMarks(_ part: JSONValue) -> JSONValue {
    guard case .object(var fields) = part, fields["cache_control"] != nil else { return part }
    fields["cache_control"] = nil
    return .object(fields)
  }
}

/// Keeps what is captured within what the spool takes at once.
enum CapturedContent {
  /// Bytes of a picture, a sound or a file in a message.
  static let mostMedia = 64 << 10
  /// Bytes of a message's content and calls, about.
  static let most = 1 << 20

  /// The message, with media and endless texts cut short, each with a word about it.
  static func bounded(_ message: NewMessage) -> NewMessage {
    var message = message
    switch message.content {
    case .text(let text): message.content = .text(bounded(text, to: most))
    case .json(let value):
      var room = most
      message.content = .json(bounded(value, under: nil, &room))
    }
    if let calls = message.toolCalls {
      var room = most
      message.toolCalls = bounded(calls, under: nil, &room)
    }
    return message
  }

  private static func bounded(_ value: JSONValue, under key: String?, _ room: inout Int) -> JSONValue {
    switch value {
    case .string(let text):
      let isMedia = key == "data" || key == "file_data" || text.utf8.starts(with: "data:".utf8)
      let kept = bounded(text, to: max(min(isMedia ? mostMedia : most, room), 0), isWhole: isMedia)
      room -= kept.utf8.count
      return .string(kept)
    case .array(let list): return .array(list.map { bounded($0, under: nil, &room) })
    case .object(let fields):
      var out: [String: JSONValue] = [:]
      // In one order, so that a message is cut the same way each time it is told.
      for (name, field) in fields.sorted(by: { $0.key < $1.key }) {
        room -= name.utf8.count
        out[name] = bounded(field, under: name, &room)
      }
      return .object(out)
    default: return value
    }
  }

  /// - Parameter isWhole: half of it is of no use to anybody.
  private static func bounded(_ text: String, to limit: Int, isWhole: Bool = false) -> String {
    let count = text.utf8.count
    guard count > limit else { return text }
    let kept = isWhole ? "" : String(decoding: text.utf8.prefix(limit), as: UTF8.self)
    return "\(kept)[\(count) bytes, not captured as a whole]"
  }
}
