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
      "mailbox \(directory.address)", at: directory.inbound,
      configuration: configuration.inbound(of: directory.address),
      migrations: InboundSchema.migrations)
    outbound = try OutboundFile.shared(directory, configuration: configuration)
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

  /// Looks into the worker's file by other means, beside whoever looks into it in this process.
  func besideLookers<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
    try await outbound.beside(body)
  }

  /// Does something with the worker's file by other means while nobody in this process looks into it: a descriptor of
  /// another's, closed, would take the lookers' locks along (row B01).
  func withoutLookers<T: Sendable>(_ body: @Sendable () async throws -> T) async throws -> T {
    try await outbound.alone(body)
  }

  func close() async {
    await opening.close()
    await outbound.rest()
  }
}
