// SPDX-License-Identifier: Apache-2.0

import HoldfastSessions

/// One request and its answer, as messages.
struct ConversationTurn: Sendable, Hashable {
  /// What the request told, in its order.
  var history: [NewMessage] = []
  /// The answer this request goes on from, where the server keeps the history and the request told only what is
  /// new; nil where it told everything.
  var continues: String?
  /// What was answered; empty when it could not be read.
  var answers: [NewMessage] = []
  /// What the provider calls the answer.
  var answerID: String?
}

/// What a session's transcript has, and what of a request is new to it: a pure value, no I/O (rows D03, D05).
///
/// A client sends its whole history with every request. It may leave out its beginning, or put a summary in its
/// place; go back and ask something else; ask the same again; tell old messages in other words. None of that takes
/// anything away from the transcript or puts it there twice: what was said stays in the order it was said, and what is
/// new comes after it.
struct KnownTranscript: Sendable {
  /// A message of the transcript.
  private struct Entry: Sendable {
    var print: MessagePrint
    var role: String
    /// The words of an answer that was cut: the client may have seen less of it.
    var cut: String?
  }

  /// A message to be appended.
  struct Addition: Sendable, Hashable {
    /// With its uid.
    var message: NewMessage
    fileprivate var print: MessagePrint
    /// The answer it belongs to.
    fileprivate var answerID: String?
  }

  /// What a request comes to.
  struct Plan: Sendable {
    /// In the order they are to be appended.
    var additions: [Addition] = []
    /// Messages told in other words than the transcript has; it stays as it is.
    var edits = 0
    /// Whether the history fitted, but for what is new at its end.
    var isContinuation = true
  }

  private var entries: [Entry] = []
  private var instructions: Set<MessagePrint> = []
  /// The uid of the last message; the next one's follows from it.
  private var last = ""
  /// The place behind each answer, by what the provider calls it.
  private var answers: [String: Int] = [:]

  /// How a cut answer's message ends.
  static let cutReason = "cut"

  /// The transcript of a session that has no messages.
  init() {}

  /// How many messages it has, but for instructions.
  var count: Int { entries.count }

  /// Notes a message the session has, in the order they were appended.
  mutating func note(_ message: NewMessage) {
    note(message, MessagePrint(message), answerID: nil)
  }

  /// Notes that an addition was appended.
  mutating func note(_ addition: Addition) {
    note(addition.message, addition.print, answerID: addition.answerID)
  }

  private mutating func note(_ message: NewMessage, _ print: MessagePrint, answerID: String?) {
    last = message.uid ?? last
    guard !MessagePrint.isInstruction(message.role) else {
      instructions.insert(print)
      return
    }
    let isCut = message.finishReason == Self.cutReason
    entries.append(
      Entry(print: print, role: message.role, cut: isCut ? MessagePrint.words(message) : nil))
    if let answerID {
      // Bounded: a client goes on from one of its latest answers.
      if answers.count >= 1000 { answers.removeAll() }
      answers[answerID] = entries.count
    }
  }

  /// What of a request and its answer is new.
  func plan(_ turn: ConversationTurn) -> Plan {
    var plan = Plan()
    var last = self.last
    func add(_ message: NewMessage, _ print: MessagePrint, answerID: String?) {
      var message = message
      let uid = MessagePrint.uid(after: last, print, answer: answerID)
      message.uid = uid
      last = uid
      plan.additions.append(Addition(message: message, print: print, answerID: answerID))
    }

    var told: [Told] = []
    var newInstructions: Set<MessagePrint> = []
    for message in turn.history {
      let print = MessagePrint(message)
      if MessagePrint.isInstruction(message.role) {
        // Wherever it stands and however often: it is there once.
        if !instructions.contains(print), newInstructions.insert(print).inserted {
          add(message, print, answerID: nil)
        }
      } else {
        told.append(Told(message: message, print: print))
      }
    }

    let isWhole = turn.continues == nil
    // What follows the last answer is what is asked now; what is before it has been said.
    let asked = isWhole ? (told.lastIndex { $0.message.role == "assistant" }.map { $0 + 1 } ?? 0) : 0
    let past = told[..<asked]
    var end: Int?
    if let before = turn.continues {
      end = answers[before]
    } else {
      let found = align(past)
      plan.edits = found.edits
      plan.isContinuation = found.new.isEmpty && found.edits == 0
      for index in found.new { add(told[index].message, told[index].print, answerID: nil) }
      end = found.end
    }
    // The same asked again at the same place: an attempt that was cut, or another answer wanted.
    var index = asked
    if var place = end {
      while index < told.count, place < entries.count, fits(told[index], entries[place]) {
        index += 1
        place += 1
      }
    }
    for item in told[index...] { add(item.message, item.print, answerID: nil) }
    for message in turn.answers { add(message, MessagePrint(message), answerID: turn.answerID ?? "") }
    return plan
  }

  // MARK: - Alignment

  private struct Told {
    var message: NewMessage
    var print: MessagePrint
  }

