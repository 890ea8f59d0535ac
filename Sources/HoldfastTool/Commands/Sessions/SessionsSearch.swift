// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastGateway
import HoldfastSessions

/// `holdfast sessions search`.
struct SessionsSearch: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "search",
    abstract: "Find messages.",
    discussion: """
      Examples:
        holdfast sessions search deadlock
        holdfast sessions search '"write ahead" -vacuum role:assistant after:7d'
        holdfast sessions search 'check* session:review' --neighbours 2 --json

      Words must all be there, in any form of case and accents; "…" is a phrase, -word
      must not be there, word* is a beginning; role:, source:, session:, after: and
      before: narrow it down. Nothing is a syntax error.

      The answer says how many messages the index has not followed yet (lag). The
      newest of them are scanned, so what was just written is found.
      """)

  @Argument(help: ArgumentHelp("What to look for.", valueName: "question"))
  var question: [String]

  @Option(name: .long, help: ArgumentHelp("The most hits.", valueName: "count"))
  var limit = 20

  @Option(name: .long, help: ArgumentHelp("Messages to show around each hit.", valueName: "count"))
  var neighbours = 0

  @Flag(name: .long, help: "Only the best hit of a session and all that came from it.")
  var grouped = false

  @Flag(name: .long, help: "Let the index follow every message first, however long it takes.")
  var wait = false

  @OptionGroup var common: CommonOptions

  func validate() throws {
    guard (1...1000).contains(limit) else {
      throw ValidationError("--limit is from 1 to 1000, not \(limit).")
    }
    guard (0...50).contains(neighbours) else {
      throw ValidationError("--neighbours is from 0 to 50, not \(neighbours).")
    }
  }

  func run() async throws {
    let options = SearchOptions(limit: limit, neighbours: neighbours, groupsByLineage: grouped)
    let text = question.joined(separator: " ")
    let answer = try await common.withSessionFiles(making: false) { store in
      let search = store.makeSearch()
      let outcome: Result<SearchAnswer, any Error>
      do {
        await follow(search)
        outcome = .success(try await search.search(text, options))
      } catch {
        outcome = .failure(error)
      }
      await search.close()
      return try outcome.get()
    }
    if common.json {
      Console.print(try JSONLine.text(answer))
    } else {
      Self.print(answer)
    }
  }

  /// Lets the index follow: for a moment, or to the end. That it cannot be written is no reason not to answer,
  /// and the answer says what it lacks.
  private func follow(_ search: MessageSearch) async {
    guard wait else {
      try? await search.catchUp(within: .milliseconds(500))
      return
    }
    do {
      while true {
        let lag = try await search.lag() ?? 1
        guard lag > 0 else { break }
        try await search.catchUp(within: .milliseconds(500))
        guard await search.isIndexer else {
          // Another process has the lease and follows.
          try await Task.sleep(for: .milliseconds(100))
          continue
        }
        Console.progress("\(Amount.count(lag)) messages to be indexed")
      }
    } catch {
      Console.printError("The index could not follow: \(error)")
    }
    Console.endProgress()
  }

  private static func print(_ answer: SearchAnswer) {
    for hit in answer.hits {
      let document = hit.document
      let others = hit.others > 0 ? ", \(hit.others) more like it" : ""
      Console.print(
        Console.bold(Console.printable(document.session))
          + Console.dim(" \(document.seq) \(Console.printable(document.role))\(others)"))
      let before = hit.neighbours.filter { $0.seq < document.seq }
      let after = hit.neighbours.filter { $0.seq > document.seq }
      for near in before { Console.print(Console.dim("  \(near.seq) \(short(near.text))")) }
      Console.print("  " + marked(hit.snippet))
      for near in after { Console.print(Console.dim("  \(near.seq) \(short(near.text))")) }
    }
    if answer.hits.isEmpty { Console.print("Nothing found.") }
    if let degraded = answer.degraded { Console.printError(degraded) }
    if answer.truncated { Console.printError("There may be more than these; --limit shows more.") }
    if answer.leftOut > 0 {
      Console.printError("\(answer.leftOut) words of the question were left out; it has too many.")
    }
  }

  private static func short(_ text: String) -> String {
    let line = Console.printable(String(text.prefix(100)))
    return text.count > 100 ? line + "…" : line
  }

  /// The snippet with what was found in bold.
  private static func marked(_ snippet: SearchSnippet) -> String {
    let bytes = Array(snippet.text.utf8)
    var out = ""
    var place = 0
    func piece(_ range: Range<Int>) -> String {
      Console.printable(String(decoding: bytes[range], as: UTF8.self))
    }
    for range in snippet.highlights {
      out += piece(place..<range.lowerBound) + Console.bold(piece(range))
      place = range.upperBound
    }
    return out + piece(place..<bytes.count)
  }
}
