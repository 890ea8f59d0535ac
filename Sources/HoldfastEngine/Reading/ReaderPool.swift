// SPDX-License-Identifier: Apache-2.0

import GRDB

/// A bounded number of read-only connections to one file, each with a thread of its own.
///
/// A read sees one snapshot, never waits for a writer in WAL mode, and is never run on the cooperative pool.
/// A connection that could not be opened is tried again by the next read: nothing is sticky (row A06).
final class ReaderPool: Sendable {
  let jobs: JobQueue
  private let path: String
  private let configuration: StateFileConfiguration
  private let threads: Monitor<Threads>

  private struct Threads {
    var running = 0
    var idle = 0
  }

  init(path: String, configuration: StateFileConfiguration) {
    self.path = path
    self.configuration = configuration
    let threads = Monitor(Threads())
    self.threads = threads
    let name = path.fileName
    let starter = Starter()
    jobs = JobQueue(
      deadlineError: { waited in
        StoreError(
          .deadline, "Reading \(name) waited \(waited.inSeconds) for its turn and gave up; try again.",
          path: path,
          holders: LockTable.holders(ofDatabaseAt: path))
      },
      closedError: { StoreError(.closed, "\(name) is closed; open it again to read.", path: path) },
      onSubmit: { starter.pool?.startIfNeeded() })
    starter.pool = self
  }

  /// The way from the queue back to the pool that owns it; set once, before the pool is shared.
  private final class Starter: @unchecked Sendable {
    weak var pool: ReaderPool?
  }

  private func startIfNeeded() {
    let start = threads.withLock { state in
      guard state.idle == 0, state.running < configuration.maximumReaders else { return false }
      state.running += 1
      return true
    }
    if start { BlockingThread.start(named: "hf-reader") { self.run() } }
  }

  /// Refuses new reads, waits until the accepted ones are done, and closes the connections. Blocks.
  func close() {
    jobs.close()
    threads.wait { $0.running == 0 ? () : nil }
  }

  private func run() {
    let patience = BusyPatience()
    var connection: DatabaseQueue?
    while let job = next() {
      patience.wait(until: job.deadline)
      do {
        let queue =
          try connection
          ?? Connection.open(path, as: .reader, configuration: configuration, patience: patience)
        connection = queue
        try queue.read { try job.run($0) }
        jobs.finish([job])
        job.succeed()
      } catch {
        jobs.finish([job])
        job.fail(describe(error))
      }
    }
    try? connection?.close()
    threads.withLock { $0.running -= 1 }
    threads.signal()
  }

  private func next() -> Job? {
    threads.withLock { $0.idle += 1 }
    defer { threads.withLock { $0.idle -= 1 } }
    return jobs.takeNext()
  }

  private func describe(_ error: any Error) -> any Error {
    guard let error = error as? DatabaseError else { return error }
    var described = StoreError(error, path: path, doing: "Reading")
    if described.code == .deadline { described.holders = LockTable.holders(ofDatabaseAt: path) }
    return described
  }
}
