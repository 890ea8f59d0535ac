// SPDX-License-Identifier: Apache-2.0

/// Tool calls of a transcript that nothing answers: a provider refuses the session for ever because of one (D06).
package enum DanglingCalls {
  /// The synthetic results that are missing, each with the `seq` it belongs right after.
  package static func results(for messages: [MessageRecord]) -> [(after: Int64, message: NewMessage)] {
    var answered: Set<String> = []
    for message in messages.map(\.message) {
      if let id = message.toolCallID { answered.insert(id) }
      for part in parts(message.content) where part["type"]?.text == "tool_result" {
        if let id = part["tool_use_id"]?.text { answered.insert(id) }
      }
    }
    var results: [(after: Int64, message: NewMessage)] = []
    for record in messages where record.message.role == "assistant" {
      if case .array(let calls) = record.message.toolCalls {
        for id in calls.compactMap({ $0["id"]?.text }) where answered.insert(id).inserted {
          var result = NewMessage(uid: uid(record.seq, id), role: "tool", text)
          result.toolCallID = id
          results.append((record.seq, result))
        }
      }
      let open = parts(record.message.content).filter { $0["type"]?.text == "tool_use" }
        .compactMap { $0["id"]?.text }.filter { answered.insert($0).inserted }
      if !open.isEmpty {
        // Anthropic wants all results of one message in the one after it.
        let parts = open.map { id in
          JSONValue.object([
            "type": .string("tool_result"), "tool_use_id": .string(id), "is_error": .bool(true),
            "content": .string(text),
          ])
        }
        results.append(
          (record.seq, NewMessage(uid: uid(record.seq, open[0]), role: "user", content: .json(.array(parts))))
        )
      }
    }
    return results
  }

  private static let text = "[The tool was interrupted before it answered; its effects are unknown.]"

  /// Follows from the call, so that of several that repair at once only one adds it.
  private static func uid(_ seq: Int64, _ id: String) -> String { "repair-\(seq)-\(id.prefix(900))" }

  private static func parts(_ content: MessageContent) -> [JSONValue] {
    if case .json(.array(let parts)) = content { parts } else { [] }
  }
}
