// SPDX-License-Identifier: Apache-2.0

import Foundation
package import HoldfastEngine

/// Reads the tasks of Cline, Roo Code and Kilo Code: `tasks/<id>/ui_messages.json` in the extension's storage, where
/// each request is a message `api_req_started` whose text is JSON with what it used.
///
/// Cline counts the prompt without its cache. The others, since their records name the protocol, count all of it as
/// the prompt, which shows in that it is not less than the cache's part.
package struct ClineUsageParser: UsageDocumentParser {
  /// The model used from a time on.
  package struct Model: Sendable, Hashable {
    var since: Int64
    var provider: String?
    var model: String
  }

  private let source: String
  private let task: String
  private let models: [Model]

  /// A parser of a task.
  package init(source: String = "cline", task: String = "", models: [Model] = []) {
    (self.source, self.task, self.models) = (source, task, models)
  }

  /// A parser of the file at a path; which models were used is looked up in `task_metadata.json` beside it.
  package init(path: String) {
    let parts = path.split(separator: "/").map(String.init)
    let folded = path.lowercased()
    let source =
      folded.contains("roo-cline") || folded.contains("roo-code")
      ? "roo-code" : folded.contains("kilo-code") || folded.contains("kilocode") ? "kilo-code" : "cline"
    let task = parts.count >= 2 ? parts[parts.count - 2] : ""
    let directory = "/" + parts.dropLast().joined(separator: "/")
    var models: [Model] = []
    if let metadata = TextBeside.json(directory + "/task_metadata.json") {
      for use in metadata.elements(metadata.at("model_usage")) {
        guard let model = metadata.kept(metadata.at("model_id", use)) else { continue }
        models.append(
          Model(
            since: metadata.integer(metadata.at("ts", use)) ?? 0,
            provider: metadata.kept(metadata.at("model_provider_id", use)), model: model))
      }
    }
    self.init(
      source: source, task: WireText.kept(task, maximumBytes: 256),
      models: models.sorted { $0.since < $1.since })
  }

  package func take(document: JSONTape, into batch: inout UsageLogBatch) {
    var pending: UsageRow?
    for message in document.elements(0) {
      let kind = document.kept(document.at("say", message)) ?? document.kept(document.at("ask", message))
      switch kind {
      case "api_req_started", "subagent_usage":
        if let row = pending { batch.add(row) }
        pending = request(document, message, kind ?? "", &batch)
      case "tool", "command", "use_mcp_server", "browser_action_launch":
        if pending != nil, pending?.tool == nil { pending?.tool = tool(document, message, kind ?? "") }
      default: break
      }
    }
    if let row = pending { batch.add(row) }
  }

  private func tool(_ document: JSONTape, _ message: Int, _ kind: String) -> String {
    guard kind == "tool", let text = document.text(document.at("text", message)),
      let call = JSONTape(text), let name = call.kept(call.at("tool"))
    else { return kind }
    return name
  }

  private func request(
    _ document: JSONTape, _ message: Int, _ kind: String, _ batch: inout UsageLogBatch
  ) -> UsageRow? {
    guard let text = document.text(document.at("text", message)), let request = JSONTape(text),
      request.isObject
    else { return nil }
    var counts = LogCounts(request)
    let prompt = counts.count("tokensIn", 0)
    let output = counts.count("tokensOut", 0)
    let written = counts.count("cacheWrites", 0)
    let read = counts.count("cacheReads", 0)
    let cost = counts.microdollars("cost", 0)
    if let problem = counts.problem {
      batch.refuse("The request of \(document.raw(document.at("ts", message)).prefix(20)): \(problem)")
      return nil
    }
    // One that is under way, or failed before it was answered, says nothing yet.
    guard [prompt, output, written, read].contains(where: { ($0 ?? 0) > 0 }) else { return nil }
    guard let time = document.milliseconds(document.at("ts", message)) else {
      batch.refuse("A request has no time.")
      return nil
    }
    let used = models.last { $0.since <= time.milliseconds } ?? models.first
    let info = document.at("modelInfo", message)
    let model =
      document.kept(document.at("modelId", info)) ?? request.kept(request.at("modelId")) ?? used?.model
      ?? request.text(request.at("request")).flatMap(Self.model)
    let provider =
      document.kept(document.at("providerId", info)) ?? request.kept(request.at("providerId"))
      ?? used?.provider ?? request.kept(request.at("inferenceProvider"))
      ?? request.kept(request.at("apiProtocol"))
    var row = UsageRow(
      provider: provider.map { $0 == "openai-native" ? "openai" : $0 } ?? "unknown", model: model ?? "unknown"
    )
    row.origin = .log
    row.uid = "\(source):\(task):\(time.milliseconds)" + (kind == "subagent_usage" ? ":subagents" : "")
    row.time = time
    row.source = source
    row.session = task.isEmpty ? nil : task
    if kind == "subagent_usage" { row.agent = "subagents" }
    let cache = (read ?? 0) + (written ?? 0)
    let includesCache = request.text(request.at("apiProtocol")) != nil && (prompt ?? 0) >= cache
    row.inputTokens = prompt.map { includesCache ? $0 - cache : $0 }
    row.cacheReadTokens = read
    row.cacheWrite5mTokens = written
    row.cacheWrite1hTokens = written.map { _ in 0 }
    row.outputTokens = output
    row.reasoningTokens = counts.count("reasoningTokens", 0)
    row.costMicrodollars = cost
    switch request.text(request.at("cancelReason")) {
    case "user_cancelled": row.outcome = .clientLeft
    case "streaming_failed": row.outcome = .streamError
    default: break
    }
    return row
  }

  /// The model that the prompt tells it is asked of: `<model>anthropic/claude-sonnet-4</model>`.
  private static func model(in prompt: String) -> String? {
    guard let start = prompt.range(of: "<model>"),
      let end = prompt.range(of: "</model>", range: start.upperBound..<prompt.endIndex)
    else { return nil }
    let name = WireText.kept(String(prompt[start.upperBound..<end.lowerBound]), maximumBytes: 256)
    return name.isEmpty ? nil : name
  }
}
