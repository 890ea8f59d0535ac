// SPDX-License-Identifier: Apache-2.0

package import GRDB

/// Reads an SQLite file that another program writes, again and again, as ``ForeignReader`` does once.
///
/// In WAL mode its connection is kept: opening one costs as much as a hundred small reads. In rollback mode every
/// read has a fresh one, because a handle that once met a hot journal keeps failing, and because on a shared mount an
/// earlier one may not see what another machine wrote (rows C02, C14). Nothing is kept after an error, nor when the
/// path stands for another file.
///
/// No state file of this process may be opened or closed at the path while this is open: its guard's descriptor,
/// closed, would take this connection's locks along (row B01).
package final class KeptForeignReader: Sendable {
  private struct Kept {
    var queue: DatabaseQueue
    var patience: BusyPatience
    var identity: FileIdentity?
  }

  /// The database's canonical path.
  package let path: String
  /// How long transients are waited out.
  package let patience: Duration
  private let kept = Monitor<Kept?>(nil)
  private let hurried = Monitor(false)

  /// Names the file; nothing is opened yet.
  /// - Throws: ``StoreError`` with code `cannotOpen` when the directory does not exist.
  package init(_ path: String, patience: Duration = .seconds(2)) throws(StoreError) {
    self.path = try CanonicalPath.of(path)
    self.patience = patience
  }

  /// Whether reads, those under way and those to come, fail at once where they would wait a transient out: for one
  /// who is about to end it and needs them out of the way.
  package var isHurried: Bool {
    get { hurried.withLock { $0 } }
    set { hurried.withLock { $0 = newValue } }
  }

  /// Reads from one consistent snapshot; reads of this reader come one after the other.
  ///
  /// - Throws: what `body` throws; ``StoreError`` with code `transient` when the file stayed in a passing state for
  ///   the whole patience, or what else SQLite says.
  package func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
    try await BlockingThread.run(named: "hf-foreign") {
      try self.kept.withLock { kept in
        let deadline = ContinuousClock.now + self.patience
        return try ForeignReader.attempt(
          path: self.path, deadline: deadline, isWaiting: { !self.isHurried }
        ) { _ in
          try self.attempt(body, until: deadline, &kept)
        }
      }
    }
  }

  private func attempt<T>(
    _ body: (Database) throws -> T, until deadline: ContinuousClock.Instant, _ kept: inout Kept?
  ) throws -> T {
    let identity = FileIdentity(path: path)
    if let known = kept, known.identity != identity { Self.drop(&kept) }
    let now: Kept
    if let known = kept {
      now = known
    } else {
      let patience = BusyPatience()
      patience.wait { ContinuousClock.now < deadline && !self.isHurried }
      let queue = try Connection.open(path, as: .reader, configuration: .init(), patience: patience)
      now = Kept(queue: queue, patience: patience, identity: identity)
    }
    kept = nil
    now.patience.wait { ContinuousClock.now < deadline && !self.isHurried }
    do {
      let (value, isWAL) = try now.queue.read { db in
        (try body(db), try String.fetchOne(db, sql: "PRAGMA journal_mode") == "wal")
      }
      if isWAL { kept = now } else { try? now.queue.close() }
      return value
    } catch {
      // Its connection goes: what made this one fail may be remembered in it.
      try? now.queue.close()
      throw error
    }
  }

  /// Closes the connection, if one is kept; the next read opens another. Blocks for a running read.
  package func close() async {
    _ = try? await BlockingThread.run(named: "hf-foreign") { self.kept.withLock { Self.drop(&$0) } }
  }

  private static func drop(_ kept: inout Kept?) {
    // A reader's close writes nothing; should it fail, the handle goes with its last reference.
    try? kept?.queue.close()
    kept = nil
  }
}
