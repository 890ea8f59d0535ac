// SPDX-License-Identifier: Apache-2.0

/// How a state file is opened.
public struct StateFileConfiguration: Hashable, Sendable {
  /// What an acknowledged write survives.
  public enum Durability: Hashable, Sendable {
    /// A power loss: every commit is synced to the disk (`synchronous = EXTRA`, which is FULL in WAL mode, and
    /// F_FULLFSYNC on Darwin).
    case power
    /// The death of the process, at any instruction; a power loss may cost the last commits but never
    /// damages the file (`synchronous = NORMAL`).
    case processDeathOnly
  }

  /// How SQLite keeps a transaction whole.
  public enum Journal: Hashable, Sendable {
    /// WAL where the filesystem is known to be coherent, a rollback journal elsewhere.
    case automatic
    /// A rollback journal wherever the file is: for a directory that others mount, a worker's mailbox say.
    case rollback
  }

  /// What an acknowledged write survives; ``Durability/power`` unless chosen otherwise.
  public var durability: Durability
  /// How long a call waits for its turn when it says nothing itself.
  public var patience: Duration
  /// Connections for reading, at most; each has a thread. Made when needed.
  public var maximumReaders: Int
  /// WAL size in pages from which a checkpoint is due.
  public var checkpointPages: Int
  /// The size in bytes to which the WAL is cut back, piece by piece, after it was reset.
  public var walSizeLimit: Int
  /// Whether the file holds only what can be made again, as a search index does: one that is gone or damaged is
  /// begun anew, where any other is refused. What was damaged is set aside whole, as always.
  public var isDisposable: Bool
  /// Which journal the file is to have. A file kept from WAL stays so for everybody.
  public var journal: Journal
  /// The mount table to find the file's filesystem in, in the form of proc_pid_mountinfo(5); nil for the kernel's.
  package var mountTable: String?

  /// Bytes of pages each reader keeps in memory while nobody writes; nil for SQLite's own 2 MB.
  package var readerCacheBytes: Int?

  /// The defaults: power-safe, 60 s of patience, 4 readers, checkpoints from 1,000 pages.
  public init(
    durability: Durability = .power, patience: Duration = .seconds(60), maximumReaders: Int = 4,
    checkpointPages: Int = 1000, walSizeLimit: Int = 16 << 20, isDisposable: Bool = false,
    journal: Journal = .automatic
  ) {
    precondition(maximumReaders > 0, "a state file needs at least one reader")
    precondition(checkpointPages > 0, "a checkpoint needs a size of at least one page")
    self.durability = durability
    self.patience = patience
    self.maximumReaders = maximumReaders
    self.checkpointPages = checkpointPages
    self.walSizeLimit = walSizeLimit
    self.isDisposable = isDisposable
    self.journal = journal
  }
}
