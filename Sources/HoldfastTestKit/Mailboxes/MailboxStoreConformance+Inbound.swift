// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastMailbox

/// Messages to workers.
extension MailboxStoreConformance {
  /// The same message again is one message; another under its id is kept under another, told, and found again by
  /// sending it again (row E12).
  public func sameIDIsTheSameMessage() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      let first = try await store.send(Self.message("a", #"{"x":1,"y":[2.50]}"#), to: address)
      try same(first.id, "a", "the id")
      try same([first.seq, first.duplicate ? 1 : 0], [1, 0], "the first message's place")
      let again = try await store.send(Self.message("a", #"{ "y" : [2.5], "x" : 1 }"#), to: address)
      try holds(again.id == "a" && again.seq == 1 && again.duplicate, "Sent again it is another: \(again)")
      for isAgain in [false, true] {
        let other = try await store.send(Self.message("a", #"{"x":2}"#), to: address)
        try holds(
          other.wantedID == "a" && other.id != "a" && other.seq == 2 && other.duplicate == isAgain,
          "Another under its id became \(other)")
      }
      let kind = try await store.send(Self.message("a", #"{"x":1,"y":[2.50]}"#, kind: "other"), to: address)
      try holds(kind.wantedID == "a" && kind.seq == 3, "Another kind under its id became \(kind)")
      let page = try await store.messages(in: address, states: [.pending], limit: 10, after: nil)
      try same(
        page.messages.map(\.content.json),
        [#"{"x":1,"y":[2.50]}"#, #"{"x":2}"#, #"{"x":1,"y":[2.50]}"#], "what is kept")
    }
  }

  /// Of many that send one message at once, one sends it; others at once get places of their own (row E12).
  public func sendersAtOnce() async throws {
    try await trial { trial in
      let stores = [try await trial.store(), try await trial.store()]
      let address = trial.address
      let receipts = try await withThrowingTaskGroup(of: MailboxReceipt.self) { group in
        for index in 0..<24 {
          let store = stores[index % 2]
          group.addTask {
            try await store.send(Self.message(index < 12 ? "same" : "own\(index)", "7"), to: address)
          }
        }
        return try await group.reduce(into: []) { $0.append($1) }
      }
      try same(receipts.filter { !$0.duplicate }.count, 13, "the messages that were new")
      try same(Set(receipts.map(\.seq)), Set(1...13), "the places")
    }
  }

  /// What cannot be kept is refused, and leaves nothing.
  public func absurdMessagesAreRefused() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      var absurd = [
        try Self.message(""), try Self.message(String(repeating: "i", count: 257)), try Self.message("a\0b"),
        try Self.message("a", kind: ""), try Self.message("a", kind: String(repeating: "k", count: 65)),
      ]
      for tries in [0, -1] {
        var message = try Self.message("a")
        message.maximumTries = tries
        absurd.append(message)
      }
      var late = try Self.message("a")
      late.processAfter = UTCInstant(milliseconds: .max)
      for message in absurd + [late] {
        try await refused("\(message)", as: .invalid) { try await store.send(message, to: address) }
      }
      try await refused("the mailbox of messages that were refused", as: .notFound) {
        _ = try await store.summary(of: address)
      }
    }
  }

  /// Of workers that reach for one message at once, one gets it (row E08).
  public func claimsAreExclusive() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      for index in 0..<30 { try await store.send(Self.message("m\(index)"), to: address) }
      let taken = try await withThrowingTaskGroup(of: [String].self) { group in
        for index in 0..<4 {
          let worker = try await trial.worker(1, "w\(index)")
          group.addTask {
            var mine: [String] = []
            while let message = try await worker.take() { mine.append(message) }
            return mine
          }
        }
        return try await group.reduce(into: []) { $0 += $1 }
      }
      try same(taken.count, 30, "the claims")
      try same(Set(taken).count, 30, "the messages claimed")
      try same(try await store.claims(in: address).count, 30, "the claims that are told")
    }
  }

  /// A live lease is not taken; a later incarnation takes over, and the replaced one's end counts for nothing (row E08).
  public func replacedWorkersEndNothing() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      try await store.send(Self.message("m"), to: address)
      let (one, two) = (try await trial.worker(1, "one"), try await trial.worker(1, "two"))
      let now = UTCInstant.now
      try holds(try await one.claim("m", at: now), "A message nobody had could not be claimed.")
      try holds(try await !two.claim("m", at: now.advanced(by: .seconds(59))), "A live lease was taken.")
      try holds(try await two.claim("m", at: now.advanced(by: .seconds(60))), "A lease that ran out was not.")
      try holds(try await !one.finish("m", as: .completed), "Who lost its lease could end the work.")
      let later = try await trial.worker(2, "later")
      try holds(try await later.claim("m", at: now), "A later incarnation could not take over.")
      try holds(
        try await !two.claim("m", at: now.advanced(by: .seconds(900))), "An earlier one took it back.")
      try holds(try await !two.finish("m", as: .failed("no")), "A replaced worker could end the work.")
      try same(try await store.drain(address), MailboxDrain(), "what was drained")
      try same(try await store.claims(in: address).map(\.worker), ["later"], "the claims")
      try holds(try await later.finish("m", as: .completed), "Who has the message could not end the work.")
      try same(try await store.drain(address).finished, 1, "the ends that were drained")
      try same(try await store.summary(of: address).completed, 1, "the messages that are done with")
      try same(try await store.claims(in: address), [], "the claims that are left")
    }
  }

  /// What a worker ends after its claim was given up counts for nothing; giving up is counted once (row E08).
  public func lateEndsCountForNothing() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      try await store.send(Self.message("m"), to: address)
      let lost = try await trial.worker()
      try same(try await lost.take(), "m", "what the first worker took")
      try same(try await store.releaseClaims(through: 0, in: address), 0, "claims of earlier workers")
      try same(try await store.releaseClaims(through: 1, in: address), 1, "claims given up")
      try same(try await store.releaseClaims(through: 1, in: address), 0, "claims given up twice")
      _ = try await lost.finish("m", as: .completed)
      try same(try await store.drain(address).finished, 0, "late ends that count")
      let successor = try await trial.worker(2)
      try same(try await successor.take(), "m", "what the second worker took")
      try holds(try await successor.finish("m", as: .completed), "The second worker could not end the work.")
      try same(try await store.drain(address).finished, 1, "ends that count")
      let page = try await store.messages(in: address, states: [.completed], limit: 9, after: nil)
      try same(page.messages.map(\.tries), [1], "the tries that were lost")
    }
  }

