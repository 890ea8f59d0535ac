// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage
import NIOCore
import Testing

@testable import HoldfastGateway

private func facts(_ model: String? = "m", provider: String = "anthropic") -> LiveRequest.Facts {
  LiveRequest.Facts(provider: provider, endpoint: .anthropicMessages, model: model)
}

private func begin(_ requests: LiveRequests, _ facts: LiveRequest.Facts = facts()) -> LiveRequest {
  requests.begin(facts, startedAt: UnixTime(nanoseconds: 1_763_000_000_000_000_000), start: .now())
}

private func row(_ model: String = "m", output: Int64? = 3) -> UsageRow {
  var row = UsageRow(provider: "anthropic", model: model)
  (row.inputTokens, row.outputTokens, row.status) = (10, output, 200)
  return row
}

@Suite struct LiveRequestsTests {
  private let requests = LiveRequests()

  @Test func aRequestIsSeenFromItsBeginningToItsEnd() {
    let first = begin(requests, facts(nil))
    let second = begin(requests)
    requests.tell(first, model: "late")
    first.noteHead()
    first.noteBody(100)
    first.noteBody(50)
    first.noteOutput(pieces: 3, tokens: 2)
    let view = requests.view()
    #expect(view.count == 2)
    #expect(view.running.map(\.facts.model) == ["late", "m"])
    let progress = view.running.map { $0.request.progress }
    #expect(progress.map(\.bytes) == [150, 0])
    #expect(progress.map(\.pieces) == [3, 0])
    #expect(progress.map(\.outputTokens) == [2, nil])
    #expect(progress.map(\.hasHead) == [true, false])
    requests.end(first, row("late"))
    requests.end(second, row())
    #expect(requests.count == 0)
    #expect(requests.view().ended.map(\.row.model) == ["late", "m"])
    #expect(requests.view().ended.map(\.bytes) == [150, 0])
  }

  @Test func onlyTheLastEndedAreKeptInTheirOrder() {
    for number in 1...250 { requests.end(begin(requests), row("m\(number)")) }
    let view = requests.view()
    #expect(view.endedCount == 250)
    #expect(view.ended.map(\.row.model) == (151...250).map { "m\($0)" })
    #expect(requests.view(endedAfter: 248).ended.map(\.row.model) == ["m249", "m250"])
    #expect(requests.view(endedAfter: 250).ended.isEmpty)
  }

  @Test func requestsBeyondTheBoundAreCountedAndNotListed_G07() {
    let all = (0..<LiveRequests.maximumListed + 10).map { _ in begin(requests) }
    #expect(requests.view().running.count == LiveRequests.maximumListed)
    #expect(requests.count == all.count)
    for one in all { requests.end(one, row()) }
    #expect(requests.count == 0)
    #expect(requests.view().running.isEmpty)
  }
}

@Suite struct LiveFeedTests {
  private let requests = LiveRequests()

  private func feed(price: @escaping @Sendable (inout UsageRow) -> Void = { _ in }) -> LiveFeed {
    LiveFeed(requests, origin: "t", looksByItself: false, price: price)
  }

  /// What is queued for a subscriber, once the feed has stopped.
  private func all(_ subscription: LiveFeed.Subscription, _ feed: LiveFeed) async -> String {
    feed.stop()
    var text = ""
    for await batch in subscription.batches { text += String(buffer: batch) }
    return text
  }

  private func events(_ text: String, _ name: String) -> [Substring] {
    text.split(separator: "event: \(name)\ndata: ").dropFirst().map { $0.prefix { $0 != "\n" } }
  }

  @Test func whatPassesBetweenTwoLooksIsOneEvent() async throws {
    let feed = feed()
    let subscription = try feed.subscribe()
    let request = begin(requests)
    feed.look()
    for _ in 0..<1000 { request.noteBody(7) }
    request.noteHead()
    feed.look()
    // Nothing has happened.
    feed.look()
    requests.end(request, row())
    feed.look()
    let told = events(await all(subscription, feed), "request")
    #expect(told.count == 3)
    #expect(told[0].contains(#""state":"started""#))
    #expect(told[1].contains(#""bytes":7000"#) && told[1].contains(#""state":"streaming""#))
    #expect(told[2].contains(#""state":"ended""#) && told[2].contains(#""output_tokens":3"#))
    #expect(told.allSatisfy { $0.contains(#""id":"t-1""#) })
  }

