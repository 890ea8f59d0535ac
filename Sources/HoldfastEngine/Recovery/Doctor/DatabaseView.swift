// SPDX-License-Identifier: Apache-2.0

import GRDB

/// A way to ask SQLite about a database that is examined. Blocks; used by one thread.
protocol DatabaseView {
  /// Calls `body` with a connection, outside of a transaction: locks last as long as its statements.
  /// - Throws: what SQLite says; ``StoreError`` with code `transient` when somebody was in the way for long.
  func read<T>(_ body: (Database) throws -> T) throws -> T
}

/// Reads an image, on which nobody has any lock.
final class ImageView: DatabaseView {
  private let image: FileImage
  /// Opened by the first question, so that a schema that cannot be read is an answer like any other.
  private lazy var queue = Result { try ImageVFS.open(image) }

  init(_ image: FileImage) { self.image = image }

  func read<T>(_ body: (Database) throws -> T) throws -> T { try queue.get().inDatabase(body) }
}

/// Reads a database where it is, as any reader does: while others write, only SQLite's own locks give a
/// consistent view.
///
/// Each question has its own transaction, so that a writer in rollback mode, whom readers keep from
/// committing, waits for one of them at most, and a -wal can start over in between.
final class LiveView: DatabaseView {
  private let path: String
  private let patience: Duration
  private let busy = BusyPatience()
  private var queue: DatabaseQueue?

  init(_ path: String, patience: Duration = .seconds(2)) {
    self.path = path
    self.patience = patience
  }

  deinit { try? queue?.close() }

  func read<T>(_ body: (Database) throws -> T) throws -> T {
    let deadline = ContinuousClock.now + patience
    var retries = TransientRetries(deadline: deadline)
    busy.wait(until: deadline)
    while true {
      do {
        let queue = try queue ?? Connection.open(path, as: .reader, configuration: .init(), patience: busy)
        self.queue = queue
        return try queue.inDatabase(body)
      } catch let error as DatabaseError {
        switch retries.failed(with: error.extendedResultCode.rawValue, at: .now) {
        case .notPassing: throw error
        case .tryAgain(let pause):
          // A read-only handle that once met a hot journal keeps failing.
          try? queue?.close()
          queue = nil
          BlockingThread.sleep(pause)
        case .giveUp:
          throw StoreError(
            .transient,
            "\(path.fileName) could not be read while its writer is at work (code \(error.extendedResultCode.rawValue)).",
            path: path, holders: LockTable.holders(ofDatabaseAt: path), underlying: error)
        }
      }
    }
  }
}
