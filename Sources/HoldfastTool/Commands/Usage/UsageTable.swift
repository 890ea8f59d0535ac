// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage

/// Lines of a report for people, or for a spreadsheet.
enum UsageTable {
  /// A table with the sum of all lines at its end.
  ///
  /// - Parameter previous: what each key came to before; nil: there is no such column.
  static func text(
    _ lines: [UsageReportLine], title: String, previous: [String?: UsageReportLine]?
  ) -> String {
    var columns: [Table.Column] = [
      .init(title: title), .init(title: "requests", isNumber: true), .init(title: "input", isNumber: true),
      .init(title: "cache read", isNumber: true), .init(title: "cache write", isNumber: true),
      .init(title: "output", isNumber: true), .init(title: "cache hit", isNumber: true),
      .init(title: "saved", isNumber: true), .init(title: "cost", isNumber: true),
    ]
    if previous != nil {
      columns += [.init(title: "before", isNumber: true), .init(title: "change", isNumber: true)]
    }
    columns += [
      .init(title: "errors", isNumber: true), .init(title: "unpriced", isNumber: true),
      .init(title: "unknown", isNumber: true),
    ]
    var table = Table(columns)
    func add(_ line: UsageReportLine, _ name: String, _ before: UsageReportLine?) {
      var cells = [
        name, Amount.count(line.requests), Amount.count(line.inputTokens), Amount.count(line.cacheReadTokens),
        Amount.count(line.cacheWrite5mTokens + line.cacheWrite1hTokens), Amount.count(line.outputTokens),
        line.cacheHitRatio.map(Amount.percent) ?? "–",
        line.savedMicrodollars == 0 ? "" : Amount.money(microdollars: line.savedMicrodollars),
        // A sum nobody knows is no zero.
        line.requests > 0 && line.unpriced == line.requests
          ? "–" : Amount.money(microdollars: line.costMicrodollars),
      ]
      if previous != nil {
        let cost = before?.costMicrodollars ?? 0
        cells.append(Amount.money(microdollars: cost))
        cells.append(change(from: cost, to: line.costMicrodollars))
      }
      cells += [line.errors, line.unpriced, line.unknown].map { $0 == 0 ? "" : Amount.count($0) }
      table.add(cells)
    }
    var total = UsageReportLine(emptyFor: nil)
    var totalBefore = UsageReportLine(emptyFor: nil)
    for line in lines {
      add(line, line.key ?? "(none)", previous?[line.key])
      total.add(line)
    }
    for line in (previous ?? [:]).values { totalBefore.add(line) }
    if lines.count > 1 || totalBefore.requests > 0 { add(total, "total", totalBefore) }
    return table.lines.joined(separator: "\n")
  }

  private static func change(from before: Int64, to now: Int64) -> String {
    guard before > 0 else { return now > 0 ? "new" : "" }
    let percent = (Double(now) / Double(before) - 1) * 100
    return (percent < 0 ? "" : "+") + "\(Int(percent.rounded())) %"
  }

  /// RFC 4180, with the names of the JSON's fields.
  static func csv(
    _ lines: [UsageReportLine], title: String, previous: [String?: UsageReportLine]?
  ) -> String {
    var names = [
      title, "requests", "input_tokens", "cache_read_tokens", "cache_write_5m_tokens",
      "cache_write_1h_tokens",
      "output_tokens", "cost_microusd", "saved_microusd", "errors", "unpriced", "unknown", "incomplete",
    ]
    if previous != nil { names.append("previous_cost_microusd") }
    let rows = lines.map { line -> String in
      var values = [
        line.requests, line.inputTokens, line.cacheReadTokens, line.cacheWrite5mTokens,
        line.cacheWrite1hTokens,
        line.outputTokens, line.costMicrodollars, line.savedMicrodollars, line.errors, line.unpriced,
        line.unknown,
        line.incomplete,
      ]
      if let previous { values.append(previous[line.key]?.costMicrodollars ?? 0) }
      return ([cell(line.key ?? "")] + values.map(String.init)).joined(separator: ",")
    }
    return ([names.joined(separator: ",")] + rows).joined(separator: "\r\n")
  }

  /// A text as a cell. What a spreadsheet would take for a formula begins with an apostrophe: names come from clients.
  private static func cell(_ text: String) -> String {
    var text = text
    if let first = text.first, "=+-@\t\r".contains(first) { text = "'" + text }
    // Byte by byte: to Swift, a carriage return and a line feed are one character.
    guard text.utf8.contains(where: { [0x22, 0x2C, 0x0A, 0x0D].contains($0) }) else { return text }
    return "\"" + text.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"")
      + "\""
  }
}
