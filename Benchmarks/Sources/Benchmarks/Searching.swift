// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine
import HoldfastSessions

/// Searches for two words among many messages, beside SQLite's FTS5 asked the same in this process.
///
/// Words are spread as in a language (Zipf); a question is two words of one message, without the 200 commonest,
/// which a person leaves out. 20 hits are asked for with their snippets. The two sides answer each question one
/// after the other, and every question was asked once before.
struct Searching {
  let messages: Int
  /// Messages a second of the writer beside.
  static let rate = 2000
  private static let questions = 500
  private static let commonest = 200
  private static let sessionLength = 500

  /// Times of answers.
  struct Result {
    var quiet: (ours: Turns, plain: Turns)
    var beside: (ours: Turns, plain: Turns)
    /// What the writer wrote a second.
    var rate: Double
    /// Messages a second on their way in, and into the index.
    var appended: Double
    var indexed: Double
  }

  func result(in directory: String) async throws -> Result {
    let corpus = Corpus()
    let store = try await SQLiteSessionStore.open(home: directory)
    let plain = try Self.makePlain(at: directory + "/plain.db")
    var start = ContinuousClock.now
    Self.say("appending \(messages) messages to each side")
    try await fill(store, corpus)
    let appended = Double(messages) / (start.duration(to: .now) / .seconds(1))
    try fill(plain, corpus)
    let search = store.makeSearch()
    Self.say("indexing")
    start = .now
    try await search.catchUp()
    let indexed = Double(messages) / (start.duration(to: .now) / .seconds(1))
    // What is done in idle time by whoever indexes.
    try await search.optimise()

    var random = SplitMix(state: 11)
    let questions = (0..<Self.questions).map { _ in
      corpus.question(among: messages, ranks: Self.commonest..., &random)
    }
    Self.say("asking")
    for question in questions { _ = try await Self.ask(question, search, plain) }
    let quiet = try await measure(questions, search, plain)
    await search.startIndexing()
    let writer = Task { try await Self.write(to: store, plain, corpus, from: messages) }
    start = .now
    let beside = try await measure(questions, search, plain)
    let span = start.duration(to: .now) / .seconds(1)
    writer.cancel()
    let written = try await writer.value
    await search.close()
    await store.close()
    return Result(
      quiet: quiet, beside: beside, rate: Double(written) / span, appended: appended, indexed: indexed)
  }

  /// Tells on standard error where a long run is.
  private static func say(_ what: String) { FileHandle.standardError.write(Data("  \(what) …\n".utf8)) }

  // MARK: - Both sides

  private func measure(
    _ questions: [String], _ search: MessageSearch, _ plain: DatabaseQueue
  ) async throws -> (ours: Turns, plain: Turns) {
    var times = (ours: Turns(), plain: Turns())
    for (place, question) in questions.enumerated() {
      // Who is first changes: the second finds the processor's caches cold for it.
      let answer = try await Self.ask(question, search, plain, plainFirst: place % 2 == 0)
      times.ours.add(answer.ours)
      times.plain.add(answer.plain)
    }
    return times
  }

  private static func ask(
    _ question: String, _ search: MessageSearch, _ plain: DatabaseQueue, plainFirst: Bool = false
  ) async throws -> (ours: Duration, plain: Duration) {
    var plainTime = plainFirst ? try time(question, plain) : .zero
    let start = ContinuousClock.now
    let answer = try await search.search(question, SearchOptions(limit: 20))
    let ours = start.duration(to: .now)
    precondition(answer.route != .scan, "the index was not used: \(answer.degraded ?? "")")
    precondition(!answer.hits.isEmpty, "nothing was found for \(question)")
    if !plainFirst { plainTime = try time(question, plain) }
    return (ours, plainTime)
  }

  private static func time(_ question: String, _ plain: DatabaseQueue) throws -> Duration {
    let start = ContinuousClock.now
    let rows = try plain.read { db in
      try Row.fetchAll(
        db.cachedStatement(
          sql: """
            SELECT rowid, snippet(message, 0, '[', ']', '…', 32), rank FROM message
            WHERE message MATCH ? ORDER BY rank LIMIT 20
            """), arguments: [question])
    }
    let time = start.duration(to: .now)
    precondition(!rows.isEmpty, "plain FTS5 found nothing for \(question)")
    return time
  }

  // MARK: - Filling

  private func fill(_ store: SQLiteSessionStore, _ corpus: Corpus) async throws {
    let sessions = (messages + Self.sessionLength - 1) / Self.sessionLength
    try await withThrowingTaskGroup(of: Void.self) { group in
      for worker in 0..<4 {
        group.addTask {
          for session in stride(from: worker, to: sessions, by: 4) {
            let first = session * Self.sessionLength
            let numbers = first..<min(first + Self.sessionLength, messages)
            try await store.append(numbers.map { Self.message(corpus, $0) }, to: "session-\(session)")
          }
        }
      }
      try await group.waitForAll()
    }
  }