  /// A message that only wakes is for a worker that starts after it was sent (row E09).
  public func wakingMessagesWaitForALaterWorker() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      var wake = try Self.message("wake")
      wake.wakeOnly = true
      var context = try Self.message("context")
      context.wakes = false
      try await store.send(Self.message("before"), to: address)
      try await trial.count(3)
      try await store.send(wake, to: address)
      try await store.send(context, to: address)
      let dying = try await trial.worker(3)
      try same(try await dying.take(), "before", "what the dying worker takes")
      try same(try await dying.take(), "context", "what the dying worker takes then")
      try same(try await dying.take(), nil, "what is left for the dying worker")
      try same(try await store.dueCount(in: address), 2, "messages that start a worker")
      let fresh = try await trial.worker(4)
      try same(try await fresh.take(), "before", "what the fresh worker takes")
      try same(try await fresh.take(), "wake", "what the fresh worker takes then")
    }
  }

  /// A message that always fails is a dead letter in the end, whole, and holds nothing up; put back it has as many tries
  /// again (row E13).
  public func failuresBecomeDeadLetters() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      let text = #"{"path": "C:\\x",  "n": 1.10}"#
      var bad = try Self.message("bad", text)
      bad.maximumTries = 3
      bad.routing = try MailboxContent(json: #"{"to":"me"}"#)
      try await store.send(bad, to: address)
      for index in 0..<4 { try await store.send(Self.message("good\(index)"), to: address) }
      let worker = try await trial.worker()
      func work() async throws -> [String] {
        var order: [String] = []
        while order.count < 30, let taken = try await worker.take() {
          order.append(taken)
          _ = try await worker.finish(taken, as: taken == "bad" ? .failed("no luck") : .completed)
          try await store.drain(address)
        }
        return order
      }
      let order = try await work()
      try same(order.filter { $0 == "bad" }.count, 3, "the tries of the bad message")
      try same(order.filter { $0 != "bad" }, (0..<4).map { "good\($0)" }, "the order of the others")
      let letters = try await store.deadLetters(in: address).letters
      try same(letters.map(\.id), ["bad"], "the dead letters")
      try same(letters[0].content.json, text, "the bytes of the dead letter")
      try same(letters[0].routing?.json, #"{"to":"me"}"#, "its routing")
      try same(letters[0].error, "no luck", "its error")
      try same(letters[0].tries, 3, "its tries")
      try same(letters[0].direction, .inbound, "its direction")
      try same(try await store.summary(of: address).deadLetters, 1, "the dead letters that are counted")
      try await refused("putting back what is no dead letter", as: .notFound) {
        try await store.retry(["bad", "good0"], in: address)
      }
      try same(try await store.retry(["bad"], in: address), 1, "the letters put back")
      try same(try await store.deadLetters(in: address).letters, [], "the letters left")
      for round in 2...3 {
        try same(try await work(), ["bad", "bad", "bad"], "the tries after it was put back")
        try same(
          try await store.deadLetters(in: address).letters.map(\.tries), [3 * round], "all its tries")
        try same(try await store.retry(nil, in: address), 1, "the letters put back then")
      }
      try same(try await worker.take(), "bad", "what is taken at last")
      _ = try await worker.finish("bad", as: .refused("never"))
      try same(try await store.drain(address).dead, 1, "the messages refused for good")
      let failed = try await store.messages(in: address, states: [.failed], limit: 9, after: nil)
      try same(failed.messages.map(\.error), ["never"], "why it was refused")
    }
  }

  /// What was taken back is not worked on, and what is done with is not taken back.
  public func cancelledIsNotWorkedOn() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      for id in ["a", "b", "c"] { try await store.send(Self.message(id), to: address) }
      let worker = try await trial.worker()
      try same(try await worker.take(), "a", "what is taken")
      _ = try await worker.finish("a", as: .completed)
      try await store.drain(address)
      try holds(try await store.cancel("b", in: address), "A message that waits could not be taken back.")
      for id in ["a", "b", "never"] {
        try holds(try await !store.cancel(id, in: address), "“\(id)” could be taken back.")
      }
      try same(try await worker.take(), "c", "what is taken next")
      try holds(
        try await store.cancel("c", in: address), "A message being worked on could not be taken back.")
      _ = try await worker.finish("c", as: .completed)
      try same(try await store.drain(address).finished, 0, "ends of what was taken back")
      let page = try await store.messages(in: address, states: [.cancelled], limit: 9, after: nil)
      try same(page.messages.map(\.id), ["b", "c"], "what was taken back")
    }
  }

  /// Looking for a mailbox makes none; a closed store refuses.
  public func lookingMakesNothing() async throws {
    try await trial { trial in
      let (store, address) = (try await trial.store(), trial.address)
      try await refused("receiving", as: .notFound) {
        _ = try await store.receive(from: address, limit: 1, after: nil)
      }
      try await refused("a summary", as: .notFound) { _ = try await store.summary(of: address) }
      try await refused("draining", as: .notFound) { try await store.drain(address) }
      try await refused("cancelling", as: .notFound) { try await store.cancel("a", in: address) }
      try await refused("acknowledging", as: .notFound) { try await store.acknowledge("a", in: address) }
      try await refused("putting back", as: .notFound) { try await store.retry(nil, in: address) }
      try same(try await store.addresses(), [], "the mailboxes")
      let others = try ["b/s", "a/t", "a/s"].map(MailboxAddress.init)
      for other in others { try await store.send(Self.message("m"), to: other) }
      try same(try await store.addresses().map(\.description), ["a/s", "a/t", "b/s"], "the mailboxes then")
      try same(
        try await store.overview(of: "a").map(\.pending), [1, 1], "the messages of an agent's mailboxes")
      await store.close()
      try await refused("sending to a closed store", as: .closed) {
        try await store.send(Self.message("m"), to: address)
      }
    }
  }
}
