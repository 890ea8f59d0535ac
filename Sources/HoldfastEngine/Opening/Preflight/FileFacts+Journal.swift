// SPDX-License-Identifier: Apache-2.0

extension FileFacts {
  /// Whether SQLite would take the journal for hot if nobody held a lock: it is there, its first byte is not
  /// zero, and the database has any bytes at all.
  ///
  /// The first byte is zero until the journal has been synced, which is before the first page of the database
  /// is overwritten; and it is zeroed or the file removed or emptied by the commit. The journal's age, size
  /// and presence say nothing. Source: `hasHotJournal` in SQLite 3.40.1's `pager.c`, and
  /// <https://www.sqlite.org/lockingv3.html#hot_journals>.
  package var journalLooksHot: Bool {
    journalFirstByte.map { $0 != 0 } ?? false && database.map { $0.size > 0 } ?? false
  }

  /// Whether the journal is hot as SQLite decides it: nobody has the lock of a writer.
  package var isJournalHot: Bool { journalLooksHot && !holders.contains(where: \.writesInRollbackMode) }
}

extension LockHolder {
  /// Whether what is held is a lock of the database file itself, as every reader and writer in rollback mode
  /// has it, and every connection in WAL mode.
  package var holdsDatabase: Bool { lock == "a SHARED lock" || writesInRollbackMode }

  /// Whether it is a lock that only a writer in rollback mode has, or who has the file to itself.
  package var writesInRollbackMode: Bool { lock == "a RESERVED lock" || excludesReaders }

  /// Whether it keeps new readers out.
  package var excludesReaders: Bool { lock == "a PENDING lock" || lock == "an EXCLUSIVE lock" }
}
