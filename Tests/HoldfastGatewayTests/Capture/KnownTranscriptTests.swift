// SPDX-License-Identifier: Apache-2.0

import HoldfastSessions
import HoldfastTestKit
import Testing

@testable import HoldfastGateway

/// What of a client's history is new: each case is a conversation as some client tells it.
@Suite struct KnownTranscriptTests {
  /// A transcript that grows by turns, as the capture makes it grow.
  private struct Session {
    var known = KnownTranscript()
    var messages: [NewMessage] = []
    var edits = 0

    var words: [String] { messages.map { MessagePrint.words($0) } }

    mutating func take(
      _ history: [NewMessage], _ answers: [NewMessage], id: String? = nil, after: String? = nil
    ) {
      let plan = known.plan(
        ConversationTurn(history: history, continues: after, answers: answers, answerID: id))
      edits += plan.edits
      for addition in plan.additions {
        known.note(addition)
        messages.append(addition.message)
      }
    }

    /// As after a restart: known from what was stored.
    mutating func reload() {
      known = KnownTranscript()
      for message in messages { known.note(message) }
    }
  }

  private func user(_ text: String) -> NewMessage { NewMessage(role: "user", text) }
  private func said(_ text: String) -> NewMessage { NewMessage(role: "assistant", text) }

  @Test func aHistoryThatGrowsIsKeptOnce() {
    var session = Session()
    session.take([user("a")], [said("A")])
    session.take([user("a"), said("A"), user("b")], [said("B")])
    session.take([user("a"), said("A"), user("b"), said("B"), user("a")], [said("A")])
    #expect(session.words == ["a", "A", "b", "B", "a", "A"])
    #expect(Set(session.messages.map(\.uid)).count == 6)
  }

  @Test func theSameRequestWorkedOffTwiceHasTheSameUids() {
    let turn = ConversationTurn(history: [user("a")], answers: [said("A")], answerID: "r1")
    let first = KnownTranscript().plan(turn).additions.map(\.message.uid)
    #expect(KnownTranscript().plan(turn).additions.map(\.message.uid) == first)
  }

  @Test func whatIsToldInOtherFormIsTheSameMessage() {
    var session = Session()
    session.take([user(" a ")], [said("A\n")])
    let parts = MessageContent.json(
      .array([
        .object(["type": .string("text"), "text": .string("a"), "cache_control": .object([:])])
      ]))
    let thinking = MessageContent.json(
      .array([
        .object(["type": .string("thinking"), "thinking": .string("hm"), "signature": .string("x")]),
        .object(["type": .string("text"), "text": .string("A")]),
      ]))
    session.take(
      [
        NewMessage(role: "user", content: parts), NewMessage(role: "assistant", content: thinking), user("b"),
      ],
      [said("B")])
    #expect(session.words == ["a", "A", "b", "B"])
    #expect(session.edits == 0)
  }

