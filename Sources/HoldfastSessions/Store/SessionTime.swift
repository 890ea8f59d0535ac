// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// RFC 3339 times as milliseconds since 1970.
package enum SessionTime {
  /// The wall clock's moment.
  package static func now() -> Int64 { UnixTime.now().milliseconds }

  /// Reads RFC 3339, with or without a fraction.
  ///
  /// - Throws: ``SessionError`` `invalid` for anything else, and beyond the years 1970 to 9999.
  package static func milliseconds(_ text: String) throws(SessionError) -> Int64 {
    guard let time = UTCInstant(text), UTCInstant.supported.contains(time) else {
      throw SessionError(.invalid, "time is not RFC 3339, as in 2026-11-21T09:30:00Z.")
    }
    return time.milliseconds
  }

  /// Writes RFC 3339 in UTC, to the millisecond.
  package static func text(_ milliseconds: Int64) -> String {
    UTCInstant(milliseconds: milliseconds).description
  }
}
