// SPDX-License-Identifier: Apache-2.0

package import HoldfastEngine

/// Reads Gemini CLI's records of a chat: `tmp/<project>/chats/session-<time>-<id>.jsonl`, a sub-agent's at
/// `chats/<session>/<id>.jsonl`; formerly a single JSON text, `session-….json`.
///
/// An answer is written again when more of it is known, under its id; whoever lands the rows keeps the largest of each
/// count. What was taken back has been spent all the same.
package struct GeminiUsageParser: UsageLineParser, UsageDocumentParser {
  private var session: String?
  /// The session that started this one, whose directory it is in.
  private var owner: String?
  private var project: String?

  /// A parser of a file of which nothing is known.
  package init() {}

  /// A parser of the file at a path; what its directory says of the project is looked up.
  package init(path: String) {
    let parts = path.split(separator: "/").map(String.init)
    guard let chats = parts.lastIndex(of: "chats") else { return }
    if parts.count - chats == 3 { owner = WireText.kept(parts[chats + 1], maximumBytes: 256) }
    let directory = "/" + parts[..<chats].joined(separator: "/")
    project = LogProject.name(ofDirectory: TextBeside.line(directory + "/.project_root"))
  }

  package mutating func take(_ line: JSONTape, into batch: inout UsageLogBatch) {
    take(line, 0, into: &batch)
    let change = line.at("$set")
    if line.kind(change) == .object { take(line, change, into: &batch) }
  }

  package func take(document: JSONTape, into batch: inout UsageLogBatch) {
    var parser = self
    parser.take(document, 0, into: &batch)
  }

  private mutating func take(_ line: JSONTape, _ record: Int, into batch: inout UsageLogBatch) {
    session = line.kept(line.at("sessionId", record)) ?? session
    let directories = line.elements(line.at("directories", record))
    if project == nil { project = LogProject.name(ofDirectory: directories.first.flatMap(line.text)) }
    for message in line.elements(line.at("messages", record)) { answer(line, message, into: &batch) }
    answer(line, record, into: &batch)
  }

  private func answer(_ line: JSONTape, _ message: Int, into batch: inout UsageLogBatch) {
    let tokens = line.at("tokens", message)
    guard line.has(line.at("type", message), "gemini"), line.kind(tokens) == .object else { return }
    guard let id = line.kept(line.at("id", message)) else { return batch.refuse("The answer has no id.") }
    guard let time = line.time(line.at("timestamp", message)) else {
      return batch.refuse("The answer has no time.")
    }
    var row = UsageRow(provider: "gemini", model: line.kept(line.at("model", message)) ?? "unknown")
    row.origin = .log
    row.time = time
    row.source = "gemini-cli"
    row.endpoint = .geminiGenerateContent
    row.uid = "gemini-cli:\(session ?? ""):\(id)"
    row.session = owner ?? session
    row.agent = owner == nil ? nil : session
    row.project = project
    row.tool = line.elements(line.at("toolCalls", message)).first.flatMap { line.kept(line.at("name", $0)) }
    var counts = LogCounts(line)
    let prompt = counts.count("input", tokens)
    let cached = counts.count("cached", tokens)
    let tools = counts.count("tool", tokens)
    let output = counts.count("output", tokens)
    let thoughts = counts.count("thoughts", tokens)
    if let problem = counts.problem { return batch.refuse(problem) }
    // The prompt's count includes the cache's; tools' prompts and thoughts stand beside it.
    row.inputTokens = prompt.map { ($0 >= (cached ?? 0) ? $0 - (cached ?? 0) : $0) + (tools ?? 0) }
    row.cacheReadTokens = cached
    row.outputTokens = output.map { $0 + (thoughts ?? 0) } ?? thoughts
    row.reasoningTokens = thoughts
    batch.add(row)
  }
}
