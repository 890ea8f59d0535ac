// SPDX-License-Identifier: Apache-2.0

import HoldfastSessions
import HoldfastUsage

/// Puts the messages of an answer together, from its body or from the events of its stream.
struct WireAnswer: Sendable, Hashable {
  /// What was answered; empty when nothing was said.
  var messages: [NewMessage] = []
  /// What the provider calls it.
  var id: String?
  /// Whether it came to its end.
  var isWhole = false

  /// Reads a body that is no stream; nil when it is none of its kind.
  static func body(_ bytes: [UInt8], _ kind: WireKind) -> WireAnswer? {
    guard let value = JSONValue(wire: bytes) else { return nil }
    return whole(value, kind)
  }

  private static func whole(_ value: JSONValue, _ kind: WireKind) -> WireAnswer? {
    var answer = WireAnswer(id: value["id"]?.text, isWhole: true)
    let model = value["model"]?.text
    switch kind {
    case .anthropicMessages:
      guard var message = WireConversation.anthropicMessage(value) else { return nil }
      (message.model, message.finishReason) = (model, value["stop_reason"]?.text)
      answer.messages = [message]
    case .openAIChat:
      guard case .array(let choices)? = value["choices"] else { return nil }
      for choice in choices {
        var told = choice["message"].flatMap(WireConversation.chatMessage)
        if told == nil, let text = choice["text"]?.text { told = NewMessage(role: "assistant", text) }
        guard var message = told else { continue }
        (message.model, message.finishReason) = (model, choice["finish_reason"]?.text)
        answer.messages.append(message)
      }
    case .openAIResponses:
      guard case .array(let items)? = value["output"] else { return nil }
      answer.messages = items.compactMap(WireConversation.item).map { message in
        var message = message
        message.model = model
        return message
      }
      let status = value["status"]?.text
      if let last = answer.messages.indices.last { answer.messages[last].finishReason = status }
      answer.isWhole = status != "in_progress" && status != "queued"
    default: return nil
    }
    return answer
  }

  /// Reads the events of a stream.
  static func stream(_ bytes: [UInt8], _ kind: WireKind) -> WireAnswer? {
    var events = Events(kind: kind)
    var parser = SSEParser()
    parser.consume(bytes.span, into: &events)
    return events.answer
  }

  /// Gathers the data of each event and what it adds.
  private struct Events: SSESink {
    let kind: WireKind
    private var data: [UInt8] = []
    private var anthropic = AnthropicStream()
    private var chat = ChatStream()
    private var responses = ResponsesStream()

    init(kind: WireKind) { self.kind = kind }

    mutating func data(_ fragment: Span<UInt8>, event: [UInt8]) {
      data.reserveCapacity(data.count + fragment.count)
      for index in 0..<fragment.count { data.append(fragment[index]) }
    }

    mutating func dispatch(event: [UInt8]) {
      defer { data.removeAll(keepingCapacity: true) }
      if data.elementsEqual("[DONE]".utf8) {
        chat.isWhole = true
        return
      }
      guard let value = JSONValue(wire: data) else { return }
      switch kind {
      case .anthropicMessages: anthropic.take(value)
      case .openAIChat: chat.take(value)
      case .openAIResponses: responses.take(value)
      default: break
      }
    }

    var answer: WireAnswer? {
      switch kind {
      case .anthropicMessages: anthropic.answer
      case .openAIChat: chat.answer
      case .openAIResponses: responses.answer
      default: nil
      }
    }
  }

  /// message_start, content_block_start, _delta, _stop, message_delta, message_stop.
  private struct AnthropicStream {
    private var start: JSONValue?
    private var blocks: [Int64: [String: JSONValue]] = [:]
    private var inputs: [Int64: String] = [:]
    private var stopReason: String?
    private var isWhole = false

    mutating func take(_ event: JSONValue) {
      let index: Int64 = if case .integer(let number)? = event["index"] { number } else { 0 }
      switch event["type"]?.text {
      case "message_start": start = event["message"]
      case "content_block_start":
        if case .object(let block)? = event["content_block"] { blocks[index] = block }
      case "content_block_delta":
        guard let delta = event["delta"] else { return }
        switch delta["type"]?.text {
        case "text_delta": add(delta["text"], to: "text", of: index)
        case "thinking_delta": add(delta["thinking"], to: "thinking", of: index)
        case "signature_delta": add(delta["signature"], to: "signature", of: index)
        case "input_json_delta": inputs[index, default: ""] += delta["partial_json"]?.text ?? ""
        default: break
        }
      case "message_delta": stopReason = event["delta"]?["stop_reason"]?.text ?? stopReason
      case "message_stop": isWhole = true
      default: break
      }
    }

    private mutating func add(_ piece: JSONValue?, to field: String, of index: Int64) {
      let before = blocks[index]?[field]?.text ?? ""
      blocks[index, default: ["type": .string(field)]][field] = .string(before + (piece?.text ?? ""))
    }

