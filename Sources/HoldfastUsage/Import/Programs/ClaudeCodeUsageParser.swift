// SPDX-License-Identifier: Apache-2.0

package import HoldfastEngine

/// Reads Claude Code's transcripts: `projects/<directory>/<session>.jsonl`, and for each sub-agent
/// `<session>/subagents/agent-<id>.jsonl`, formerly `agent-<id>.jsonl` beside it.
///
/// A response stands there as one line for each of its blocks, all with its ids and the usage so far; whoever lands
/// the rows keeps the largest of each count. A fork's copies have the same ids.
package struct ClaudeCodeUsageParser: UsageLineParser {
  /// The session the file's name tells, for lines that do not say it.
  private var session: String?
  /// The sub-agent whose file it is.
  private var agent: String?
  /// The directory the file's session began in: it stays the project when the program changes to another.
  private var project: String?

  /// A parser of a file of which nothing is known.
  package init() {}

  /// A parser of the file at a path, which is not opened.
  package init(path: String) {
    let parts = path.split(separator: "/").map(String.init)
    guard let name = parts.last else { return }
    let stem = name.hasSuffix(".jsonl") ? String(name.dropLast(6)) : name
    guard stem.hasPrefix("agent-") else {
      session = WireText.kept(stem, maximumBytes: 256)
      return
    }
    agent = WireText.kept(String(stem.dropFirst(6)), maximumBytes: 256)
    if parts.count >= 3, parts[parts.count - 2] == "subagents" {
      session = WireText.kept(parts[parts.count - 3], maximumBytes: 256)
    }
  }

  package mutating func take(_ line: JSONTape, into batch: inout UsageLogBatch) {
    if project == nil { project = LogProject.name(ofDirectory: line.text(line.at("cwd"))) }
    guard line.has(line.at("type"), "assistant") else { return }
    let message = line.at("message")
    let usage = line.at("usage", message)
    // What the program says itself is of a model of this name and no request.
    guard line.kind(usage) == .object, !line.has(line.at("model", message), "<synthetic>") else { return }
    guard let model = line.kept(line.at("model", message)) else {
      return batch.refuse("The answer names no model.")
    }
    guard let time = line.time(line.at("timestamp")) else { return batch.refuse("The answer has no time.") }
    var row = UsageRow(provider: "anthropic", model: model)
    row.origin = .log
    row.time = time
    row.source = "claude-code"
    row.endpoint = .anthropicMessages
    row.requestID = line.kept(line.at("requestId"))
    row.responseID = line.kept(line.at("id", message))
    guard let uid = uid(row, line) else { return batch.refuse("The answer has no id.") }
    row.uid = uid
    // A fork's copies were somebody else's requests.
    row.session =
      line.kept(line.at("sessionId", line.at("forkedFrom"))) ?? line.kept(line.at("sessionId")) ?? session
    row.agent = agent ?? line.kept(line.at("agentId"))
    row.project = project
    row.stopReason = line.kept(line.at("stop_reason", message))
    row.tool = tool(line, message)
    if let problem = Self.counts(line, usage, &row) { return batch.refuse(problem) }
    batch.add(row)
  }

  private func uid(_ row: UsageRow, _ line: JSONTape) -> String? {
    switch (row.responseID, row.requestID) {
    case (let message?, let request?): "claude-code:\(message):\(request)"
    case (let id?, nil), (nil, let id?): "claude-code:\(id)"
    case (nil, nil): line.kept(line.at("uuid")).map { "claude-code:\($0)" }
    }
  }

  private func tool(_ line: JSONTape, _ message: Int) -> String? {
    for block in line.elements(line.at("content", message))
    where line.has(line.at("type", block), "tool_use") || line.has(line.at("type", block), "server_tool_use")
    {
      return line.kept(line.at("name", block))
    }
    return nil
  }

  /// Fills in what the response used; says what cannot be true.
  private static func counts(_ line: JSONTape, _ usage: Int, _ row: inout UsageRow) -> String? {
    var counts = LogCounts(line)
    row.inputTokens = counts.count("input_tokens", usage)
    row.outputTokens = counts.count("output_tokens", usage)
    row.cacheReadTokens = counts.count("cache_read_input_tokens", usage)
    let written = counts.count("cache_creation_input_tokens", usage)
    let split = line.at("cache_creation", usage)
    let short = counts.count("ephemeral_5m_input_tokens", split)
    let long = counts.count("ephemeral_1h_input_tokens", split)
    if short != nil || long != nil {
      (row.cacheWrite5mTokens, row.cacheWrite1hTokens) = (short ?? 0, long ?? 0)
      // The split is the newer field; where it does not come to the sum the rest is of the usual kind.
      if let written, let rest = [written - (short ?? 0) - (long ?? 0)].first(where: { $0 > 0 }) {
        row.cacheWrite5mTokens = (short ?? 0) + rest
      }
    } else {
      (row.cacheWrite5mTokens, row.cacheWrite1hTokens) = (written, written.map { _ in 0 })
    }
    let details = line.at("output_tokens_details", usage)
    row.reasoningTokens =
      counts.count("thinking_tokens", details) ?? counts.count("reasoning_tokens", details)
    row.webSearches = counts.count("web_search_requests", line.at("server_tool_use", usage))
    row.costMicrodollars = counts.microdollars("costUSD", 0)
    row.serviceTier = line.kept(line.at("service_tier", usage))
    row.speed = line.kept(line.at("speed", usage))
    row.inferenceGeo = line.kept(line.at("inference_geo", usage))
    return counts.problem
  }
}
