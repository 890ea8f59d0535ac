// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// Turns OpenCode's sessions, messages and parts, which are the same JSON in its database and in its files, into
/// the store's.
enum OpenCodeMessage {
  /// What decides the state of a session's messages. OpenCode's ids ascend with time.
  struct Turning: Sendable {
    /// The message from which on everything was taken back, and whether it is itself.
    var revertedFrom: String?
    var isRevertWhole = true
    /// What comes before this, a summary stands for.
    var summary: String?
    /// But for what comes from here on.
    var keptFrom: String?

    func state(of id: String) -> MessageState {
      if let revertedFrom, id > revertedFrom || id == revertedFrom && isRevertWhole { return .undone }
      if let summary, id < summary, keptFrom.map({ id < $0 }) ?? true { return .compacted }
      return .live
    }

    /// Takes the `revert` of a session.
    mutating func revert(_ json: JSONTape, _ place: Int) {
      revertedFrom = json.words(json.at("messageID", place))
      isRevertWhole = json.words(json.at("partID", place)) == nil
    }
  }

  /// A part: its id and its JSON.
  struct Part {
    var id: String
    var json: JSONTape
  }

  /// Adds a message, and its tools' results as messages of their own.
  static func add(
    _ id: String, of session: String, _ json: JSONTape, parts: [Part], time: Int64?, _ turning: Turning,
    into batch: inout TranscriptBatch
  ) {
    let created = TranscriptTime.sinceEpoch(json.number(json.at("created", json.at("time")))) ?? time ?? 0
    var message = TranscriptMessage(
      session: session, uid: id, role: json.words(json.at("role")) ?? "assistant", time: created)
    message.state = turning.state(of: id)
    message.model = json.words(json.at("modelID")) ?? json.words(json.at("modelID", json.at("model")))
    message.finishReason = json.words(json.at("finish"))
    message.counts = counts(json)
    var content = PartsText()
    var calls: [String] = []
    var results: [TranscriptMessage] = []
    for part in parts {
      let json = part.json
      let type = json.at("type")
      if json.has(type, "text") {
        if !json.isTrue(json.at("ignored")) { content.add(text: json.words(json.at("text"))) }
      } else if json.has(type, "reasoning") {
        content.add(reasoning: json.words(json.at("text")))
      } else if json.has(type, "file") {
        content.add(file: json.words(json.at("filename")), type: json.words(json.at("mime")))
      } else if json.has(type, "tool"), let call = json.words(json.at("callID")) {
        let state = json.at("state")
        let input = JSONValue.string(json.raw(json.at("input", state))).json
        calls.append(
          """
          {"id":\(json.raw(json.at("callID"))),"type":"function","function":{"name":\
          \(json.raw(json.at("tool"))),"arguments":\(input)}}
          """)
        guard let output = json.text(json.at("output", state)) ?? json.text(json.at("error", state)) else {
          continue
        }
        var result = TranscriptMessage(
          session: session, uid: part.id, role: "tool",
          time: TranscriptTime.sinceEpoch(json.number(json.at("end", json.at("time", state)))) ?? created)
        (result.content, result.toolCallID, result.state) = (output, call, message.state)
        results.append(result)
      } else if json.has(type, "subtask") {
        content.add(text: json.words(json.at("prompt")))
      }
    }
    (message.content, message.isJSON) = content.column
    if !calls.isEmpty { message.toolCalls = "[" + calls.joined(separator: ",") + "]" }
    // What only asks for a compaction says nothing.
    if message.content.isEmpty, calls.isEmpty, message.counts.isEmpty, message.role == "user" {
      batch.skipped += 1
    } else {
      batch.add(message)
    }
    for result in results { batch.add(result) }
  }

  private static func counts(_ json: JSONTape) -> MessageCounts {
    let tokens = json.at("tokens")
    func count(_ place: Int) -> Int64? { json.integer(place).flatMap { $0 > 0 ? $0 : nil } }
    let cache = json.at("cache", tokens)
    var counts = MessageCounts(
      input: count(json.at("input", tokens)), cacheRead: count(json.at("read", cache)),
      cacheWrite: count(json.at("write", cache)))
    let output = (count(json.at("output", tokens)) ?? 0) + (count(json.at("reasoning", tokens)) ?? 0)
    counts.output = output > 0 ? output : nil
    counts.cost = MessageCounts.microdollars(json.number(json.at("cost")))
    return counts.bounded()
  }
}
