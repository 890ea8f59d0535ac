// SPDX-License-Identifier: Apache-2.0

/// Decides how much a slice of maintenance does and how long it rests afterwards: a pure value.
///
/// A slice should hold the file for about 10 ms, and never near 50 ms; the share of time it holds it stays at
/// a fifth (row A11).
package struct SlicePacer {
  static let target = Duration.milliseconds(10)
  static let restFactor = 4

  /// How many units the next slice is to do; at least one.
  package private(set) var units: Int

  package init(units: Int) {
    self.units = max(1, units)
  }

  /// Takes in how long a slice held the file, and says how long to leave it to others.
  package mutating func held(_ time: Duration) -> Duration {
    if time > Self.target {
      units = max(1, Int(Double(units) * (Self.target / time)))
    } else if time < Self.target / 2 {
      // Doubling is slow enough that one lucky slice does not make the next one long.
      units = min(units * 2, 1_000_000)
    }
    return time * Self.restFactor
  }
}
