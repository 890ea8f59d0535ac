// SPDX-License-Identifier: Apache-2.0

import GRDB

/// The writer's connection and what hangs on it; used by the writer's thread only.
///
/// A session lasts as long as the file at the path stays the same one: after a breach the old session is
/// closed and a new one opened.
final class WriterSession {
  let opened: OpenedFile
  let meter = CommitMeter()
  let savepoints: SavepointStatements
  var checkpointer: Checkpointer
  let backlog: BacklogFold

  var database: DatabaseQueue { opened.database }

  init(_ opened: OpenedFile, path: String, lane: WriteLane, configuration: StateFileConfiguration) throws {
    self.opened = opened
    let meter = meter
    savepoints = try opened.database.inDatabase { db in
      meter.install(on: db)
      return try SavepointStatements(db)
    }
    checkpointer = Checkpointer(
      path: path, configuration: configuration, isWAL: opened.generation.wal != nil)
    backlog = BacklogFold(path: path, lane: lane, configuration: configuration)
  }

  /// Closes the connections; the guard goes with the session itself.
  func close() {
    backlog.stop()
    let meter = meter
    database.inDatabase { db in
      db.remove(transactionObserver: meter)
      savepoints.finalize()
    }
    checkpointer.close()
    opened.close()
  }
}
