// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// `outbound.db`: made by the host, written by the worker, and looked at by the host without a way to write it.
///
/// There is one of these for a file in a process, whoever looks: what one does to the file by other means concerns the
/// locks of all (row B01).
actor OutboundFile {
  private static let known = Monitor<[String: Reference]>([:])

  private struct Reference {
    weak var file: OutboundFile?
  }

  /// The one of a mailbox.
  static func shared(
    _ directory: MailboxDirectory, configuration: MailboxConfiguration
  ) throws(StoreError) -> OutboundFile {
    let reader = try KeptForeignReader(directory.outbound, patience: configuration.lookPatience)
    return known.withLock { known in
      if let file = known[reader.path]?.file { return file }
      known = known.filter { $0.value.file != nil }
      let file = OutboundFile(directory, configuration, reader)
      known[reader.path] = Reference(file: file)
      return file
    }
  }

  private let directory: MailboxDirectory
  private let configuration: MailboxConfiguration
  private let reader: KeptForeignReader
  private var making: Task<Void, any Error>?
  private var isMade = false
  /// Looks under way.
  private var looking = 0
  private var isAlone = false
  /// Who waits for the looks to end.
  private var waitingForSilence: CheckedContinuation<Void, Never>?
  /// Who waits for the one that is alone.
  private var waitingForTurn: [CheckedContinuation<Void, Never>] = []

  private init(
    _ directory: MailboxDirectory, _ configuration: MailboxConfiguration, _ reader: KeptForeignReader
  ) {
    (self.directory, self.configuration, self.reader) = (directory, configuration, reader)
  }

  /// Reads from one consistent snapshot.
  func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
    try await make()
    return try await look(body)
  }

  private func look<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
    await turn()
    looking += 1
    defer { looked() }
    return try await reader.read(body)
  }

  private func looked() {
    looking -= 1
    guard looking == 0 else { return }
    waitingForSilence?.resume()
    waitingForSilence = nil
  }

  /// Lets go of the file; the next look opens it again.
  func rest() async { await reader.close() }

  /// Runs `body`, which looks into the file by means of its own, while nobody in this process is alone with it. The file
  /// was seen to be there, and whole, just before.
  func beside<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
    _ = try await read { db in try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema") }
    await turn()
    looking += 1
    defer { looked() }
    return try await body()
  }

  /// Runs `body` while nobody in this process has the file open; looks under way end with what they have.
  func alone<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
    await turn()
    isAlone = true
    defer {
      isAlone = false
      let waiting = waitingForTurn
      waitingForTurn = []
      for next in waiting { next.resume() }
    }
    // What they would wait for is often what `body` is about to end: a dead worker's journal.
    reader.isHurried = true
    if looking > 0 { await withCheckedContinuation { waitingForSilence = $0 } }
    await reader.close()
    reader.isHurried = false
    return try await body()
  }

  private func turn() async {
    while isAlone { await withCheckedContinuation { waitingForTurn.append($0) } }
  }

  /// Makes the file, or finishes what a host that was killed had begun.
  ///
  /// No worker is at work on a file without its tables; on one that has them this only looks. It must be a look by
  /// SQLite, not by a descriptor of our own (row B01).
  func make() async throws {
    // A mailbox that was removed may be made again by the same name.
    guard !isMade || MailboxDirectory.Entry(directory.outbound) == nil else { return }
    let running =
      making
      ?? Task {
        defer { making = nil }
        try await makeNow()
        isMade = true
      }
    making = running
    try await running.value
  }

  private func makeNow() async throws {
    if MailboxDirectory.Entry(directory.outbound) != nil {
      let known = try await look { db in
        try db.tableExists("grdb_migrations")
          ? String.fetchSet(db, sql: "SELECT identifier FROM grdb_migrations") : []
      }
      if known.isSuperset(of: OutboundSchema.migrations.migrations) { return }
    }
    try await alone { [directory, configuration] in
      let file = try await StateFile.open(
        directory.outbound,
        configuration: StateFileConfiguration(
          patience: configuration.patience, maximumReaders: 1,
          journal: configuration.journal(of: directory.address)),
        migrations: OutboundSchema.migrations)
      // The worker finds everything in the file itself.
      _ = try? await file.checkpoint()
      await file.close()
    }
  }
}
