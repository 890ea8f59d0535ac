// SPDX-License-Identifier: Apache-2.0

/// Who made a request, told from its headers alone.
public struct RequestOrigin: Sendable, Hashable {
  /// The program: `claude-code`, `codex`, `anthropic-python`…; nil when the request names none.
  public var source: String?
  /// The program's version, where its user agent says it.
  public var version: String?
  /// The caller's session.
  public var session: String?
  /// The caller's project.
  public var project: String?
  /// The agent within the session.
  public var agent: String?
  /// The agent that started ``agent``.
  public var parentAgent: String?

  /// An origin of which nothing is known.
  public init() {}

  /// Reads the origin from a request's headers, given in any order and any case.
  ///
  /// `x-holdfast-source`, `x-holdfast-session` and `x-holdfast-project` win over everything; then the headers of
  /// the known programs; then the user agent. Values are cut to 256 bytes and freed of control characters.
  ///
  /// Source of the programs' headers: Claude Code 2.1, Codex 0.163, the Python SDKs of Anthropic and OpenAI, seen
  /// running; the other user agents are the programs' documented ones.
  public init(headers: some Sequence<(name: String, value: String)>) {
    var found = OriginHeaders()
    for (name, value) in headers { found.take(name, value) }
    let client = found.client
    source = found.source ?? client?.name
    version = client?.version
    session = found.holdfastSession ?? found.claudeSession ?? found.codexSession
    project = found.project
    agent = found.agent
    parentAgent = found.parentAgent
  }
}

/// The headers that tell something of the caller, picked out in one pass.
private struct OriginHeaders {
  var source: String?
  var holdfastSession: String?
  var project: String?
  var claudeSession: String?
  var codexSession: String?
  var agent: String?
  var parentAgent: String?
  var originator: String?
  var userAgent: String?
  var stainlessLanguage: String?

  /// Takes a header; an empty value says nothing, and of two with one name the first counts.
  mutating func take(_ name: String, _ value: String) {
    // The length first: most headers of a request are none of these.
    switch name.utf8.count {
    case 10 where name.isHeader("user-agent"): Self.set(&userAgent, value, maximumBytes: 512)
    case 10 where name.isHeader("session-id"), 10 where name.isHeader("session_id"):
      Self.set(&codexSession, value)
    case 10 where name.isHeader("originator"): Self.set(&originator, value)
    case 16 where name.isHeader("x-stainless-lang"): Self.set(&stainlessLanguage, value)
    case 17 where name.isHeader("x-holdfast-source"): Self.set(&source, value)
    case 18 where name.isHeader("x-holdfast-session"): Self.set(&holdfastSession, value)
    case 18 where name.isHeader("x-holdfast-project"): Self.set(&project, value)
    case 22 where name.isHeader("x-claude-code-agent-id"): Self.set(&agent, value)
    case 24 where name.isHeader("x-claude-code-session-id"): Self.set(&claudeSession, value)
    case 29 where name.isHeader("x-claude-code-parent-agent-id"): Self.set(&parentAgent, value)
    default: break
    }
  }

  private static func set(_ field: inout String?, _ value: String, maximumBytes: Int = 256) {
    guard field == nil else { return }
    let kept = WireText.kept(value, maximumBytes: maximumBytes)
    if !kept.isEmpty { field = kept }
  }

  /// The program, by the header only it sends, or by its user agent.
  var client: KnownClient.Match? {
    if let originator, originator.lowercased().hasPrefix("codex") {
      return KnownClient.Match(name: "codex", version: userAgent.flatMap(KnownClient.firstVersion))
    }
    return userAgent.flatMap { KnownClient.match($0, stainlessLanguage) }
  }
}

extension String {
  /// Compares with a header's name in lower case, whatever the case of this one (RFC 9110 §5.1).
  fileprivate func isHeader(_ name: String) -> Bool {
    utf8.count == name.utf8.count
      && zip(utf8, name.utf8).allSatisfy { byte, expected in
        byte == expected || (byte >= 0x41 && byte <= 0x5A && byte | 0x20 == expected)
      }
  }
}
