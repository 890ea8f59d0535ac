// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastMailbox

/// Messages from workers.
extension MailboxStoreConformance {
  /// What the worker says is received in its order, again and again, until it is acknowledged.
  public func saidIsReceivedUntilAcknowledged() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      try await store.send(Self.message("in"), to: address)
      let worker = try await trial.worker()
      try await worker.say("one", kind: "reply", #"{"text": "hi"}"#, deliverAfter: nil)
      try await worker.say("two", kind: "note", "no JSON", deliverAfter: nil)
      try await worker.say("later", kind: "note", "1", deliverAfter: UTCInstant("9999-01-01"))
      for _ in 0..<2 {
        let page = try await store.receive(from: address, limit: 10, after: nil)
        try same(page.messages.map(\.id), ["one", "two"], "what is received")
        try same(page.messages.map(\.seq), [1, 2], "its places")
        try same(page.messages.map(\.kind), ["reply", "note"], "its kinds")
        try same(page.messages.map(\.content.json), [#"{"text": "hi"}"#, #""no JSON""#], "what it says")
        try same(page.next, nil, "what comes behind it")
      }
      let first = try await store.receive(from: address, limit: 1, after: nil)
      try same(first.messages.map(\.id), ["one"], "the first piece")
      let second = try await store.receive(from: address, limit: 1, after: first.next)
      try same(second.messages.map(\.id), ["two"], "the second piece")
      try same(second.next, nil, "what comes behind the second piece")

      try same(try await store.acknowledge("two", in: address).duplicate, false, "acknowledged before")
      try same(try await store.acknowledge("two", in: address).duplicate, true, "acknowledged again")
      try await worker.say("three", kind: "note", "3", deliverAfter: nil)
      try same(
        try await store.acknowledge("three", in: address).seq, 4, "the place of one not received before")
      let left = try await store.receive(from: address, limit: 10, after: nil)
      try same(left.messages.map(\.id), ["one"], "what is left")
      try await refused("acknowledging what was not said", as: .notFound) {
        try await store.acknowledge("none", in: address)
      }
    }
  }

  /// Drained twice, or by two at once, everything came over once.
  public func drainingIsOnce() async throws {
    try await trial { trial in
      let (one, two, address) = (try await trial.store(), try await trial.store(), trial.address)
      try await one.send(Self.message("m"), to: address)
      let worker = try await trial.worker()
      try same(try await worker.take(), "m", "what is taken")
      _ = try await worker.finish("m", as: .completed)
      for number in 0..<300 { try await worker.say("\(number)", kind: "k", "1", deliverAfter: nil) }
      async let first = one.drain(address)
      async let second = two.drain(address)
      let (a, b) = (try await first, try await second)
      try same(a.sent + b.sent, 300, "messages that came over")
      try same(a.finished + b.finished, 1, "ends that came over")
      try same(try await two.drain(address), MailboxDrain(), "what came over again")
      let page = try await two.receive(from: address, limit: 1000, after: nil)
      try same(page.messages.map(\.id), (0..<300).map(String.init), "the order")
    }
  }

  /// What may not be delivered yet is left out before anything is counted, and no kind crowds out another (row E11).
  public func filterComesFirst() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      try await store.send(Self.message("in"), to: address)
      let worker = try await trial.worker()
      let later = UTCInstant("9999-01-01")
      for number in 0..<40 {
        try await worker.say(
          "later\(number)", kind: number % 2 == 0 ? "chat" : "mail", "1", deliverAfter: later)
      }
      for number in 0..<40 { try await worker.say("chat\(number)", kind: "chat", "1", deliverAfter: nil) }
      try await worker.say("due", kind: "mail", "1", deliverAfter: nil)
      try await store.drain(address)
      let due = try await store.dueDeliveries(in: address, perKind: 2, now: .now)
      try same(due.map(\.message.id), ["chat0", "chat1", "due"], "what is due")
      let page = try await store.receive(from: address, limit: 41, after: nil)
      try same(page.messages.count, 41, "what is received")
      try same(page.messages.last?.id, "due", "the last that is received")
    }
  }

  /// A delivery is written down before it is tried; given up it is a dead letter, whole, and the worker is told once for
  /// each time.
  public func deliveriesAreWrittenDown() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      try await store.send(Self.message("in"), to: address)
      let worker = try await trial.worker()
      try await worker.say("out", kind: "chat", #"{"a": 1.0}"#, deliverAfter: nil)
      try await store.drain(address)
      let now = UTCInstant.now
      let later = now.advanced(by: .seconds(60))
      try holds(
        try await store.beginDelivery("out", in: address, nextAttempt: later, now: now),
        "It could not be tried.")
      try same(try await store.dueDeliveries(in: address, perKind: 9, now: now), [], "what is due meanwhile")
      try await store.postponeDelivery("out", in: address, error: "HTTP 503", nextAttempt: later)
      // Another host, after this one was killed.
      let due = try await trial.store().dueDeliveries(in: address, perKind: 9, now: later)
      try same(due.map(\.attempts), [1], "the attempts")
      try same(due.map(\.lastError), ["HTTP 503"], "the last error")
      try same(due.map(\.firstAttempt), [now], "the first attempt")
      try same(due.map(\.message.idempotencyKey), ["out"], "the idempotency key")

      try await worker.say("by-hand", kind: "chat", "1", deliverAfter: nil)
      try await store.acknowledge("by-hand", in: address)
      try holds(
        try await !store.beginDelivery("by-hand", in: address, nextAttempt: later, now: now),
        "What was acknowledged could be tried.")
      try holds(
        try await !store.giveUpDelivery("by-hand", in: address, reason: "rejected", error: nil),
        "What was acknowledged could be given up.")

      try holds(
        try await store.giveUpDelivery("out", in: address, reason: "rejected", error: "HTTP 410"),
        "It could not be given up.")
      try holds(
        try await !store.giveUpDelivery("out", in: address, reason: "rejected", error: "HTTP 410"),
        "It could be given up twice.")
      let letters = try await store.deadLetters(in: address).letters
      try same(letters.map(\.content.json), [#"{"a": 1.0}"#], "the bytes of the dead letter")
      try same(letters.map(\.direction), [.outbound], "its direction")
      try same(letters.map(\.tries), [1], "its attempts")
      try same(letters.map(\.reason), ["rejected"], "its reason")
      let rest = try await store.receive(from: address, limit: 9, after: nil)
      try same(rest.messages, [], "what is left to be received")
      let told = try await store.messages(in: address, states: [.pending], limit: 9, after: 1)
      try same(told.messages.map(\.kind), ["delivery-failed"], "what the worker is told")
      try same(
        told.messages.map(\.content.json), [#"{"error":"HTTP 410","id":"out","reason":"rejected"}"#],
        "and in what words")
      try same(try await store.retry(["out"], in: address), 1, "the letters put back")
      try same(
        try await store.dueDeliveries(in: address, perKind: 9, now: .now).map(\.attempts), [0],
        "the attempts after it was put back")
      try await store.giveUpDelivery("out", in: address, reason: "rejected", error: "HTTP 410")
      let again = try await store.messages(in: address, states: [.pending], limit: 9, after: 1)
      try same(again.messages.count, 2, "how often the worker is told")
      // Somebody delivers it by hand.
      try same(try await store.acknowledge("out", in: address).duplicate, false, "acknowledged before")
      try same(try await store.deadLetters(in: address).letters, [], "the letters after that")
      try same(try await store.retry(nil, in: address), 0, "the letters put back after that")
    }
  }
}
