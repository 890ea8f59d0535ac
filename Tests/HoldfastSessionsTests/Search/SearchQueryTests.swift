// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastSessions

@Suite("The query language") struct SearchQueryTests {
  private static let now: Int64 = 1_795_000_000_000

  @Test func filtersAreTakenOutAndWhatOnlyLooksLikeOneIsSearched_D10() {
    let query = SearchQuery(
      "role:user -role:tool source:\"claude code\" session:01J after:2026-01-31 before:7d https://a.b role:",
      now: Self.now)
    #expect(query.filter.roles == ["user"] && query.filter.excludedRoles == ["tool"])
    #expect(query.filter.sources == ["claude code"] && query.filter.sessions == ["01J"])
    #expect(query.filter.after == 1_769_817_600_000)
    #expect(query.filter.before == Self.now - 7 * 86_400_000)
    #expect(query.wanted.map(\.tokens) == [["https", "a", "b"], ["role"]])
    let wrong = SearchQuery("after:yesterday before:2026-02-30 user:x", now: Self.now)
    #expect(wrong.filter.isEmpty)
    #expect(
      wrong.wanted.map(\.tokens) == [
        ["after", "yesterday"], ["before", "2026", "02", "30"], ["user", "x"],
      ])
    #expect(SearchTime.milliseconds("2026-11-21T10:00:00.5Z", now: 0) == 1_795_255_200_500)
    #expect(SearchTime.milliseconds("1969-12-31", now: 0) == -86_400_000)
  }

  @Test func aQuestionOf100KBIsCutAndSaysSo_D10() {
    let long = SearchQuery(String(repeating: "word ", count: 20_000), now: 0)
    #expect(long.wanted.count == SearchQuery.mostPhrases && long.leftOut == 20_000 - SearchQuery.mostPhrases)
    #expect(SearchQuery(String(repeating: "\"-*():^{}'", count: 10_000), now: 0).isEmpty)
    let ideographs = SearchQuery(String(repeating: "数据", count: 20_000), now: 0)
    #expect(ideographs.wanted.map(\.tokens.count).reduce(0, +) <= SearchQuery.mostTokens)
  }

  /// Whatever is typed, FTS5 takes what is made of it, and nothing typed is ever its syntax.
  @Test func noBytesAreASyntaxError_D10() async throws {
    let home = try await SearchHome()
    try await home.messages.append(["alpha beta", "NEAR the AND column text: parts", "gamma \" ' ) delta"])
    try await home.search.catchUp()
    let pieces: [String] = [
      "\"", "'", "(", ")", "*", "^", "-", "+", ":", "{", "}", ",", "\\", "\0", " ", "\n", "AND", "OR", "NOT",
      "NEAR(", "text:", "parts :", "word", "rowid", "--", "/*", ";", "DROP TABLE word", "é", "数", "据库", "ไทย",
      "\u{00B7}", "🚀", "\u{200D}", "\u{FFFD}", "a", "B", "7", "role:", "after:", "before:1d", "-", "“", "”",
      "fooBarBaz", "\u{0301}", "\u{1100}", "ﾃ",
    ]
    var random = SplitMix64(seed: 10)
    for _ in 0..<1500 {
      var text = ""
      for _ in 0..<Int.random(in: 1...12, using: &random) {
        text += pieces.randomElement(using: &random) ?? ""
      }
      let answer = try await home.search.search(text)
      #expect(
        answer.route == .index || answer.route == .nothing,
        "\(text.debugDescription) \(answer.degraded ?? "")")
    }
    for _ in 0..<500 {
      let bytes = (0..<Int.random(in: 0...60, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      let answer = try await home.search.search(SearchQuery(bytes: bytes, now: Self.now))
      #expect(answer.route == .index || answer.route == .nothing, "\(bytes) \(answer.degraded ?? "")")
    }
    for text in [String(repeating: "\"(*", count: 33_000), String(repeating: "数", count: 33_000)] {
      #expect(try await home.search.search(text).degraded == nil)
    }
    #expect(try await home.ids("AND") == [2])
    #expect(try await home.ids("text:") == [2])
    #expect(try await home.ids("alpha OR beta").isEmpty)
    await home.close()
  }

  /// The scan and the index give a question one meaning: random messages, random questions, equal answers.
  @Test func theScanAndTheIndexAgree_D10() async throws {
    let home = try await SearchHome()
    let vocabulary = [
      "alpha", "beta", "alphabet", "alphabetical", "betaTester", "getAlphaBeta", "数据", "数据库", "库", "x", "x1",
      "/a/b", "b/a", "é", "Transportation", "port", "🚀", "ไทย", "الكتاب", "a_b", "ß",
    ]
    var random = SplitMix64(seed: 11)
    func words(_ range: ClosedRange<Int>) -> [String] {
      (0..<Int.random(in: range, using: &random)).map { _ in vocabulary.randomElement(using: &random) ?? "" }
    }
    let separators = [" ", "", ", ", "-"]
    let texts = (0..<300).map { _ in
      words(1...6).joined(separator: separators.randomElement(using: &random) ?? "")
    }
    try await home.messages.append(texts)
    let documents = try await home.messages.feed.newest(limit: 1000)
    try await home.search.catchUp()
    for _ in 0..<400 {
      let question = words(1...3).map { word in
        ["", "", "-", "\""].randomElement(using: &random).map { $0 + word } ?? word
      }.joined(separator: [" ", "* "].randomElement(using: &random) ?? " ")
      let query = SearchQuery(question, now: 0)
      guard !query.isEmpty else { continue }
      let scanned = documents.filter { query.matches($0) }.map(\.id).sorted()
      let indexed = try await home.search.search(query, SearchOptions(limit: 1000)).hits.map(\.document.id)
        .sorted()
      #expect(indexed == scanned, "\(question)")
    }
    await home.close()
  }
}
