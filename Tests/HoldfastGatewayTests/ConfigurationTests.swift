// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastCatalog
import HoldfastEngine
import HoldfastMailbox
import HoldfastUsage
import Testing

@testable import HoldfastGateway

@Suite struct ConfigurationTests {
  private func load(_ yaml: String?, _ environment: [String: String] = [:]) throws -> GatewayConfiguration {
    try GatewayConfiguration.load(home: "/nowhere", environment: environment, yaml: yaml)
  }

  @Test func theDocumentedFileIsRead() throws {
    let configuration = try load(
      """
      providers:
        anthropic: { kind: anthropic, base_url: "https://api.anthropic.com" }
        openai:    { kind: openai,    base_url: "https://api.openai.com/v1" }
        local:     { kind: openai,    base_url: "http://127.0.0.1:11434/v1", prices: { "llama3.2": { input: 0, output: 0.5 } } }
      auth:
        token: 0123456789abcdef
      server:
        allowed_hosts: [Gateway.LAN]
      defaults: { openai: local }
      """)
    let local = try #require(configuration.providers.first { $0.name == "local" })
    #expect(local.kind == .openAI)
    #expect(local.baseURL.description == "http://127.0.0.1:11434/v1")
    #expect(configuration.prices["local"]?["llama3.2"] == ConfiguredPrice(input: 0, output: 0.5))
    #expect(configuration.token?.matches("0123456789abcdef") == true)
    #expect(configuration.allowedHosts == ["gateway.lan"])
    #expect(configuration.openAIProvider == "local")
    var row = UsageRow(provider: "local", model: "llama3.2")
    (row.inputTokens, row.outputTokens) = (1_000_000, 1_000_000)
    try configuration.rates().price(&row)
    #expect(row.costMicrodollars == 500_000)
  }

