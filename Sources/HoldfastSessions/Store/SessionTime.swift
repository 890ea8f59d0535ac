// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine

/// RFC 3339 times as milliseconds since 1970.
enum SessionTime {
  /// The wall clock's moment.
  static func now() -> Int64 { UnixTime.now().milliseconds }

  /// Reads RFC 3339, with or without a fraction.
  ///
  /// - Throws: ``SessionError`` `invalid` for anything else, and beyond the years 1970 to 9999.
  static func milliseconds(_ text: String) throws(SessionError) -> Int64 {
    let style = Date.ISO8601FormatStyle(includingFractionalSeconds: text.contains("."))
    guard let date = try? style.parse(text),
      (0...253_402_300_799_999).contains(date.timeIntervalSince1970 * 1000)
    else { throw SessionError(.invalid, "time is not RFC 3339, as in 2026-11-21T09:30:00Z.") }
    return Int64((date.timeIntervalSince1970 * 1000).rounded())
  }

  /// Writes RFC 3339 in UTC, to the millisecond.
  static func text(_ milliseconds: Int64) -> String {
    Date(timeIntervalSince1970: Double(milliseconds) / 1000)
      .formatted(Date.ISO8601FormatStyle(includingFractionalSeconds: true))
  }
}