    var answer: WireAnswer? {
      guard let start else { return nil }
      let parts = blocks.sorted { $0.key < $1.key }.compactMap { index, block -> JSONValue? in
        var block = block
        if let input = inputs[index], !input.isEmpty {
          guard let value = JSONValue(wire: Array(input.utf8)) else {
            // Cut inside a call: half of one is none.
            return nil
          }
          block["input"] = value
        }
        return .object(block)
      }
      var answer = WireAnswer(id: start["id"]?.text, isWhole: isWhole)
      let isSaid = parts.contains { $0["text"]?.text?.isEmpty != true || $0["type"]?.text != "text" }
      if isSaid,
        let told = WireConversation.anthropicMessage(
          .object(["role": start["role"] ?? .string("assistant"), "content": .array(parts)]))
      {
        var message = told
        (message.model, message.finishReason) = (start["model"]?.text, stopReason)
        answer.messages = [message]
      }
      return answer
    }
  }

  /// Chunks with `choices[].delta`, and `[DONE]`.
  private struct ChatStream {
    private struct Choice {
      var role = "assistant"
      var text = ""
      var refusal = ""
      var calls: [Int64: (id: String, name: String, arguments: String)] = [:]
      var finishReason: String?
    }

    var isWhole = false
    private var id: String?
    private var model: String?
    private var choices: [Int64: Choice] = [:]

    mutating func take(_ chunk: JSONValue) {
      id = id ?? chunk["id"]?.text
      model = model ?? chunk["model"]?.text
      guard case .array(let list)? = chunk["choices"] else { return }
      for value in list {
        let index: Int64 = if case .integer(let number)? = value["index"] { number } else { 0 }
        var choice = choices[index] ?? Choice()
        if let role = value["delta"]?["role"]?.text, !role.isEmpty { choice.role = role }
        choice.text += value["delta"]?["content"]?.text ?? value["text"]?.text ?? ""
        choice.refusal += value["delta"]?["refusal"]?.text ?? ""
        if case .array(let calls)? = value["delta"]?["tool_calls"] {
          for (position, call) in calls.enumerated() {
            let place: Int64 =
              if case .integer(let number)? = call["index"] { number } else { Int64(position) }
            var known = choice.calls[place] ?? ("", "", "")
            if let id = call["id"]?.text, !id.isEmpty { known.id = id }
            known.name += call["function"]?["name"]?.text ?? ""
            known.arguments += call["function"]?["arguments"]?.text ?? ""
            choice.calls[place] = known
          }
        }
        choice.finishReason = value["finish_reason"]?.text ?? choice.finishReason
        choices[index] = choice
      }
    }

    var answer: WireAnswer? {
      guard id != nil || !choices.isEmpty else { return nil }
      let isEnded = !choices.isEmpty && choices.values.allSatisfy { $0.finishReason != nil }
      var answer = WireAnswer(id: id, isWhole: isWhole || isEnded)
      for (_, choice) in choices.sorted(by: { $0.key < $1.key }) {
        var message = NewMessage(role: choice.role, choice.text.isEmpty ? choice.refusal : choice.text)
        // A call that was cut is none.
        let calls = answer.isWhole ? choice.calls : [:]
        if !calls.isEmpty {
          message.toolCalls = .array(
            calls.sorted { $0.key < $1.key }.map { _, call in
              .object([
                "id": .string(call.id), "type": .string("function"),
                "function": .object(["name": .string(call.name), "arguments": .string(call.arguments)]),
              ])
            })
        }
        guard message.content != .text("") || message.toolCalls != nil else { continue }
        (message.model, message.finishReason) = (model, choice.finishReason)
        answer.messages.append(CapturedContent.bounded(message))
      }
      return answer
    }
  }

  /// The last event holds the whole response; before it, items as they end and pieces of text.
  private struct ResponsesStream {
    private var final: WireAnswer?
    private var id: String?
    private var model: String?
    private var items: [Int64: JSONValue] = [:]
    private var texts: [Int64: String] = [:]

    mutating func take(_ event: JSONValue) {
      let index: Int64 = if case .integer(let number)? = event["output_index"] { number } else { 0 }
      switch event["type"]?.text {
      case "response.created", "response.in_progress":
        id = event["response"]?["id"]?.text ?? id
        model = event["response"]?["model"]?.text ?? model
      case "response.output_text.delta": texts[index, default: ""] += event["delta"]?.text ?? ""
      case "response.output_item.done": items[index] = event["item"]
      case "response.completed", "response.incomplete", "response.failed":
        guard let response = event["response"] else { return }
        final = WireAnswer.whole(response, .openAIResponses)
      default: break
      }
    }

    var answer: WireAnswer? {
      if let final, !final.messages.isEmpty || items.isEmpty { return final }
      guard final != nil || id != nil || !items.isEmpty || !texts.isEmpty else { return nil }
      // Cut, or a server that ends with a response without its output.
      var answer = WireAnswer(id: final?.id ?? id, isWhole: final != nil)
      for index in Set(items.keys).union(texts.keys).sorted() {
        let told =
          items[index].flatMap(WireConversation.item)
          ?? (items[index] == nil ? texts[index].map { NewMessage(role: "assistant", $0) } : nil)
        guard var message = told else { continue }
        message.model = model
        answer.messages.append(CapturedContent.bounded(message))
      }
      return answer
    }
  }
}
