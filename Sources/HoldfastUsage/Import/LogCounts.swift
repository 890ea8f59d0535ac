// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// Reads counts of a log's record, and remembers the first that cannot be true (row D15).
struct LogCounts {
  private let record: JSONTape
  /// What is wrong with a count.
  private(set) var problem: String?

  init(_ record: JSONTape) { self.record = record }

  /// A count; nil where there is none.
  mutating func count(_ name: StaticString, _ object: Int) -> Int64? {
    let place = record.at(name, object)
    guard let kind = record.kind(place), kind != .null else { return nil }
    guard kind == .number else {
      problem = problem ?? "\(name) is no number."
      return nil
    }
    let text = record.raw(place)
    guard let value = Int64(text) ?? Double(text).flatMap(Int64.init(exactly:)) else {
      problem = problem ?? "\(name) is \(text.prefix(40)), which is no count."
      return nil
    }
    guard value >= 0 else {
      problem = problem ?? "\(name) is negative (\(value))."
      return nil
    }
    guard value <= UsageLimits.maximumTokens else {
      problem = problem ?? "\(name) is \(value), beyond the bound of \(UsageLimits.maximumTokens)."
      return nil
    }
    return value
  }

  /// Dollars as micro-dollars; nil where none are told, and for 0, which programs write for what they cannot price.
  mutating func microdollars(_ name: StaticString, _ object: Int) -> Int64? {
    guard let dollars = record.number(record.at(name, object)), dollars != 0 else { return nil }
    guard dollars > 0, dollars.isFinite, dollars * 1e6 <= Double(UsageLimits.maximumCostMicrodollars) else {
      problem = problem ?? "\(name) is \(dollars), which is no cost."
      return nil
    }
    return Int64((dollars * 1e6).rounded())
  }
}

extension JSONTape {
  /// A text as a row may keep it: not empty, without control characters, cut to `most` bytes.
  func kept(_ place: Int, most: Int = 256) -> String? {
    guard let text = text(place) else { return nil }
    let kept = WireText.kept(text, maximumBytes: most)
    return kept.isEmpty ? nil : kept
  }

  /// A time in RFC 3339; nil for anything else.
  func time(_ place: Int) -> UTCInstant? {
    guard let text = text(place), let time = UTCInstant(text), UTCInstant.supported.contains(time) else {
      return nil
    }
    return time
  }

  /// A time in milliseconds since 1970.
  func milliseconds(_ place: Int) -> UTCInstant? {
    integer(place).map(UTCInstant.init(milliseconds:)).flatMap {
      UTCInstant.supported.contains($0) ? $0 : nil
    }
  }
}

/// What a row says of where a program worked.
enum LogProject {
  /// The last part of a working directory's path: it tells projects apart in a report, and is what people put into
  /// `x-holdfast-project`.
  static func name(ofDirectory path: String?) -> String? {
    guard let path else { return nil }
    let last = path.split(whereSeparator: { $0 == "/" || $0 == "\\" }).last.map(String.init)
    return last.map { WireText.kept($0, maximumBytes: 256) }.flatMap { $0.isEmpty ? nil : $0 }
  }
}
