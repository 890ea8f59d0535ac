// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// One mailbox with its two files, as long as somebody uses it: `inbound.db` for writing, `outbound.db` for looking.
final class Mailbox: Sendable {
  let directory: MailboxDirectory
  let configuration: MailboxConfiguration
  private let opening: StoreFile
  private let outbound: OutboundFile

  init(_ directory: MailboxDirectory, configuration: MailboxConfiguration) throws(StoreError) {
    (self.directory, self.configuration) = (directory, configuration)
    opening = StoreFile(
      "mailbox \(directory.address)", at: directory.inbound, configuration: configuration.inbound,
      migrations: InboundSchema.migrations)
    outbound = try OutboundFile(directory, configuration: configuration)
  }

  /// Makes the files that are missing. What is wrong with the worker's does not keep anybody from sending: it is told
  /// by whoever looks into it.
  func make() async throws {
    _ = try await opening.file()
    try? await outbound.make()
  }

  /// Reads `inbound.db`.
  func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
    try await opening.file().read(body)
  }

  /// Writes `inbound.db` in one durable step.
  func write<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
    try await opening.file().write(body)
  }

  /// Looks into `outbound.db`.
  ///
  /// - Throws: `StoreError` `transient` while the worker is in the middle of something, or what else is wrong with it.
  func look<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
    try await outbound.read(body)
  }

  /// Lets go of the worker's file until the next look: it is to be recovered, or opened by the host for another reason.
  func releaseOutbound() async { await outbound.release() }

  func close() async {
    await outbound.release()
    await opening.close()
  }
}

/// `outbound.db`: made by the host, written by the worker, and looked at by the host without a way to write it.
actor OutboundFile {
  private let directory: MailboxDirectory
  private let configuration: MailboxConfiguration
  private let reader: KeptForeignReader
  private var making: Task<Void, any Error>?
  private var isMade = false

  init(_ directory: MailboxDirectory, configuration: MailboxConfiguration) throws(StoreError) {
    (self.directory, self.configuration) = (directory, configuration)
    reader = try KeptForeignReader(directory.outbound, patience: configuration.lookPatience)
  }

  func read<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
    try await make()
    return try await reader.read(body)
  }

  func release() async { await reader.close() }

  /// Makes the file, or finishes what a host that was killed had begun.
  ///
  /// No worker is at work on a file without its tables; on one that has them this only looks. It must be a look by
  /// SQLite, not by a descriptor of our own (row B01).
  func make() async throws {
    guard !isMade else { return }
    let running =
      making
      ?? Task { [directory, configuration, reader] in
        if MailboxDirectory.Entry(directory.outbound) != nil {
          let known = try await reader.read { db in
            try db.tableExists("grdb_migrations")
              ? String.fetchSet(db, sql: "SELECT identifier FROM grdb_migrations") : []
          }
          if known.isSuperset(of: OutboundSchema.migrations.migrations) { return }
          await reader.close()
        }
        let file = try await StateFile.open(
          directory.outbound,
          configuration: StateFileConfiguration(
            patience: configuration.patience, maximumReaders: 1, journal: configuration.journal),
          migrations: OutboundSchema.migrations)
        // The worker finds everything in the file itself.
        _ = try? await file.checkpoint()
        await file.close()
      }
    making = running
    defer { making = nil }
    try await running.value
    isMade = true
  }
}
