// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import Testing

@testable import HoldfastMailbox

@Suite struct SupervisorConfigurationTests {
  private func read(_ text: String) throws -> SupervisorConfiguration {
    try SupervisorConfiguration.read(text, name: "w.yaml", directory: "/srv")
  }

  private func problem(_ text: String) -> String? {
    do {
      _ = try read(text)
      return nil
    } catch {
      return (error as? SupervisorConfigurationError)?.message
    }
  }

  @Test func defaultsHoldForEveryWorkerThatSaysNothingElse() throws {
    let configuration = try read(
      """
      workers:
        writer/one:
        writer/two: { tool_seconds: 0.5, environment: { B: "2" }, directory: work, start: always }
        coder/*: { runtime: podman, image: "coder:1", options: [--network, none], command: [], journal: automatic }
      defaults:
        command: [python3, worker.py]
        environment: { A: "1" }
        heartbeat_ceiling_seconds: 90
      """)
    let one = try #require(configuration.worker(of: MailboxAddress("writer/one")))
    #expect(one.command == ["python3", "worker.py"])
    #expect(one.policy.heartbeatCeiling == .seconds(90))
    #expect(one.policy.start == .onMessage)
    #expect(one.environment == ["A": "1"])
    #expect(one.journalOfFiles == .automatic)
    let two = try #require(configuration.worker(of: MailboxAddress("writer/two")))
    #expect(two.policy.toolTime == .milliseconds(500))
    #expect(two.policy.start == .always)
    #expect(two.environment == ["A": "1", "B": "2"])
    #expect(two.directory == "/srv/work")
    #expect(try configuration.worker(of: MailboxAddress("writer/three")) == nil)
    let coder = try #require(configuration.worker(of: MailboxAddress("coder/any")))
    #expect(coder.runtime == .container(.podman))
    #expect(coder.journalOfFiles == .automatic)
    let container = try read("workers: { a/b: { runtime: docker, image: i } }")
    // A container's mount is shared with another kernel more often than not.
    #expect(try container.worker(of: MailboxAddress("a/b"))?.journalOfFiles == .rollback)
  }

  private func routes(
    _ deliveries: DeliveryConfiguration, environment: [String: String] = [:],
    webhook: (DeliveryConfiguration.Webhook) -> Void = { _ in }
  ) throws -> DeliveryRoutes {
    try deliveries.resolved(environment).routes { found, timeLimit in
      webhook(found)
      return CommandAdapter(command: ["true"], timeLimit: timeLimit)
    }
  }