  @Test func aNewSubscriberHearsWhatIsInFlightAndNothingOfThePast() async throws {
    requests.end(begin(requests), row("past"))
    _ = begin(requests, facts("present"))
    let feed = feed()
    let subscription = try feed.subscribe()
    feed.look()
    let text = await all(subscription, feed)
    #expect(text.hasPrefix("retry: 1000\n\n"))
    #expect(text.contains("present"))
    #expect(!text.contains("past"))
  }

  @Test func anEndedRequestIsPricedWhenItIsLookedAt() async throws {
    let feed = feed { $0.costMicrodollars = 42 }
    requests.end(begin(requests), row())
    #expect(feed.overview().ended.map(\.costMicrodollars) == [42])
    #expect(requests.view().ended.map(\.row.costMicrodollars) == [nil])
  }

  @Test func aSubscriberThatDoesNotReadIsLetGoAndTheOthersStay_G07() async throws {
    let feed = feed()
    let slow = try feed.subscribe()
    let quick = try feed.subscribe()
    var reader = quick.batches.makeAsyncIterator()
    _ = await reader.next()
    let request = begin(requests)
    for _ in 0..<LiveFeed.maximumBatches + 5 {
      request.noteBody(1)
      feed.look()
      _ = await reader.next()
    }
    #expect(feed.counts == LiveFeed.Counts(subscribers: 1, dropped: 1))
    // What was queued for it is bounded, and its stream has ended.
    var batches = 0
    for await _ in slow.batches { batches += 1 }
    #expect(batches == LiveFeed.maximumBatches)
  }

  @Test func onlySoManyListenAndOneThatLeavesMakesRoom() throws {
    let feed = feed()
    var all = try (0..<LiveFeed.maximumSubscribers).map { _ in try feed.subscribe() }
    #expect(throws: LiveFeed.Refusal.full) { try feed.subscribe() }
    all.removeLast()
    #expect(throws: Never.self) { _ = try feed.subscribe() }
    #expect(feed.counts.dropped == 0)
  }

  @Test func whoAsksAfterTheOrderToStopIsRefused_G08() throws {
    let feed = feed()
    feed.stop()
    #expect(throws: LiveFeed.Refusal.stopping) { try feed.subscribe() }
  }

  @Test func landedRowsAndBudgetsAreToldOnce() async throws {
    let feed = feed()
    let subscription = try feed.subscribe()
    feed.noteUsage()
    feed.noteUsage()
    feed.noteBudget(#"{"name":"b"}"#)
    feed.look()
    feed.look()
    let text = await all(subscription, feed)
    #expect(events(text, "usage").count == 1)
    #expect(events(text, "budget") == [#"{"name":"b"}"#])
  }

  @Test func howTheDaemonIsIsToldWhenItIsNewsAndToWhoeverComesLater() async throws {
    let feed = feed()
    let first = try feed.subscribe()
    feed.note(LiveStatus(health: .ok, waiting: 0, refused: 0))
    feed.look()
    feed.note(LiveStatus(health: .ok, waiting: 0, refused: 0))
    feed.look()
    let second = try feed.subscribe()
    feed.note(LiveStatus(health: .degraded, waiting: 3, refused: 0))
    feed.look()
    let well = #"{"health":"ok","refused":0,"waiting":0}"#
    let ill = #"{"health":"degraded","refused":0,"waiting":3}"#
    #expect(events(await all(first, feed), "status") == [well[...], ill[...]])
    #expect(events(await all(second, feed), "status") == [well[...], ill[...]])
  }

  @Test func aSilentConnectionHearsACommentOnceInAWhile() async throws {
    let feed = feed()
    let subscription = try feed.subscribe()
    for _ in 0..<LiveFeed.looksPerBeat * 2 { feed.look() }
    let text = await all(subscription, feed)
    #expect(text.split(separator: "\n").filter { $0.hasPrefix(": ") }.count == 2)
  }

  @Test func whatAClientCallsItselfCannotEndAnEvent() async throws {
    let feed = feed()
    let subscription = try feed.subscribe()
    var nasty = facts("m\n\nevent: usage\ndata: {}\r\u{2028}")
    nasty.source = "\"\n\n"
    _ = begin(requests, nasty)
    feed.look()
    let text = await all(subscription, feed)
    #expect(events(text, "usage").isEmpty)
    #expect(events(text, "request").count == 1)
  }
}