  private func fits(_ told: Told, _ entry: Entry) -> Bool {
    if told.print == entry.print { return true }
    guard let cut = entry.cut, told.message.role == entry.role else { return false }
    let words = MessagePrint.words(told.message)
    return !words.isEmpty && (cut.hasPrefix(words) || words.hasPrefix(cut))
  }

  /// The most pairs that are compared one with another; beyond, the first fit in order is taken.
  private static let mostPairs = 4_000_000

  /// Finds the past a client tells in the transcript: in order, each message once.
  ///
  /// - Returns: which of it are new, how many are edits, and the place behind the last; nil when the last is new.
  private func align(_ past: ArraySlice<Told>) -> (new: [Int], edits: Int, end: Int?) {
    // That it goes on is likelier than that it goes back to where the same was said before.
    if past.count <= entries.count, zip(past, entries.suffix(past.count)).allSatisfy({ fits($0, $1) }),
      !past.isEmpty
    {
      return ([], 0, entries.count)
    }
    var start = 0
    while start < past.count, start < entries.count, fits(past[start], entries[start]) { start += 1 }
    if start == past.count { return ([], 0, start) }
    // Its beginning left out: it ends as the transcript does.
    var tail = 0
    while tail < min(past.count, entries.count) - start,
      fits(past[past.count - 1 - tail], entries[entries.count - 1 - tail])
    {
      tail += 1
    }
    var places = [Int?](repeating: nil, count: past.count)
    for index in 0..<start { places[index] = index }
    for index in 0..<tail { places[past.count - 1 - index] = entries.count - 1 - index }
    let middle = common(past[start..<(past.count - tail)], start..<(entries.count - tail))
    for (index, place) in middle { places[index] = place }
    return sorted(past, places)
  }

  /// Tells what is new from what is only told in other words: where as many are told between two that fit as the
  /// transcript has there, by the same speakers, they are the same ones.
  private func sorted(
    _ past: ArraySlice<Told>, _ found: [Int?]
  ) -> (new: [Int], edits: Int, end: Int?) {
    var places = found
    var edits = 0
    let isAnyFound = found.contains { $0 != nil }
    var index = 0
    while index < past.count {
      guard places[index] == nil else {
        index += 1
        continue
      }
      let begin = index
      while index < past.count, places[index] == nil { index += 1 }
      let before = begin == 0 ? -1 : places[begin - 1] ?? -1
      let isAtEnd = index == past.count
      let after = isAtEnd ? entries.count : places[index] ?? entries.count
      let gap = (before + 1)..<max(before + 1, after)
      let count = index - begin
      // At the end, what the client goes back from follows.
      let isSize = isAtEnd ? begin > 0 && gap.count >= count : gap.count == count
      guard isAnyFound, isSize else { continue }
      let isSame = zip(begin..<index, gap).allSatisfy { past[$0].message.role == entries[$1].role }
      guard isSame else { continue }
      for (told, place) in zip(begin..<index, gap) { places[told] = place }
      edits += count
    }
    let new = places.indices.filter { places[$0] == nil }
    return (new, edits, places.last.flatMap { $0 }.map { $0 + 1 })
  }

  /// The longest common sequence of a piece of the past and a piece of the transcript.
  private func common(_ told: ArraySlice<Told>, _ known: Range<Int>) -> [(Int, Int)] {
    guard !told.isEmpty, !known.isEmpty else { return [] }
    guard told.count * known.count <= Self.mostPairs else { return firstFits(told, known) }
    let width = known.count + 1
    // lengths[i][j]: of what remains from told[i] and known[j] on.
    var lengths = [UInt32](repeating: 0, count: (told.count + 1) * width)
    for i in stride(from: told.count - 1, through: 0, by: -1) {
      let item = told[told.startIndex + i]
      for j in stride(from: known.count - 1, through: 0, by: -1) {
        let here = i * width + j
        lengths[here] =
          fits(item, entries[known.lowerBound + j])
          ? lengths[here + width + 1] + 1 : max(lengths[here + width], lengths[here + 1])
      }
    }
    var pairs: [(Int, Int)] = []
    var (i, j) = (0, 0)
    while i < told.count, j < known.count {
      let here = i * width + j
      if fits(told[told.startIndex + i], entries[known.lowerBound + j]) {
        pairs.append((told.startIndex + i, known.lowerBound + j))
        (i, j) = (i + 1, j + 1)
      } else if lengths[here + width] >= lengths[here + 1] {
        i += 1
      } else {
        j += 1
      }
    }
    return pairs
  }

  private func firstFits(_ told: ArraySlice<Told>, _ known: Range<Int>) -> [(Int, Int)] {
    var places: [MessagePrint: [Int]] = [:]
    for place in known.reversed() { places[entries[place].print, default: []].append(place) }
    var pairs: [(Int, Int)] = []
    var from = known.lowerBound
    for index in told.indices {
      while let place = places[told[index].print]?.popLast() {
        guard place >= from else { continue }
        pairs.append((index, place))
        from = place + 1
        break
      }
    }
    return pairs
  }
}
