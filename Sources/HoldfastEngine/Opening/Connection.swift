// SPDX-License-Identifier: Apache-2.0

import CHoldfast
import GRDB

/// The one place where connections to a state file are made.
///
/// Every connection, whatever it is for, gets the same settings, and each is read back: a driver or an
/// extension that silently ignores one would otherwise go unnoticed until data is lost (row A18).
enum Connection {
  enum Role {
    case writer
    case reader
    /// Runs checkpoints while the writer's connection keeps everybody from writing.
    case checkpointer
    /// Takes a file out of WAL mode without its shared memory, having it to itself.
    case converter
  }

  /// Opens a connection with its settings; the busy handler is set before anything else.
  ///
  /// - Parameter setting: called with each `PRAGMA name = value` before it is run; tests make one not take.
  /// - Throws: `DatabaseError`, or ``StoreError`` with code `setting`.
  static func open(
    _ path: String, as role: Role, configuration: StateFileConfiguration, patience: BusyPatience
  ) throws -> DatabaseQueue {
    var options = GRDB.Configuration()
    options.readonly = role == .reader
    options.busyMode = .callback { patience.keepTrying($0) }
    options.foreignKeysEnabled = true
    options.label = "holdfast.\(role)"
    // Before GRDB reads the schema: should that fail, the close must not fold a -wal into what is damaged.
    options.prepareDatabase { db in
      try keepFromCheckpointingOnClose(db, path: path)
      // Before the first read too, or it makes the -shm (https://www.sqlite.org/wal.html#noshm).
      if role == .converter {
        try Setting(name: "locking_mode", value: "EXCLUSIVE", readBack: "exclusive").apply(to: db, path: path)
      }
    }
    let queue = try DatabaseQueue(path: escaped(path), configuration: options)
    do {
      try queue.inDatabase { db in
        for setting in settings(for: role, configuration: configuration) {
          try setting.apply(to: db, path: path)
        }
      }
    } catch {
      try? queue.close()
      throw error
    }
    return queue
  }

  /// SQLite takes a name that begins with `file:` for a URI when the library is built that way; an
  /// absolute path never does, and no URI flag is passed, so `?`, `#` and `%` are plain characters (row C13).
  private static func escaped(_ path: String) -> String {
    precondition(path.hasPrefix("/"), "connections are opened by canonical path")
    return path
  }

  struct Setting {
    var name: String
    var value: String
    /// What SQLite must say when asked, where it is not `value`.
    var readBack: String?
    /// Whether an answer of nothing is right too: the filesystem beneath has no such thing.
    var mayBeAbsent = false

    func apply(to db: Database, path: String) throws {
      try db.execute(sql: "PRAGMA \(name) = \(value)")
      let found = try String.fetchOne(db, sql: "PRAGMA \(name)")
      guard found == readBack ?? value || found == nil && mayBeAbsent else {
        let file = path.fileName
        throw StoreError(
          .setting,
          """
          The setting \(name) = \(value) did not take on \(file) (it reads \(found ?? "nothing")), so the file was \
          not used: check which SQLite library the program is linked with.
          """, path: path)
      }
    }
  }

  static func settings(for role: Role, configuration: StateFileConfiguration) -> [Setting] {
    var settings = [
      // The auto-checkpoint of SQLite before 3.51.3 can lose committed rows when the WAL restarts at the
      // same time (row B12), and it stalls whichever caller happens to cross the threshold.
      Setting(name: "wal_autocheckpoint", value: "0"),
      // A mapped page of a file somebody truncates is a SIGBUS.
      Setting(name: "mmap_size", value: "0", mayBeAbsent: true),
      Setting(name: "foreign_keys", value: "1"),
      Setting(name: "cell_size_check", value: "1"),
      // Functions and tables with side effects cannot be run by a schema somebody else wrote.
      Setting(name: "trusted_schema", value: "0"),
    ]
    // GRDB lowers `synchronous` when it puts a pool in WAL mode; these connections are no pool, and the
    // value is read back all the same. EXTRA is FULL in WAL mode; in rollback mode it also syncs the directory
    // after the journal's removal, without which a power cut can undo the last acknowledged commit.
    settings.append(
      Setting(
        name: "synchronous", value: configuration.durability == .power ? "EXTRA" : "NORMAL",
        readBack: configuration.durability == .power ? "3" : "1"))
    if role == .reader, let bytes = configuration.readerCacheBytes {
      settings.append(Setting(name: "cache_size", value: "-\(bytes / 1024)"))
    }
    if role != .reader {
      // The -wal is cut back by ``WALTail``: SQLite would do it in one go, and one commit would wait for it.
      settings.append(Setting(name: "journal_size_limit", value: "-1"))
      #if canImport(Darwin)
        settings.append(Setting(name: "fullfsync", value: configuration.durability == .power ? "1" : "0"))
        settings.append(
          Setting(name: "checkpoint_fullfsync", value: configuration.durability == .power ? "1" : "0"))
      #endif
    }
    return settings
  }

  /// The last close of a WAL file checkpoints and deletes the WAL, without the lane and without a look at
  /// whether the file is still the same (row B04).
  private static func keepFromCheckpointingOnClose(_ db: Database, path: String) throws {
    var isSet: Int32 = 0
    let code = unsafe chf_no_checkpoint_on_close(db.sqliteConnection, &isSet)
    guard code == 0, isSet == 1 else {
      throw StoreError(
        .setting,
        "SQLite did not accept NO_CKPT_ON_CLOSE (code \(code)): check which SQLite library is linked.",
        path: path)
    }
  }
}
