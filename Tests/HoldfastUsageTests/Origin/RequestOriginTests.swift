// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage
import Testing

@Suite("Who made a request")
struct RequestOriginTests {
  private func origin(_ headers: [(String, String)]) -> RequestOrigin {
    RequestOrigin(headers: headers.map { (name: $0.0, value: $0.1) })
  }

  @Test(
    "known programs, by user agent",
    arguments: [
      ("claude-cli/2.1.329 (external, cli)", "claude-code", "2.1.329"),
      ("codex_cli_rs/0.163.0 (Debian 12; x86_64) xterm", "codex", "0.163.0"),
      ("Anthropic/Python 2.11.0", "anthropic-python", "2.11.0"),
      ("AsyncAnthropic/Python 2.11.0", "anthropic-python", "2.11.0"),
      ("OpenAI/Python 3.52.0", "openai-python", "3.52.0"),
      ("AsyncOpenAI/Python 3.52.0", "openai-python", "3.52.0"),
      ("OpenAI/JS 6.10.0", "openai-node", "6.10.0"),
      ("Anthropic/JS 0.71.0", "anthropic-node", "0.71.0"),
      ("curl/7.88.1", "curl", "7.88.1"),
      ("python-httpx/0.28.1", "python-httpx", "0.28.1"),
      ("GeminiCLI/0.30.0/gemini-3-pro (linux; x64)", "gemini-cli", "0.30.0/gemini-3-pro"),
      ("opencode/1.2.3 ai-sdk/provider-utils/3.0", "opencode", "1.2.3"),
      ("MyAgent/1.0 (nobody knows)", "myagent", "1.0"),
    ])
  func userAgentsAreKnown(_ agent: String, _ source: String, _ version: String) {
    let found = origin([("User-Agent", agent)])
    #expect(found.source == source)
    #expect(found.version == version)
  }

  @Test("browsers are one source")
  func browsersAreOne() {
    #expect(origin([("user-agent", "Mozilla/5.0 (X11; Linux) AppleWebKit/537.36")]).source == "browser")
  }

  @Test("a program's own headers, in any case")
  func ownHeadersAreRead() {
    let claude = origin([
      ("X-Claude-Code-Session-Id", "f00"), ("x-claude-code-agent-id", "a1"),
      ("x-claude-code-parent-agent-id", "a0"), ("user-agent", "claude-cli/2"), ("session-id", "other"),
    ])
    #expect(claude.session == "f00" && claude.agent == "a1" && claude.parentAgent == "a0")
    let codex = origin([("originator", "codex_exec"), ("session-id", "t-1"), ("user-agent", "x/1.2")])
    #expect(codex.source == "codex" && codex.session == "t-1" && codex.version == "1.2")
  }

  @Test("Holdfast's own headers win")
  func explicitHeadersWin() {
    let found = origin([
      ("user-agent", "claude-cli/2"), ("x-claude-code-session-id", "s"), ("X-HOLDFAST-SOURCE", "nightly"),
      ("x-holdfast-session", "mine"), ("x-holdfast-project", "π"),
    ])
    #expect(found.source == "nightly" && found.session == "mine" && found.project == "π")
  }

  @Test("nothing said is nothing known")
  func emptyHeadersAreNothing() {
    #expect(origin([]) == RequestOrigin())
    #expect(origin([("user-agent", ""), ("x-holdfast-session", "\u{0}\u{7}")]) == RequestOrigin())
  }

  @Test("hostile values are cut and cleaned")
  func hostileValuesAreCut_G07() throws {
    let found = origin([
      ("x-holdfast-session", "a\u{0}\u{1B}[31mb" + String(repeating: "é", count: 5000)),
      ("user-agent", String(repeating: "(", count: 100_000)),
    ])
    let session = try #require(found.session)
    #expect(session.hasPrefix("a[31mb") && session.utf8.count <= 256)
    #expect(found.source == nil)
  }
}
