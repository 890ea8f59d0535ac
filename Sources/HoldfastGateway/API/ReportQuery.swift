// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine
public import HoldfastUsage

/// The question of a usage report in words, as on the command line and in `/api/usage`.
public enum ReportQuery {
  /// What is wrong with a question.
  public struct Problem: Error, Sendable, CustomStringConvertible {
    /// One sentence.
    public let message: String

    /// The sentence.
    public var description: String { message }
  }

  /// Reads the parameters of a URL: `by`, `since`, `until`, `limit`.
  static func parse(_ parameters: [(String, String)]) throws(Problem) -> UsageReportQuery {
    var by: String?
    var since: String?
    var until: String?
    var limit: String?
    for (name, value) in parameters {
      switch name {
      case "by": by = value
      case "since": since = value
      case "until": until = value
      case "limit": limit = value
      default: throw Problem(message: "“\(name)” is not known here; since, until, by and limit are.")
      }
    }
    return try query(by: by, since: since, until: until, limit: limit)
  }

  /// Makes a question of its words.
  ///
  /// - Parameters:
  ///   - by: a grouping; `model` by default.
  ///   - since: a time, or how long ago (`7d`, the default; `90m`, `24h`, `2w`; `all` for everything).
  ///   - until: a time, or how long ago; open by default.
  ///   - limit: the most lines wanted.
  ///   - now: the moment spans are counted from.
  /// - Throws: ``Problem`` naming the word that cannot be read.
  public static func query(
    by: String?, since: String?, until: String?, limit: String?, now: UTCInstant = .now
  ) throws(Problem) -> UsageReportQuery {
    guard let grouping = UsageGrouping(rawValue: by ?? "model") else {
      let known = UsageGrouping.allCases.map(\.rawValue).joined(separator: ", ")
      throw Problem(message: "“\(by ?? "")” is nothing to sum by; \(known) are.")
    }
    var query = UsageReportQuery(by: grouping)
    if since != "all" { query.since = try moment(since ?? "7d", now: now, roundingDown: true) }
    if let until { query.until = try moment(until, now: now, roundingDown: false) }
    if let limit {
      guard let number = Int(limit), number > 0 else {
        throw Problem(message: "“\(limit)” is no limit; a whole number above zero is.")
      }
      query.limit = number
    }
    return query
  }

  /// A time in RFC 3339, a date, or a span back from now. A span back begins on its hour, where the hourly sums do.
  private static func moment(
    _ text: String, now: UTCInstant, roundingDown: Bool
  ) throws(Problem) -> UTCInstant {
    if let time = UTCInstant(text) { return time }
    if text == "today" { return now.startOfDay }
    let units: [Character: Int64] = ["m": 60, "h": 3600, "d": 86_400, "w": 604_800]
    if let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()),
      (0...100_000).contains(count)
    {
      let time = now.advanced(by: .seconds(-count * unit))
      return roundingDown ? time.startOfHour : time
    }
    throw Problem(
      message: "“\(text)” is no time; 2026-11-21, 2026-11-21T09:30:00Z, 7d, 24h, 90m, 2w, today and all are.")
  }
}
