// SPDX-License-Identifier: Apache-2.0

/// A table for people: columns as wide as what is in them, numbers to the right.
struct Table {
  /// A column.
  struct Column {
    var title: String
    var isNumber = false
  }

  private let columns: [Column]
  private var rows: [[String]] = []

  init(_ columns: [Column]) { self.columns = columns }

  mutating func add(_ cells: [String]) { rows.append(cells.map { Console.printable($0) }) }

  /// The table's lines.
  var lines: [String] {
    let widths = columns.indices.map { index in
      rows.reduce(columns[index].title.count) { max($0, $1[index].count) }
    }
    let head = line(columns.map(\.title), widths)
    return [Console.bold(head)] + rows.map { line($0, widths) }
  }

  private func line(_ cells: [String], _ widths: [Int]) -> String {
    var out = ""
    for (index, cell) in cells.enumerated() {
      let padding = String(repeating: " ", count: widths[index] - cell.count)
      if index > 0 { out += "  " }
      // Nothing follows the last column of text.
      out += columns[index].isNumber ? padding + cell : index == cells.count - 1 ? cell : cell + padding
    }
    return out
  }
}

/// Numbers for people.
enum Amount {
  /// `1,234,567`.
  static func count(_ number: some BinaryInteger) -> String {
    var digits = String(number.magnitude)
    var groups: [String] = []
    while digits.count > 3 {
      groups.insert(String(digits.suffix(3)), at: 0)
      digits.removeLast(3)
    }
    return (number < 0 ? "-" : "") + ([digits] + groups).joined(separator: ",")
  }

  /// `$12.34`; below a cent with the digits it takes.
  static func money(microdollars: Int64) -> String {
    let whole = microdollars / 1_000_000
    let rest = abs(microdollars % 1_000_000)
    let padded = String(repeating: "0", count: 6 - String(rest).count) + String(rest)
    let isSmall = whole == 0 && rest != 0 && rest < 10_000
    return (microdollars < 0 ? "-$" : "$") + "\(count(whole.magnitude))."
      + (isSmall ? padded : String(padded.prefix(2)))
  }

  /// `82 %`, of a share from 0 to 1.
  static func percent(_ share: Double) -> String { "\(Int((share * 100).rounded())) %" }

  /// `2h 05m`, or `4m` below an hour.
  static func time(_ milliseconds: Int64) -> String {
    let minutes = max(0, milliseconds) / 60_000
    guard minutes >= 60 else { return "\(minutes)m" }
    return "\(minutes / 60)h \(minutes % 60 < 10 ? "0" : "")\(minutes % 60)m"
  }

  /// `1.5 MB`, in thousands.
  static func bytes(_ count: Int64) -> String {
    var value = Double(count)
    for unit in ["B", "kB", "MB", "GB"] {
      if value < 1000 || unit == "GB" {
        return unit == "B" ? "\(count) B" : "\((value * 10).rounded() / 10) \(unit)"
      }
      value /= 1000
    }
    return "\(count) B"
  }
}