  @Test func pricesOfLongPromptsTiersAndRequestsAreRead() throws {
    let configuration = try load(
      """
      providers:
        local:
          kind: openai
          base_url: http://127.0.0.1:11434/v1
          prices:
            m: { input: 1, output: 2, request: 5, tiers: { batch: 0.5 },
                 long_context: { above: 200000, input: 2, output: 3, cache_read: 0.2 } }
      """)
    let price = try #require(configuration.prices["local"]?["m"])
    #expect(price.longContext == .init(above: 200_000, input: 2, output: 3, cacheRead: 0.2))
    #expect(price.request == 5 && price.tiers == ["batch": 0.5])
    let card = try #require(try configuration.rates().card(provider: "local", model: "m"))
    #expect(card.longContext?.rates.cacheRead == 200_000 && card.longContext?.rates.cacheWrite5m == 2_000_000)
    for bad in [
      "above: 1, input: 1", "above: 0, input: 1, output: 1", "above: 1, input: -1, output: 1",
      "above: 1, input: 1, output: 1, marginal: true",
    ] {
      let error = try #require(throws: GatewayError.self, "\(bad)") {
        try load(
          "providers: { p: { kind: openai, base_url: 'http://h/v1', prices: { m: { input: 1, output: 1, "
            + "long_context: { \(bad) } } } } }")
      }
      #expect(error.code == .configuration && error.message.contains("long_context"))
    }
  }

  @Test(arguments: [("budgets.md", 3), ("prices.md", 0)])
  func whatTheDocumentationShowsIsRead(_ page: String, _ budgets: Int) throws {
    let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../docs/")
    let text = try String(contentsOf: root.appending(path: page), encoding: .utf8)
    let blocks = text.components(separatedBy: "```yaml\n").dropFirst()
    #expect(!blocks.isEmpty)
    for block in blocks {
      let configuration = try load(block.components(separatedBy: "```")[0])
      #expect(configuration.budgets.count == budgets)
      _ = try configuration.rates()
    }
  }

  @Test func budgetsAreRead() throws {
    let plans = try load(
      """
      budgets:
        - { name: daily, limit: 20.10, period: day, zone: Europe/Berlin }
        - name: ci
          scope: { source: "ci-*" }
          period: 5h
          limit: 0.000001
          warn: [100, 50, 100]
          action: refuse
          notify: { webhook: "https://hooks.example:8443/T/B?x=1", timeout_seconds: 3 }
        - { name: all of it, scope: all, limit: 1, period: month, warn: 90, notify: { command: [notify, "-x"] } }
      """
    ).budgets
    #expect(plans.map(\.budget.name) == ["daily", "ci", "all of it"])
    #expect(plans[0].budget.limitMicrodollars == 20_100_000 && plans[0].budget.zone.name == "Europe/Berlin")
    #expect(plans[0].budget.thresholds == [80, 100] && plans[0].budget.action == .warn)
    #expect(plans[1].budget.scope == .source("ci-*") && plans[1].budget.period == .fiveHours)
    #expect(plans[1].budget.limitMicrodollars == 1 && plans[1].budget.thresholds == [50, 100])
    #expect(plans[1].listener == .webhook(.init(url: "https://hooks.example:8443/T/B?x=1")))
    #expect(plans[1].timeLimit == .seconds(3) && plans[1].budget.action == .refuse)
    #expect(plans[2].listener == .command(["notify", "-x"]) && plans[2].budget.thresholds == [90])
    #expect(try load("budgets: []").budgets.isEmpty)
  }

  @Test(arguments: [
    ("{}", "no list"), ("[{ limit: 1, period: day }]", "needs its name"),
    ("[{ name: b, period: day }]", "needs its limit"), ("[{ name: b, limit: 1 }]", "period"),
    ("[{ name: b, limit: 0, period: day }]", "above zero"),
    ("[{ name: b, limit: -1, period: day }]", "limit"),
    ("[{ name: b, limit: .inf, period: day }]", "limit"),
    ("[{ name: b, limit: 0.0000001, period: day }]", "limit"),
    ("[{ name: b, limit: 1, period: fortnight }]", "hour, 5h, day, week, month"),
    ("[{ name: b, limit: 1, period: day, zone: CET }]", "zone"),
    ("[{ name: b, limit: 1, period: day, scope: some }]", "scope"),
    ("[{ name: b, limit: 1, period: day, scope: { session: x } }]", "scope"),
    ("[{ name: b, limit: 1, period: day, scope: { source: x, model: y } }]", "scope"),
    ("[{ name: b, limit: 1, period: day, scope: { source: '*' } }]", "source"),
    ("[{ name: b, limit: 1, period: day, warn: [0] }]", "percentages"),
    ("[{ name: b, limit: 1, period: day, action: explode }]", "warn or refuse"),
    ("[{ name: b, limit: 1, period: day, notify: {} }]", "webhook or a command"),
    ("[{ name: b, limit: 1, period: day, notify: { webhook: 'ftp://x' } }]", "webhook"),
    ("[{ name: b, limit: 1, period: day, notify: { webhook: 'http://x', command: [y] } }]", "command"),
    ("[{ name: b, limit: 1, period: day }, { name: b, limit: 2, period: day }]", "two budgets"),
    ("[{ name: b, limit: 1, period: day, per: user }]", "per"),
  ])
  func budgetsThatCannotBeAreRefusedInASentence(_ yaml: String, _ word: String) throws {
    let error = try #require(throws: GatewayError.self) { try load("budgets: \(yaml)") }
    #expect(error.code == .configuration && error.message.contains(word), "\(error.message)")
    #expect(error.message.hasPrefix("config.yaml line 1: ") && error.message.hasSuffix("."))
  }

  @Test func providersAreAskedForModelsWhereTheyAreConfiguredAndHaveTheirKey() throws {
    let configuration = try load(
      """
      providers:
        anthropic: { kind: anthropic, base_url: "https://api.anthropic.com" }
        box:    { kind: ollama, base_url: "http://10.0.0.7:11434/v1" }
        google: { kind: gemini, base_url: "https://generativelanguage.googleapis.com/v1beta/openai", api_key_env: G }
        keyed:  { kind: openai, base_url: "http://127.0.0.1:8000/v1", api_key_env: NOT_SET }
        groq:   { enabled: false }
      """,
      [
        "G": "key", "GROQ_API_KEY": "key", "MISTRAL_API_KEY": "key",
        "OLLAMA_BASE_URL": "http://127.0.0.1:1/v1",
      ])
    let usable = Set(configuration.providers.filter(\.isUsable).map(\.name))
    #expect(usable == ["box", "google", "groq", "mistral", "ollama"])
    let disabled = configuration.providers.filter { !$0.isEnabled }.map(\.name)
    #expect(disabled == ["groq"])
    #expect(configuration.providers.first { $0.name == "box" }?.kind == .ollama)
    #expect(configuration.providers.first { $0.name == "google" }?.kind == .gemini)
    #expect(throws: GatewayError.self) { try load("providers: { groq: { enabled: perhaps } }") }
  }

  @Test(arguments: [nil, "providers: {}", "backup: {}"])
  func aBackupADayIsTheRule_C18(_ yaml: String?) throws {
    let plan = try #require(try load(yaml).backup)
    #expect(plan == .standard(home: "/nowhere"))
    #expect(plan.schedule == BackupSchedule(.daily, minute: 180))
    #expect(plan.retention.daily == 7 && plan.retention.hourly == 0 && plan.retention.weekly == 0)
    #expect(plan.isCompressed && plan.directory == "/nowhere/backups")
  }

  @Test func backupsAreAsTheFileSays_C18() throws {
    let plan = try #require(
      try load(
        """
        backup: { every: weekly, at: "04:05", directory: ~/saved/, keep_weekly: 3, keep_hourly: 1, compress: false }
        """, ["HOME": "/home/me"]
      ).backup)
    #expect(plan.schedule == BackupSchedule(.weekly, minute: 245))
    #expect(plan.directory == "/home/me/saved")
    #expect(plan.retention == BackupRetention(hourly: 1, daily: 0, weekly: 3))
    #expect(!plan.isCompressed)
    #expect(try load("backup: { directory: elsewhere, at: 23:59 }").backup?.directory == "/nowhere/elsewhere")
    #expect(try load("backup: { at: 23:59 }").backup?.schedule.minute == 1439)
    #expect(try load("backup: { every: hourly, at: \"00:20\" }").backup?.schedule.minute == 20)
    for off in ["backup: never", "backup: false", "backup: off", "backup: { every: never }"] {
      #expect(try load(off).backup == nil, "\(off)")
    }
  }

  @Test(arguments: [nil, "", "# nothing\n", "providers: {}"])
  func withoutAFileTheVendorsAreThere(_ yaml: String?) throws {
    let names = try load(yaml).providers.map(\.name)
    #expect(Set(names).isSuperset(of: ["anthropic", "openai", "groq", "openrouter", "ollama"]))
  }

  @Test(arguments: [
    ("providers:\n  x: { kind: openai\n", "line"),
    ("providers:\n  x:\n    kind: telepathy\n    base_url: http://a\n", "line 3"),
    ("providers:\n  x:\n    kind: openai\n    base_ulr: http://a\n", "line 4"),
    ("providers:\n  x: { kind: openai }\n", "base_url"),
    ("providers:\n  api: { kind: openai, base_url: http://a }\n", "“api”"),
    ("providers:\n  openai: { base_url: ftp://a }\n", "ftp://a"),
    ("providers:\n  openai: {}\n  openai: {}\n", ""),
    ("server: { port: 1 }\n", "“port”"),
    ("auth: { token: short }\n", "16"),
    ("defaults: { openai: nobody }\n", "nobody"),
    ("providers: { openai: { prices: { m: { input: -1, output: 1 } } } }\n", "input"),
    ("providers: { openai: { prices: { m: { input: 1 } } } }\n", "output"),
    ("- a list\n", "mapping"),
    ("backup: { every: fortnightly }\n", "hourly, daily, weekly or never"),
    ("backup: { at: noon }\n", "03:30"),
    ("backup: { at: \"24:00\" }\n", "03:30"),
    ("backup: { every: hourly, at: \"02:20\" }\n", "minute of the hour"),
    ("backup: { keep_daily: -1 }\n", "keep_daily"),
    ("backup: { keep_daily: 0 }\n", "keeps nothing"),
    ("backup: { compress: maybe }\n", "neither true nor false"),
    ("backup: { keep: 7 }\n", "keep_weekly"),
    ("backup: sometimes\n", "sometimes"),
  ])
  func whatCannotBeIsNamedWithItsPlace(_ yaml: String, _ word: String) {
    let error = #expect(throws: GatewayError.self) { try load(yaml) }
    #expect(error?.code == .configuration)
    #expect(error?.message.hasPrefix("config.yaml") == true)
    #expect(word.isEmpty || error?.message.contains(word) == true, "\(error?.message ?? "")")
  }

  @Test func theEnvironmentGivesKeysAndAddresses() throws {
    let configuration = try load(
      nil, ["ANTHROPIC_API_KEY": "sk-a", "OPENAI_BASE_URL": "http://10.0.0.1/v1", "GROQ_API_KEY": ""])
    func provider(_ name: String) throws -> Provider {
      try #require(configuration.providers.first { $0.name == name })
    }
    #expect(try provider("anthropic").credential?.value == "sk-a")
    #expect(try provider("openai").baseURL.host == "10.0.0.1")
    #expect(try provider("openai").credential == nil)
    #expect(try provider("groq").credential == nil)
    #expect(throws: GatewayError.self) { try load(nil, ["OPENAI_BASE_URL": "nonsense"]) }
  }

  @Test func aKeyDoesNotFollowAProviderElsewhere() throws {
    let yaml = "providers: { anthropic: { base_url: http://evil.test } }"
    let moved = try load(yaml, ["ANTHROPIC_API_KEY": "sk-a"])
    #expect(try #require(moved.providers.first { $0.name == "anthropic" }).credential == nil)
  }

  @Test func aPublicAddressNeedsAToken_G06() throws {
    for host in ["0.0.0.0", "::", "192.168.1.5", "gateway.lan"] {
      var configuration = try load(nil)
      configuration.host = host
      #expect(throws: GatewayError.self) { try configuration.validate() }
      configuration.token = GatewayToken("0123456789abcdef")
      #expect(throws: Never.self) { try configuration.validate() }
    }
    for host in ["127.0.0.1", "localhost", "::1"] {
      var configuration = try load(nil)
      configuration.host = host
      #expect(throws: Never.self) { try configuration.validate() }
    }
  }

  @Test func aProviderThatIsThisGatewayIsRefused() throws {
    let configuration = try load(nil, ["OPENAI_BASE_URL": "http://localhost:4141/v1"])
    let error = #expect(throws: GatewayError.self) { try configuration.validate() }
    #expect(error?.message.contains("OPENAI_BASE_URL") == true)
  }

  @Test(arguments: [
    ("7d", "2026-11-14T09:00:00.000Z"), ("90m", "2026-11-21T08:00:00.000Z"),
    ("today", "2026-11-21T00:00:00.000Z"),
    ("2026-11-01", "2026-11-01T00:00:00.000Z"), ("2w", "2026-11-07T09:00:00.000Z"),
  ])
  func reportSpansAreRead(_ since: String, _ expected: String) throws {
    let now = try #require(UTCInstant("2026-11-21T09:30:12.045Z"))
    let query = try ReportQuery.query(by: nil, since: since, until: nil, limit: nil, now: now)
    #expect(query.since?.description == expected)
    #expect(query.grouping == .model)
  }

  @Test(arguments: ["someday", "-3d", "d", "7y", ""])
  func otherWordsAreNoTime(_ since: String) {
    #expect(throws: ReportQuery.Problem.self) {
      try ReportQuery.query(by: nil, since: since, until: nil, limit: nil)
    }
  }

  @Test func metricLabelsCannotBreakThePage() {
    var snapshot = GatewayMetrics.Snapshot()
    let nasty = GatewayMetrics.Series(provider: "p", model: "a\"b\\c\nd\u{7}{}", status: "200")
    snapshot.requests[nasty] = 3
    let text = MetricsPage.text(snapshot, ledger: UsageLedgerStatus(), home: "/nowhere")
    #expect(
      text.contains(#"holdfast_requests_total{provider="p",model="a\"b\\c\nd{}",status="200"} 3"# + "\n"))
  }
}
