// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// What `config.yaml` says of backups that the daemon makes by itself.
///
/// They are on unless switched off, because who needs a backup has as a rule not configured one: once a day, compressed,
/// the last seven kept. Compressed, text takes a third to a fifth of its size, so a week of it costs about as much again
/// as the databases do; and one that would leave less than a twentieth of the disk free is not made, and said.
public struct BackupPlan: Hashable, Sendable {
  /// When.
  public var schedule: BackupSchedule
  /// Where they go, absolute.
  public var directory: String
  /// Which stay.
  public var retention: BackupRetention
  /// Whether they are compressed.
  public var isCompressed: Bool

  /// A plan.
  public init(
    schedule: BackupSchedule, directory: String, retention: BackupRetention, isCompressed: Bool
  ) {
    self.schedule = schedule
    self.directory = directory
    self.retention = retention
    self.isCompressed = isCompressed
  }

  /// What is done when the configuration says nothing.
  public static func standard(home: String) -> BackupPlan {
    BackupPlan(
      schedule: BackupSchedule(.daily, minute: 3 * 60), directory: home + "/backups",
      retention: BackupRetention(hourly: 0, daily: 7, weekly: 0), isCompressed: true)
  }
}
