// SPDX-License-Identifier: Apache-2.0

/// What a torture run came to. Encoded with the names of the tool's `torture --json`.
public struct TortureReport: Codable, Hashable, Sendable {
  /// Replays the run's decisions: who is killed when, where the power fails.
  public var seed: UInt64
  /// Writes whose caller was told that they are durable.
  public var acknowledged: Int
  /// Acknowledged writes that are not there.
  public var lost: Int
  /// Writes that are there twice, or that are there although their caller was told they are not.
  public var doubled: Int
  /// Lock errors and passed deadlines seen by callers.
  public var lockErrors: Int
  /// `ok`, or what SQLite's `integrity_check` said.
  public var integrity: String
  /// The longest time a caller waited for its write, in milliseconds; stopped time included.
  public var longestWaitMilliseconds: Double
  /// Jain's index over the processes' commits per second of life: 1 is perfectly even.
  public var fairness: Double
  /// Processes killed with SIGKILL.
  public var kills: Int
  /// Simulated power failures.
  public var powerCuts: Int
  /// Processes that opened the file again after a kill, or files after a power failure.
  public var recoveries: Int
  /// The longest of these openings, in milliseconds.
  public var longestOpenMilliseconds: Double
  /// Processes stopped for a while with SIGSTOP.
  public var stops: Int
  /// Rows written by foreign SQLite connections meanwhile, none of which may be missing either.
  public var foreignRows: Int
  /// Any other error a caller saw, in its words; at most 20.
  public var errors: [String]

  enum CodingKeys: String, CodingKey {
    case seed, acknowledged, lost, doubled, integrity, fairness, kills, recoveries, stops, errors
    case lockErrors = "lock_errors"
    case longestWaitMilliseconds = "longest_wait_ms"
    case powerCuts = "power_cuts"
    case longestOpenMilliseconds = "longest_open_ms"
    case foreignRows = "foreign_rows"
  }

  /// Whether every promise was kept.
  public var holds: Bool {
    lost == 0 && doubled == 0 && lockErrors == 0 && integrity == "ok" && errors.isEmpty
  }

  init(seed: UInt64) {
    self.seed = seed
    acknowledged = 0
    lost = 0
    doubled = 0
    lockErrors = 0
    integrity = "ok"
    longestWaitMilliseconds = 0
    fairness = 1
    kills = 0
    powerCuts = 0
    recoveries = 0
    longestOpenMilliseconds = 0
    stops = 0
    foreignRows = 0
    errors = []
  }

  mutating func note(_ error: String) {
    if errors.count < 20 { errors.append(error) }
  }
}

extension Duration {
  /// Milliseconds, with their fraction.
  var milliseconds: Double {
    Double(components.seconds) * 1000 + Double(components.attoseconds) / 1e15
  }
}

/// Jain's fairness index: (Σx)² / (n·Σx²); 1 when all are equal, 1/n when one has everything.
func jainIndex(_ values: [Double]) -> Double {
  let sum = values.reduce(0, +)
  let squares = values.reduce(0) { $0 + $1 * $1 }
  return squares == 0 ? 1 : sum * sum / (Double(values.count) * squares)
}
