// SPDX-License-Identifier: Apache-2.0

/// What a backup beside writers came to.
public struct BackupLoadReport: Codable, Sendable, Hashable {
  /// How long writes waited, from their call to their durable acknowledgement.
  public struct Waits: Codable, Sendable, Hashable {
    /// How many there were.
    public var writes = 0
    /// Half of them waited no longer.
    public var median = 0.0
    /// One in a hundred waited longer.
    public var p99 = 0.0
    /// The longest.
    public var longest = 0.0

    enum CodingKeys: String, CodingKey {
      case writes
      case median = "p50_ms"
      case p99 = "p99_ms"
      case longest = "max_ms"
    }

    /// - Parameter nanoseconds: the waits, in any order.
    init(nanoseconds: [UInt64]) {
      let sorted = nanoseconds.sorted()
      func at(_ share: Double) -> Double {
        guard !sorted.isEmpty else { return 0 }
        return Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]) / 1e6
      }
      writes = sorted.count
      (median, p99, longest) = (at(0.5), at(0.99), at(1))
    }
  }

  /// The database's size before, in bytes.
  public var databaseBytes: Int64 = 0
  /// Rows a second that were asked for.
  public var rate = 0.0
  /// Writes called before the backup began: the same load without one.
  public var control = Waits(nanoseconds: [])
  /// Writes called while it was made.
  public var during = Waits(nanoseconds: [])
  /// Writes called afterwards, while what its snapshot had held back was folded into the database.
  public var after = Waits(nanoseconds: [])
  /// The slowest writes from the backup's beginning on, a quarter of a second apart from each other.
  public var slowest: [Slow] = []

  /// A slow write.
  public struct Slow: Codable, Sendable, Hashable {
    /// When it was called: seconds after the backup began.
    public var at: Double
    /// How long it waited.
    public var milliseconds: Double

    enum CodingKeys: String, CodingKey {
      case at = "at_s"
      case milliseconds = "ms"
    }
  }

  /// How long the backup took, its check included.
  public var backupSeconds = 0.0
  /// The backup's size.
  public var backupBytes: Int64 = 0
  /// The largest the -wal was before the backup, and in all.
  public var controlWALBytes: Int64 = 0
  /// The largest the -wal was at any time.
  public var peakWALBytes: Int64 = 0
  /// The -wal at the end, with nobody left to write.
  public var finalWALBytes: Int64 = 0
  /// Acknowledged writes that are not in the database, or were acknowledged before the backup began and are not in
  /// the restored copy.
  public var lost = 0
  /// Writes that are there twice.
  public var doubled = 0
  /// What a check of the restored copy says; `ok` when it is sound and has the backup's rows.
  public var restored = ""
  /// Errors writers were given, and what else went wrong.
  public var errors: [String] = []

  enum CodingKeys: String, CodingKey {
    case databaseBytes = "database_bytes"
    case rate, control, during, after, slowest
    case backupSeconds = "backup_seconds"
    case backupBytes = "backup_bytes"
    case controlWALBytes = "control_wal_bytes"
    case peakWALBytes = "peak_wal_bytes"
    case finalWALBytes = "final_wal_bytes"
    case lost, doubled, restored, errors
  }

  /// Whether nothing was lost and the copy is what it ought to be; says nothing of time.
  public var holds: Bool { lost == 0 && doubled == 0 && restored == "ok" && errors.isEmpty }

  /// The longest a write waited from the backup's beginning on, in milliseconds.
  public var longestWait: Double { max(during.longest, after.longest) }
}