  @Test func aCallIsKnownByItsId() {
    func call(_ arguments: String) -> NewMessage {
      var message = said("")
      message.toolCalls = .array([
        .object([
          "id": .string("c1"),
          "function": .object(["name": .string("look"), "arguments": .string(arguments)]),
        ])
      ])
      return message
    }
    var result = NewMessage(role: "tool", "found")
    result.toolCallID = "c1"
    var session = Session()
    session.take([user("a")], [call(#"{"at": 1}"#)])
    session.take([user("a"), call(#"{"at":1}"#), result], [said("B")])
    session.take([user("a"), call(#"{"at":1}"#), result, said("B"), user("c")], [said("C")])
    #expect(session.messages.map(\.role) == ["user", "assistant", "tool", "assistant", "user", "assistant"])
  }

  @Test func aWindowThatMovesAddsOnlyWhatIsNew() {
    var session = Session()
    var all: [NewMessage] = []
    for number in 0..<30 {
      all.append(user("q\(number % 3)"))
      session.take(Array(all.suffix(5)), [said("a\(number % 2)")])
      all.append(said("a\(number % 2)"))
    }
    #expect(session.words == all.map { MessagePrint.words($0) })
  }

  @Test func goingBackKeepsWhatWasSaid() {
    var session = Session()
    session.take([user("a")], [said("A")])
    session.take([user("a"), said("A"), user("b")], [said("B")])
    session.take([user("a"), said("A"), user("other")], [said("O")])
    session.take([user("a"), said("A"), user("other"), said("O"), user("c")], [said("C")])
    // And back to the first way once more.
    session.take([user("a"), said("A"), user("b"), said("B"), user("d")], [said("D")])
    #expect(session.words == ["a", "A", "b", "B", "other", "O", "c", "C", "d", "D"])
    #expect(session.edits == 0)
  }

  @Test func theSameAskedAgainAddsOnlyItsAnswer() {
    var session = Session()
    session.take([user("a")], [said("A")], id: "1")
    session.take([user("a")], [said("A")], id: "2")
    session.take([user("a"), said("A"), user("b")], [said("B")], id: "3")
    #expect(session.words == ["a", "A", "A", "b", "B"])
  }

  @Test func anInterruptedQuestionIsNotToldTwice() {
    var cut = said("The answ")
    cut.finishReason = KnownTranscript.cutReason
    var session = Session()
    session.take([user("a")], [cut])
    // The client has seen less of it, and more is asked.
    session.take([user("a"), said("The"), user("b")], [said("B")])
    #expect(session.words == ["a", "The answ", "b", "B"])
    var other = Session()
    other.take([user("a")], [cut])
    // The client dropped it.
    other.take([user("a"), user("b")], [said("B")])
    #expect(other.words == ["a", "The answ", "b", "B"])
  }

  @Test func anEditOfTheMiddleChangesNothingAndIsCounted() {
    var session = Session()
    session.take([user("a <note>")], [said("A")])
    session.take([user("a"), said("A"), user("b")], [said("B")])
    session.take([user("a"), said("A *"), user("b"), said("B"), user("c")], [said("C")])
    #expect(session.words == ["a <note>", "A", "b", "B", "c", "C"])
    #expect(session.edits == 3)
  }

  @Test func anAnswerThatWasMissedComesWithTheNextRequest() {
    var session = Session()
    session.take([user("a")], [])
    session.take([user("a"), said("A"), user("b")], [said("B")])
    #expect(session.words == ["a", "A", "b", "B"])
  }

  @Test func aSummaryInPlaceOfTheBeginningIsNew() {
    var session = Session()
    session.take([user("a")], [said("A")])
    session.take([user("a"), said("A"), user("b")], [said("B")])
    session.take([user("a"), said("A"), user("b"), said("B"), user("c")], [said("C")])
    session.take([user("in short: a b c"), said("C"), user("d")], [said("D")])
    #expect(session.words == ["a", "A", "b", "B", "c", "C", "in short: a b c", "d", "D"])
  }

  @Test func anotherConversationUnderTheSameIdIsKeptBeside() {
    var session = Session()
    session.take([user("a")], [said("A")])
    session.take([user("title?")], [said("T")])
    session.take([user("x"), said("X"), user("y")], [said("Y")])
    session.take([user("a"), said("A"), user("b")], [said("B")])
    #expect(session.words == ["a", "A", "title?", "T", "x", "X", "y", "Y", "b", "B"])
  }

  @Test func instructionsAreKeptOnce() {
    let brief = NewMessage(role: "system", "brief")
    var session = Session()
    session.take([brief, user("a")], [said("A")])
    session.reload()
    session.take(
      [NewMessage(role: "developer", "brief"), user("a"), said("A"), brief, user("b")], [said("B")])
    #expect(session.words == ["brief", "a", "A", "b", "B"])
  }

  @Test func aRequestThatGoesOnFromAStoredAnswerTellsOnlyWhatIsNew() {
    var session = Session()
    session.take([user("yes")], [said("A")], id: "r1")
    session.take([user("yes")], [said("B")], id: "r2", after: "r1")
    // Sent again after an answer that was lost.
    session.take([user("yes")], [said("B")], id: "r3", after: "r1")
    session.take([user("yes")], [said("C")], id: "r4", after: "unknown here")
    #expect(session.words == ["yes", "A", "yes", "B", "B", "yes", "C"])
  }

  /// Honest clients of every kind, at random: what they say is there once and in order; nothing is doubled.
  @Test(arguments: 0..<24 as Range<UInt64>)
  func anHonestClientsTranscriptIsWhatWasSaid(seed: UInt64) async {
    var random = SplitMix64(seed: seed)
    var session = Session()
    var history: [NewMessage] = []
    var spoken: [String] = []
    // Few words, so that the same is said often.
    let words = ["yes", "no", "go on", "done"]
    for turn in 0..<24 {
      // It computes for long: others have a turn between.
      await Task.yield()
      let question = user(words.randomElement(using: &random)!)
      history.append(question)
      spoken.append(MessagePrint.words(question))
      // It may leave out the beginning, but tells the last answers.
      let window = Int.random(in: 4...12, using: &random)
      let told =
        Bool.random(using: &random) || history.count <= window ? history : Array(history.suffix(window))
      let answer = said(
        words.randomElement(using: &random)! + (Int.random(in: 0..<3, using: &random) == 0 ? "" : " \(turn)"))
      session.take(told, [answer], id: Bool.random(using: &random) ? "same" : "r\(turn)")
      history.append(answer)
      spoken.append(MessagePrint.words(answer))
      if Int.random(in: 0..<6, using: &random) == 0 { session.reload() }
      #expect(session.words == spoken, "seed \(seed), turn \(turn)")
      guard session.words == spoken else { return }
    }
    #expect(Set(session.messages.map(\.uid)).count == session.messages.count)
  }

  /// Whatever a client tells: what is there stays, uids are unique, and telling all of it changes nothing.
  @Test(arguments: 0..<24 as Range<UInt64>)
  func noHistoryTakesAnythingAway(seed: UInt64) async {
    var random = SplitMix64(seed: seed &+ 1000)
    var session = Session()
    for turn in 0..<12 {
      await Task.yield()
      let before = session.messages
      var told: [NewMessage] = []
      for _ in 0..<Int.random(in: 0...8, using: &random) {
        let word = String(Int.random(in: 0..<4, using: &random))
        told.append(Bool.random(using: &random) ? user(word) : said(word))
      }
      if Bool.random(using: &random) { told = session.messages.shuffled(using: &random) + told }
      session.take(told, Bool.random(using: &random) ? [said("a\(turn)")] : [], id: "r\(turn)")
      #expect(Array(session.messages.prefix(before.count)) == before)
      #expect(Set(session.messages.map(\.uid)).count == session.messages.count)
      let count = session.messages.count
      session.take(session.messages, [])
      #expect(session.messages.count == count, "seed \(seed), turn \(turn)")
    }
  }
}