  private static func message(_ corpus: Corpus, _ number: Int) -> NewMessage {
    NewMessage(role: number % 2 == 0 ? "user" : "assistant", content: .text(corpus.text(number)))
  }

  private static func makePlain(at path: String) throws -> DatabaseQueue {
    var configuration = Configuration()
    configuration.busyMode = .timeout(30)
    configuration.prepareDatabase { db in
      try db.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    }
    let plain = try DatabaseQueue(path: path, configuration: configuration)
    try plain.write { try $0.execute(sql: "CREATE VIRTUAL TABLE message USING fts5(text)") }
    return plain
  }

  private func fill(_ plain: DatabaseQueue, _ corpus: Corpus) throws {
    for first in stride(from: 0, to: messages, by: 10_000) {
      try Self.add((first..<min(first + 10_000, messages)).map(corpus.text), to: plain)
    }
  }

  private static func add(_ texts: [String], to plain: DatabaseQueue) throws {
    try plain.write { db in
      let insert = try db.cachedStatement(sql: "INSERT INTO message(text) VALUES (?)")
      for text in texts { try insert.execute(arguments: [text]) }
    }
  }

  /// Appends to both at a steady rate until it is cancelled; plain FTS5 through a connection of its own.
  private static func write(
    to store: SQLiteSessionStore, _ plain: DatabaseQueue, _ corpus: Corpus, from first: Int
  ) async throws -> Int {
    let other = try DatabaseQueue(path: plain.path, configuration: plain.configuration)
    let texts = (0..<rate).map { corpus.text(first + $0) }
    let start = ContinuousClock.now
    var written = 0
    while !Task.isCancelled {
      let due = Int(start.duration(to: .now) / .seconds(1) * Double(rate)) - written
      let batch = (0..<due).map { texts[(written + $0) % texts.count] }
      try await store.append(batch.map { NewMessage(role: "user", content: .text($0)) }, to: "beside")
      try add(batch, to: other)
      written += due
      try? await Task.sleep(for: .milliseconds(20))
    }
    try other.close()
    return written
  }
}

/// Texts by number, always the same.
struct Corpus: Sendable {
  private let words: [String]
  /// Sums of the words' weights.
  private let weights: [Double]

  init(size: Int = 50_000) {
    var random = SplitMix(state: 7)
    let starts = [
      "b", "br", "d", "f", "g", "gr", "k", "l", "m", "n", "p", "pl", "r", "s", "st", "t", "tr", "v",
    ]
    let ends = ["", "l", "m", "n", "r", "s", "t", "nd", "rk", "st"]
    var words: [String] = []
    var known: Set<String> = []
    while words.count < size {
      let syllables = 1 + random.below(1 + min(3, words.count / 400))
      let word = (0..<syllables).map { _ in
        starts[random.below(starts.count)] + String("aeiou".randomElement(using: &random) ?? "a")
          + ends[random.below(ends.count)]
      }.joined()
      if known.insert(word).inserted { words.append(word) }
    }
    var sum = 0.0
    weights = (0..<size).map { rank in
      sum += 1 / Double(rank + 2)
      return sum
    }
    self.words = words
  }

  private func rank(_ random: inout SplitMix) -> Int {
    let place = Double.random(in: 0..<(weights.last ?? 1), using: &random)
    var (low, high) = (0, weights.count - 1)
    while low < high {
      let middle = (low + high) / 2
      if weights[middle] > place { high = middle } else { low = middle + 1 }
    }
    return low
  }

  private func ranks(_ number: Int) -> [Int] {
    var random = SplitMix(state: UInt64(number) &* 0x9E37_79B9 &+ 1)
    return (0..<(20 + random.below(101))).map { _ in rank(&random) }
  }

  func text(_ number: Int) -> String { ranks(number).map { words[$0] }.joined(separator: " ") }

  /// Two words of one text.
  func question(among count: Int, ranks wanted: PartialRangeFrom<Int>, _ random: inout SplitMix) -> String {
    while true {
      let found = Set(ranks(random.below(count)).filter { wanted.contains($0) }).sorted()
      if found.count >= 2 {
        return found.shuffled(using: &random).prefix(2).map { words[$0] }.joined(separator: " ")
      }
    }
  }
}

/// A generator whose numbers are the same in every run (Steele, Lea, Flood 2014).
struct SplitMix: RandomNumberGenerator {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var value = state
    value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
    value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
    return value ^ (value >> 31)
  }

  mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
}
