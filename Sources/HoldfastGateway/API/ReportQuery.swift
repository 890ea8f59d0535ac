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

  /// Reads the parameters of a URL: `by`, `since`, `until`, `limit`, `zone`.
  static func parse(_ parameters: [(String, String)]) throws(Problem) -> UsageReportQuery {
    let words = try words(parameters, known: ["by", "since", "until", "limit", "zone"])
    return try query(
      by: words["by"], since: words["since"], until: words["until"], limit: words["limit"],
      zone: words["zone"])
  }

  /// Reads the parameters of a URL for sums over time: `by`, `split`, `since`, `until`, `zone`.
  static func parseSeries(_ parameters: [(String, String)]) throws(Problem) -> UsageSeriesQuery {
    let words = try words(parameters, known: ["by", "split", "since", "until", "zone"])
    guard let step = UsageSeriesQuery.Step(rawValue: words["by"] ?? "day") else {
      throw Problem(message: "“\(words["by"] ?? "")” is no step of time; hour and day are.")
    }
    let split = try grouping(words["split"])
    guard split != .day, split != .hour else {
      throw Problem(message: "“\(split.rawValue)” is a time, which splits nothing; model and source do.")
    }
    let span = try span(since: words["since"], until: words["until"], zone: words["zone"])
    return UsageSeriesQuery(by: step, split: split, since: span.since, until: span.until, zone: span.zone)
  }

  /// Reads the parameters of a URL for a span of time alone: `since`, `until`, `zone`.
  static func parseSpan(_ parameters: [(String, String)]) throws(Problem) -> Span {
    let words = try words(parameters, known: ["since", "until", "zone"])
    return try span(since: words["since"], until: words["until"], zone: words["zone"])
  }

  private static func words(
    _ parameters: [(String, String)], known: [String]
  ) throws(Problem) -> [String: String] {
    var words: [String: String] = [:]
    for (name, value) in parameters {
      guard known.contains(name) else {
        throw Problem(message: "“\(name)” is not known here; \(known.joined(separator: ", ")) are.")
      }
      words[name] = value
    }
    return words
  }

  /// Makes a question of its words.
  ///
  /// - Parameters:
  ///   - by: a grouping; `model` by default.
  ///   - since: a time, or how long ago (`7d`, the default; `90m`, `24h`, `2w`; `all` for everything).
  ///   - until: a time, or how long ago; open by default.
  ///   - limit: the most lines wanted.
  ///   - zone: where days begin: a name of the tz database, `local`, or `UTC`, the default.
  ///   - now: the moment spans are counted from.
  /// - Throws: ``Problem`` naming the word that cannot be read.
  public static func query(
    by: String?, since: String?, until: String?, limit: String?, zone: String? = nil, now: UTCInstant = .now
  ) throws(Problem) -> UsageReportQuery {
    let grouping = try grouping(by)
    let span = try span(since: since, until: until, zone: zone, now: now)
    var query = UsageReportQuery(by: grouping, since: span.since, until: span.until, zone: span.zone)
    if let limit {
      guard let number = Int(limit), number > 0 else {
        throw Problem(message: "“\(limit)” is no limit; a whole number above zero is.")
      }
      query.limit = number
    }
    return query
  }

  private static func grouping(_ word: String?) throws(Problem) -> UsageGrouping {
    guard let grouping = UsageGrouping(rawValue: word ?? "model") else {
      let known = UsageGrouping.allCases.map(\.rawValue).joined(separator: ", ")
      throw Problem(message: "“\(word ?? "")” is nothing to sum by; \(known) are.")
    }
    return grouping
  }

  /// A span of time, and where its days begin.
  public struct Span: Sendable, Hashable {
    /// The first moment that counts; nil means from the beginning.
    public var since: UTCInstant?
    /// The first moment that counts no more; nil means to the end.
    public var until: UTCInstant?
    /// Where days begin.
    public var zone: CivilZone
  }

  /// Makes a span of its words, as ``query(by:since:until:limit:zone:now:)`` does.
  ///
  /// - Throws: ``Problem`` naming the word that cannot be read.
  public static func span(
    since: String?, until: String?, zone: String?, now: UTCInstant = .now
  ) throws(Problem) -> Span {
    let zone = try civilZone(zone)
    var span = Span(since: nil, until: nil, zone: zone)
    if since != "all" { span.since = try moment(since ?? "7d", zone, now: now, roundingDown: true) }
    if let until { span.until = try moment(until, zone, now: now, roundingDown: false) }
    return span
  }

  private static func civilZone(_ word: String?) throws(Problem) -> CivilZone {
    guard let word else { return .utc }
    if word == "local" { return .current }
    guard let zone = CivilZone(word) else {
      throw Problem(message: "“\(word)” is no time zone; Europe/Berlin, UTC and local are.")
    }
    return zone
  }

  /// A time in RFC 3339, a date, or a span back from now. A span back begins on its hour, where the hourly sums do.
  private static func moment(
    _ text: String, _ zone: CivilZone, now: UTCInstant, roundingDown: Bool
  ) throws(Problem) -> UTCInstant {
    if let time = UTCInstant(text) {
      // A date alone is a day of the zone.
      guard text.utf8.count == 10 else { return time }
      return zone.start(ofDay: Int(time.milliseconds / 86_400_000))
    }
    if text == "today" { return zone.start(ofDay: zone.day(of: now)) }
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
