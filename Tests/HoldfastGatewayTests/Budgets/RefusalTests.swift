// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage
import NIOCore
import NIOEmbedded
import Testing

@testable import HoldfastGateway

/// Refuses one model, anywhere or at one provider, and keeps what it was asked.
private final class OneModel: RequestAdmission, @unchecked Sendable {
  // One embedded event loop and one thread per test.
  let model: String
  let provider: String?
  var asked: [String] = []

  init(_ model: String, at provider: String? = nil) { (self.model, self.provider) = (model, provider) }

  func fault(model: String, provider: String) -> ProxyFault? {
    asked.append("\(model)@\(provider)")
    guard model == self.model, self.provider == nil || self.provider == provider else { return nil }
    return budgetFault
  }
}

private var budgetFault: ProxyFault {
  var fault = ProxyFault(.budgetExhausted, "The budget “b” is used up.")
  fault.retryAfter = 90
  return fault
}

private func post(_ body: String, _ fields: String = "") -> String {
  "POST /v1/messages HTTP/1.1\r\nHost: a\r\n\(fields)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
}

private let body = #"{"messages":[{"role":"user","content":"Grüße"}],"model":"dear","max_tokens":7}"#
private let okay = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

@Suite("Budgets: refusing a request")
struct RefusalTests {
  @Test(
    "a refused request is read to its end, answered in its client's shape and recorded once, at every split")
  func refusedAtEverySplit() throws {
    let wire = Array(post(body).utf8)
    for split in 1..<wire.count {
      let bench = try RelayBench()
      bench.director.shape = split % 2 == 0 ? .anthropic : .openAI
      bench.director.altering = { $0.refusal = budgetFault }
      try bench.clientSends(Array(wire[..<split]))
      #expect(try bench.clientReceived() == "", "not before its body is read")
      try bench.clientSends(Array(wire[split...]))
      let answer = try bench.clientReceived()
      #expect(answer.hasPrefix("HTTP/1.1 429 Too Many Requests\r\n"))
      #expect(answer.contains("Retry-After: 90\r\nX-Should-Retry: false\r\n"))
      #expect(
        answer.contains("X-Holdfast-Error: budget_exhausted\r\n") && !answer.contains("Connection: close"))
      #expect(
        answer.hasSuffix(
          split % 2 == 0
            ? #"{"type":"error","error":{"type":"rate_limit_error","message":"The budget “b” is used up.","code":"budget_exhausted"}}"#
            : #"{"error":{"message":"The budget “b” is used up.","type":"insufficient_quota","param":null,"code":"budget_exhausted"}}"#
        ))
      #expect(bench.connector.names == [] && bench.tap.ends.map(\.outcome) == [.failed(.budgetExhausted)])
      #expect(bench.tap.ends[0].status == 429)
      #expect(String(buffer: bench.tap.request) == body)
      // The connection is as good as before.
      bench.director.altering = nil
      try bench.clientSends(post("{}"))
      try bench.upstreamSends(okay)
      #expect(try bench.clientReceived() == okay)
    }
  }

  @Test("a body that passes is stopped before its last piece, at every split")
  func modelIsSeenWhileItPasses() throws {
    let wire = Array(post(body).utf8)
    for split in 1..<wire.count {
      let bench = try RelayBench()
      let admission = OneModel("dear")
      bench.director.altering = { $0.admission = admission }
      try bench.clientSends(Array(wire[..<split]))
      try bench.clientSends(Array(wire[split...]))
      #expect(try bench.clientReceived().hasPrefix("HTTP/1.1 429 "))
      #expect(admission.asked == ["dear@fake"])
      // Whatever the upstream was sent, it is no whole request, and its connection is gone.
      for (index, channel) in bench.connector.channels.enumerated() {
        let sent = try bench.upstreamReceived(index)
        #expect(!sent.hasSuffix(body))
        #expect(!channel.isActive)
      }
      #expect(bench.tap.ends.map(\.outcome) == [.failed(.budgetExhausted)])
      #expect(String(buffer: bench.tap.request) == body)
    }
  }

  @Test("another model passes as it came, and so does what names none", arguments: ["cheap", nil])
  func otherModelsPass(_ model: String?) throws {
    let body = model.map { #"{"x":"\#(String(repeating: "y", count: 99))","model":"\#($0)"}"# } ?? "no JSON"
    let bench = try RelayBench()
    let admission = OneModel("dear")
    bench.director.altering = { $0.admission = admission }
    let wire = Array(post(body).utf8)
    for start in stride(from: 0, to: wire.count, by: 11) {
      try bench.clientSends(Array(wire[start..<min(start + 11, wire.count)]))
    }
    #expect(try bench.upstreamReceived().hasSuffix("\r\n\r\n" + body))
    try bench.upstreamSends(okay)
    #expect(try bench.clientReceived() == okay)
    #expect(admission.asked == (model.map { ["\($0)@fake"] } ?? []))
  }

  @Test("a client that waits to be told to send is told, and refused")
  func expectingClientIsRefused() throws {
    let bench = try RelayBench()
    bench.director.altering = { $0.refusal = budgetFault }
    let wire = post(body, "Expect: 100-continue\r\n")
    try bench.clientSends(String(wire.dropLast(body.count)))
    #expect(try bench.clientReceived() == "HTTP/1.1 100 Continue\r\n\r\n")
    try bench.clientSends(body)
    #expect(try bench.clientReceived().hasPrefix("HTTP/1.1 429 "))
  }

  @Test("one that leaves, or whose body never comes, is recorded once and costs nothing")
  func refusedRequestsEnd() throws {
    for leaves in [true, false] {
      let bench = try RelayBench()
      bench.director.altering = { $0.refusal = budgetFault }
      try bench.clientSends(String(post(body).dropLast(10)))
      if leaves { bench.client.close(promise: nil) }
      bench.loop.advanceTime(by: .seconds(602))
      #expect(bench.tap.ends.map(\.outcome) == [leaves ? .clientLeft : .failed(.budgetExhausted)])
      #expect(bench.proxy.heldBytes == 0)
    }
  }

  @Test("while its connection is still being made, too")
  func refusedWhileConnecting() throws {
    let bench = try RelayBench()
    bench.connector.isHeld = true
    bench.director.altering = { $0.admission = OneModel("dear") }
    let wire = post(body)
    try bench.clientSends(String(wire.dropLast(body.count)))
    try bench.clientSends(body)
    #expect(try bench.clientReceived().hasPrefix("HTTP/1.1 429 "))
    bench.connector.release()
    bench.loop.run()
    #expect(try bench.upstreamReceived() == "")
    // The connection is kept for the next.
    bench.director.altering = nil
    try bench.clientSends(post("{}"))
    #expect(try bench.upstreamReceived().hasSuffix("{}"))
  }

  @Test("of the places a request may go to, those it may not are left out")
  func choiceLeavesOut() throws {
    let upstreams = ["first", "second"].map {
      Upstream(name: $0, host: "\($0).test", port: 80, usesTLS: false)
    }
    for (admission, expected) in [
      (OneModel("dear", at: "first"), ["second"]), (OneModel("dear"), []), (OneModel("cheap"), ["first"]),
    ] as [(OneModel, [String])] {
      let bench = try RelayBench()
      bench.director.choosing = { fallback in
        var fallback = fallback
        fallback.admission = admission
        return OpenRoute(fallback: fallback) { [fallback] _ in
          var plan = fallback
          let hops = upstreams.map {
            RelayHop(upstream: $0, targetPrefix: "", targetTail: fallback.hop.targetTail, model: "dear-id")
          }
          (plan.hop, plan.alternatives) = (hops[0], Array(hops.dropFirst()))
          plan.decision = RouteDecision(reason: "cheapest")
          return plan
        }
      }
      try bench.clientSends(post(body))
      #expect(bench.connector.names == expected)
      guard expected.isEmpty else { continue }
      let answer = try bench.clientReceived()
      #expect(answer.hasPrefix("HTTP/1.1 429 ") && !answer.contains("X-Holdfast-Route"))
      #expect(bench.tap.ends.map(\.outcome) == [.failed(.budgetExhausted)])
      #expect(bench.proxy.heldBytes == 0)
    }
  }
}
