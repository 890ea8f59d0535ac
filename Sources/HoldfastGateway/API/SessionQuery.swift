// SPDX-License-Identifier: Apache-2.0

import HoldfastSessions

/// The parameters of `/api/sessions…` and `/api/search`, read strictly: one nobody knows is refused, because a filter
/// that is silently ignored shows what was not asked for.
enum SessionQuery {
  /// What is wrong with a question.
  struct Problem: Error {
    /// One sentence.
    let message: String
  }

  static func filter(_ parameters: [(String, String)]) throws(Problem) -> SessionFilter {
    var filter = SessionFilter()
    filter.archived = false
    filter.limit = 100
    for (name, value) in parameters {
      switch name {
      case "id": filter.ids = (filter.ids ?? []) + [value]
      case "source": filter.source = value
      case "parent": filter.parent = value
      case "text": filter.text = value
      case "archived": filter.archived = value == "all" ? nil : try flag(name, value, or: "all")
      case "roots": filter.isRoot = try flag(name, value) ? true : nil
      case "limit": filter.limit = try count(name, value, 1...1000)
      case "after":
        guard let place = SessionPlace(value) else {
          throw Problem(message: "“\(value)” is no place in the list; give back what an answer had as next.")
        }
        filter.after = place
      default: throw unknown(name, "id, source, parent, text, archived, roots, limit and after")
      }
    }
    return filter
  }

  static func page(_ parameters: [(String, String)]) throws(Problem) -> TranscriptPage {
    var page = TranscriptPage()
    var places = 0
    for (name, value) in parameters {
      switch name {
      case "after":
        page.place = .after(try place(value))
        places += 1
      case "before":
        page.place = value == "end" ? .end : .before(try place(value))
        places += 1
      case "from":
        guard let seq = Int64(value), (0...(1 << 53)).contains(seq) else {
          throw Problem(message: "“\(value)” is no message's seq.")
        }
        page.place = .from(seq: seq)
        places += 1
      case "states":
        page.states = []
        for word in value.split(separator: ",") {
          if word == "all" {
            page.states = Set(MessageState.allCases)
          } else if let state = MessageState(rawValue: String(word)) {
            page.states.insert(state)
          } else {
            throw Problem(message: "“\(word)” is no state of a message; live, compacted, undone and all are.")
          }
        }
        guard !page.states.isEmpty else { throw Problem(message: "states names none.") }
      case "limit": page.limit = try count(name, value, 1...1000)
      default: throw unknown(name, "after, before, from, states and limit")
      }
    }
    guard places <= 1 else { throw Problem(message: "Only one of after, before and from can be followed.") }
    return page
  }

  static func treeLimit(_ parameters: [(String, String)]) throws(Problem) -> Int {
    var limit = 1000
    for (name, value) in parameters {
      guard name == "limit" else { throw unknown(name, "limit") }
      limit = try count(name, value, 1...10_000)
    }
    return limit
  }

  static func search(_ parameters: [(String, String)]) throws(Problem) -> (String, SearchOptions) {
    var question: String?
    var options = SearchOptions()
    for (name, value) in parameters {
      switch name {
      case "q": question = value
      case "limit": options.limit = try count(name, value, 1...1000)
      case "neighbours": options.neighbours = try count(name, value, 0...50)
      case "grouped": options.groupsByLineage = try flag(name, value)
      default: throw unknown(name, "q, limit, neighbours and grouped")
      }
    }
    guard let question else { throw Problem(message: "What to look for is missing: give it as q.") }
    return (question, options)
  }

  private static func place(_ text: String) throws(Problem) -> MessagePlace {
    guard let place = MessagePlace(text) else {
      throw Problem(
        message: "“\(text)” is no place in a transcript; give back what an answer had as next or previous.")
    }
    return place
  }

  private static func flag(_ name: String, _ value: String, or other: String? = nil) throws(Problem) -> Bool {
    switch value {
    case "true", "1": return true
    case "false", "0": return false
    default:
      let known = ["true", "false", other].compactMap(\.self).joined(separator: ", ")
      throw Problem(message: "“\(value)” is nothing \(name) can be; \(known) are.")
    }
  }

  private static func count(
    _ name: String, _ value: String, _ range: ClosedRange<Int>
  ) throws(Problem) -> Int {
    guard let number = Int(value), range.contains(number) else {
      throw Problem(message: "\(name) is from \(range.lowerBound) to \(range.upperBound), not “\(value)”.")
    }
    return number
  }

  private static func unknown(_ name: String, _ known: String) -> Problem {
    Problem(message: "“\(name)” is not known here; \(known) are.")
  }
}
