// SPDX-License-Identifier: Apache-2.0

/// What was seen of a database's set of files, without any judgement: a plain value a test can make by hand.
package struct FileFacts: Hashable, Sendable {
  /// One name of the set, as lstat(2) and access(2) have it.
  package struct Entry: Hashable, Sendable {
    /// What the name stands for.
    package enum Kind: Hashable, Sendable { case regular, directory, symlink, other }

    package var kind = Kind.regular
    /// In bytes.
    package var size: Int64
    /// The permission bits.
    package var mode: UInt16 = 0o600
    /// The user id.
    package var owner: UInt32 = 0
    /// Whether this process may read it.
    package var isReadable = true
    /// Whether this process may write to it.
    package var isWritable = true
    /// When its contents were last changed.
    package var modified = UnixTime(nanoseconds: 0)

    /// A regular file that may be read and written, of so many bytes.
    package init(size: Int64) { self.size = size }
  }

  /// The database's canonical path.
  package var path: String
  /// The database; nil when there is no such name, as with the others.
  package var database: Entry?
  /// The -wal.
  package var wal: Entry?
  /// The -shm.
  package var sharedMemory: Entry?
  /// The -journal.
  package var journal: Entry?
  /// The first bytes of the database, 100 at most.
  package var header: [UInt8] = []
  /// Whether the bytes that were looked at are all NUL.
  package var isAllZero = false
  /// What the -wal holds; nil when it was not scanned or has no valid header.
  package var walFrames: WALSummary?
  /// nil when there is no journal or its magic is wrong.
  package var journalHeader: JournalHeader?
  /// The journal's first byte, by which SQLite tells a journal that counts; nil when there is none.
  package var journalFirstByte: UInt8?
  /// Whether files can be made and removed beside the database, as a rollback needs.
  package var directoryIsWritable = true
  /// nil when the mount table does not say.
  package var filesystem: Filesystem?
  /// What the lane's file says of a store that was here.
  package var marker: StoreMarker?
  /// Who holds a lock of any of the files.
  package var holders: [LockHolder] = []

  /// Facts of a path at which nothing was seen.
  package init(path: String) { self.path = path }
}

/// The committed frames of a -wal: those up to the last commit whose salts and checksums hold.
package struct WALSummary: Hashable, Sendable {
  package var committedFrames: Int
  /// The database's size in pages after the last commit.
  package var pageCount: UInt32
  /// Whether page 1 is among them.
  package var hasFirstPage: Bool
  /// The numbers of the pages they hold.
  package var pages: Set<UInt32>

  /// Makes a summary.
  package init(
    committedFrames: Int, pageCount: UInt32, hasFirstPage: Bool, pages: Set<UInt32> = []
  ) {
    self.committedFrames = committedFrames
    self.pageCount = pageCount
    self.hasFirstPage = hasFirstPage
    self.pages = pages
  }
}

/// Says that a store of ours was at this path: the database the lane's file has on record.
package struct StoreMarker: Hashable, Sendable {
  /// The device, as `/proc/locks` has it.
  package var device: UInt64
  package var inode: UInt64

  /// Makes a marker.
  package init(device: UInt64, inode: UInt64) {
    self.device = device
    self.inode = inode
  }
}
