// SPDX-License-Identifier: Apache-2.0

import Foundation

/// The figures as text: raw, and as ratios to the baseline.
enum Report {
  /// Processes that compete for one file.
  static func crowd(_ title: String, _ plain: RunResult, _ ours: [(String, RunResult)]) -> [String] {
    var lines = [title, heading, row("plain SQLite", plain)]
    for (name, result) in ours {
      lines.append(row("Holdfast, \(name)", result))
      lines.append(
        "  against plain SQLite: \(number(result.perSecond / plain.perSecond))× the commits, longest wait 1/"
          + "\(number(Double(plain.longest) / Double(max(1, result.longest))))")
    }
    return lines + [""]
  }

  /// Tasks of one process.
  static func process(_ title: String, _ pool: RunResult, _ ours: RunResult) -> [String] {
    [
      title, heading, row("GRDB DatabasePool.write", pool), row("Holdfast", ours),
      "  against GRDB: \(number(ours.perSecond / pool.perSecond))× the commits",
      "",
    ]
  }

  static let appendHeading =
    "  \(left("threads", 24))\(right("p50", 11))\(right("p99", 11))\(right("p99.9", 11))"
    + "\(right("longest", 11))"

  /// Appends, by their times in nanoseconds.
  static func appends(_ name: String, _ times: [UInt32]) -> String {
    let sorted = times.sorted()
    let parts = [0.5, 0.99, 0.999, 1].map { share in
      let nanoseconds = sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]
      return right(String(format: "%.2f µs", Double(nanoseconds) / 1000), 11)
    }
    return "  \(left(name, 24))" + parts.joined()
  }

  /// Answers to questions of two words.
  static func search(_ messages: Int, _ result: Searching.Result) -> [String] {
    func answers(_ name: String, _ times: Turns) -> String {
      "  \(left(name, 24))\(right(time(times.percentile(0.5)), 11))\(right(time(times.percentile(0.99)), 11))"
    }
    func ratio(_ ours: Int, _ plain: Int) -> String { number(Double(ours) / Double(max(1, plain))) }
    let (quiet, beside) = (result.quiet, result.beside)
    return [
      "search: \(messages) messages, two words, 20 hits with snippets",
      "  \(left("", 24))\(right("p50", 11))\(right("p99", 11))",
      answers("SQLite FTS5", quiet.plain), answers("Holdfast", quiet.ours),
      "  against FTS5: p50 \(ratio(quiet.ours.percentile(0.5), quiet.plain.percentile(0.5)))×",
      "  beside a writer of \(Int(result.rate)) messages/s",
      answers("SQLite FTS5", beside.plain), answers("Holdfast", beside.ours),
      "  against FTS5 beside the same: p50 \(ratio(beside.ours.percentile(0.5), beside.plain.percentile(0.5)))×; "
        + "against itself without: \(ratio(beside.ours.percentile(0.5), quiet.ours.percentile(0.5)))×",
      "  on their way: \(Int(result.appended)) messages/s appended, \(Int(result.indexed))/s indexed", "",
    ]
  }

  /// Reports over ledgers of several sizes, beside the smallest.
  static func reports(_ sizes: [Int], _ result: Reporting.Result) -> [String] {
    var lines = [
      "report: \(sizes.map(String.init).joined(separator: ", ")) rows over 7 days, median of 15",
      "  \(left("", 24))" + sizes.map { right("\($0) rows", 16) }.joined() + right("largest against", 18),
    ]
    for (name, times) in result.reports {
      let ratio = Double(times[times.count - 1]) / Double(max(1, times[0]))
      lines.append(
        "  \(left(name, 24))" + times.map { right(time($0), 16) }.joined() + right("\(number(ratio))×", 18))
    }
    for ((rows, first, last), bytes) in zip(result.growth, result.bytesPerRow) {
      lines.append(
        "  \(rows) rows: landed at \(Int(first))/s first, \(Int(last))/s last; \(Int(bytes)) bytes a row")
    }
    return lines + [""]
  }

  private static let heading =
    "  \(left("", 24))\(right("commits/s", 11))\(right("p50", 11))\(right("p99", 11))\(right("longest", 11))"
    + "\(right("fewest…most each", 20))\(right("ratio", 8))"

  private static func row(_ name: String, _ result: RunResult) -> String {
    let all = Turns(waits: result.writers.flatMap(\.waits))
    return "  \(left(name, 24))\(right(String(Int(result.perSecond)), 11))"
      + "\(right(time(all.percentile(0.5)), 11))\(right(time(all.percentile(0.99)), 11))"
      + "\(right(time(result.longest), 11))\(right("\(result.fewest)…\(result.most)", 20))"
      + "\(right(number(result.evenness), 8))"
  }

  private static func time(_ microseconds: Int) -> String {
    microseconds < 10_000 ? "\(microseconds) µs" : "\(microseconds / 1000) ms"
  }

  private static func number(_ value: Double) -> String {
    value < 10 ? String(format: "%.2f", value) : String(Int(value.rounded()))
  }

  private static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(1, width - text.count))
  }

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(1, width - text.count)) + text
  }
}