  @Test func whatIsOverIsKeptForThirtyDaysOrAsLongAsIsSaid() throws {
    let workers = "workers: { a/b: { command: [x] } }"
    #expect(try read(workers).mailboxes.retention == .seconds(30 * 86_400))
    #expect(try read("retention_days: 7\n" + workers).mailboxes.retention == .seconds(7 * 86_400))
    #expect(try read("retention_days: 0").mailboxes.retention == .zero)
    #expect(
      problem("retention_days: -1")
        == "w.yaml line 1: retention_days is a whole number of days, from 0 (for ever) to 36500.")
  }

  @Test func aWebhookHasAnAddressAndHeadersWithSecretsFromTheEnvironment() throws {
    let deliveries = try read(
      """
      deliveries:
        alert: { webhook: "https://example.com/hook?x=1", timeout_seconds: 3 }
        reply:
          webhook:
            url: http://127.0.0.1:8080/
            headers: { X-Team: blue }
            headers_env: { Authorization: TOKEN }
      """
    ).deliveries
    #expect(deliveries.kinds["alert"]?.webhook == .init(url: "https://example.com/hook?x=1"))
    var found: [String: [String: String]] = [:]
    let routes = try self.routes(deliveries, environment: ["TOKEN": "Bearer 1"]) {
      found[$0.url] = $0.headers
    }
    #expect(
      found == [
        "https://example.com/hook?x=1": [:],
        "http://127.0.0.1:8080/": ["X-Team": "blue", "Authorization": "Bearer 1"],
      ])
    #expect(routes.route("alert")?.adapter.timeLimit == .seconds(3))
    let missing = #expect(throws: SupervisorConfigurationError.self) {
      try self.routes(deliveries, environment: ["TOKEN": ""])
    }
    #expect(
      missing?.message
        == "TOKEN, which is to be the header Authorization of a delivery, is not set to what a header may have: set it in the environment."
    )
  }

  @Test func deliveriesAreReadWithWorkersOrAlone() throws {
    let configuration = try read(
      """
      deliveries:
        reply: { command: [python3, send.py], environment: { A: "1" }, directory: out, timeout_seconds: 5 }
        "*": { command: [mail], concurrency: 2 }
      """)
    #expect(!configuration.hasWorkers)
    let deliveries = configuration.deliveries
    let reply = try #require(deliveries.kinds["reply"])
    #expect(reply.command == ["python3", "send.py"] && reply.environment == ["A": "1"])
    #expect(reply.directory == "/srv/out" && reply.timeLimit == .seconds(5) && reply.concurrency == 32)
    #expect(deliveries.others?.command == ["mail"] && deliveries.others?.concurrency == 2)
    #expect(deliveries.longestTimeLimit == .seconds(30))
    let routes = try self.routes(deliveries)
    #expect(routes.route("reply")?.adapter.timeLimit == .seconds(5))
    #expect(routes.route("any")?.adapter.timeLimit == .seconds(30))
    let both = try read("{ workers: { a/b: { command: [w] } }, deliveries: { reply: { command: [s] } } }")
    let carried = try self.routes(both.deliveries)
    #expect(both.hasWorkers && carried.route("any") == nil)
  }

  @Test func everyErrorIsOneSentenceThatNamesItsPlace() {
    let cases: [(String, String)] = [
      (
        "deliveries: { reply: { timeout_seconds: 5 } }",
        "w.yaml line 1: deliveries.reply needs what carries its messages: a command, as in [python3, send.py], or a webhook."
      ),
      (
        "deliveries: { reply: { command: [s], timeout_seconds: 0 } }",
        "w.yaml line 1: deliveries.reply.timeout_seconds is more than 0."
      ),
      (
        "deliveries: { reply: { webhook: \"ftp://x/\" } }",
        "w.yaml line 1: deliveries.reply.webhook needs the URL of a server, as in https://example.com/hook."
      ),
      (
        "deliveries: { reply: { webhook: \"http://me:secret@x/\" } }",
        "w.yaml line 1: deliveries.reply.webhook needs the URL of a server, as in https://example.com/hook."
      ),
      (
        "deliveries: { reply: { webhook: { url: \"http://x/\", headers: { Host: y } } } }",
        "w.yaml line 1: deliveries.reply.webhook cannot set the header Host."
      ),
      (
        "deliveries: { reply: { webhook: \"http://x/\", command: [s] } }",
        "w.yaml line 1: deliveries.reply has a webhook, and command is for what has none."
      ),
      (
        "deliveries: { reply: { comand: [s] } }",
        "w.yaml line 1: “comand” is not known in deliveries.reply; known are command, environment, directory, webhook, timeout_seconds, concurrency."
      ),
      ("", "w.yaml is empty: name workers under `workers`."),
      ("{", "w.yaml is not valid YAML: line 2, "),
      ("[1]", "w.yaml line 1: the file is no mapping of names to values."),
      (
        "workers: {}",
        "w.yaml line 1: the file names no worker and no delivery: write AGENT/SESSION or AGENT/* under workers."
      ),
      (
        "wrokers: {}",
        "w.yaml line 1: “wrokers” is not known in the file; known are defaults, workers, deliveries, retention_days."
      ),
      ("workers: { a/b: {} }", "w.yaml line 1: workers.a/b needs its command, as in [python3, worker.py]."),
      (
        "workers: { a/b: { runtime: docker } }",
        "w.yaml line 1: workers.a/b needs the image of its container."
      ),
      (
        "workers:\n  a/b: { runtime: vm }",
        "w.yaml line 2: workers.a/b.runtime is “vm”; it is process, docker, podman or container."
      ),
      (
        "workers: { a/b: { command: [x], image: i } }",
        "w.yaml line 1: workers.a/b has an image but no runtime: docker, podman or container."
      ),
      (
        "workers: { a/b: { command: [x], start: now } }",
        "w.yaml line 1: workers.a/b.start is “now”; it is always or on-message."
      ),
      (
        "workers: { a/b: { command: [x], tool_seconds: -1 } }",
        "w.yaml line 1: workers.a/b.tool_seconds is a number of seconds, from 0 to a year."
      ),
      (
        "workers: { a/b: { command: [x], breaker_ends: 0 } }",
        "w.yaml line 1: workers.a/b.breaker_ends is a whole number from 1 on."
      ),
      ("workers: { a/b: { command: x } }", "w.yaml line 1: workers.a/b.command is no list."),
      (
        "workers: { a/b: { command: [[x]] } }",
        "w.yaml line 1: workers.a/b.command has something in it that is no text."
      ),
      (
        "workers: { a/b: { command: [x] }, a/b: {} }",
        "w.yaml is not valid YAML: line 1, “a/b” stands there twice."
      ),
      (
        "workers: { a/b: { runtime: docker, image: i, directory: d } }",
        "w.yaml line 1: workers.a/b has a directory, which is for processes"
      ),
      (
        "workers: { ../b: { command: [x] } }",
        "w.yaml line 1: “..” cannot be the name of a mailbox's agent"
      ),
      ("workers: { b: { command: [x] } }", "w.yaml line 1: “b” is no mailbox's address"),
      (
        "workers: { '*/*': { command: [x] } }",
        "w.yaml line 1: “*” cannot be the name of a mailbox's agent"
      ),
    ]
    for (text, expected) in cases {
      let message = problem(text)
      #expect(message?.hasPrefix(expected) == true, "\(text): \(message ?? "accepted")")
      #expect(message?.hasSuffix(".") == true && message?.contains("\n") == false)
    }
  }
}
