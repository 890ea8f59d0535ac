// SPDX-License-Identifier: Apache-2.0

package import GRDB

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A store's database, opened when it can be: one that is locked, full or gone at the start is tried again until
/// it opens, and disables nothing and holds nobody up meanwhile (rows A04, A06, G05).
///
/// Every store of a home is one of these and, where it takes rows at memory speed, a spool that lands in it.
package actor StoreFile {
  /// Lands a batch of spooled records in one transaction.
  package typealias Apply = @Sendable (Database, [SpoolRecord]) throws -> Void

  private let path: String
  /// What it is called in a message, as in `usage ledger`.
  private let title: String
  private let configuration: StateFileConfiguration
  private let migrations: DatabaseMigrator
  private let spool: (spool: Spool, apply: Apply)?
  private var attempt: Task<StateFile, any Error>?
  private var opened: StateFile?
  private var isClosed = false
  private var keeper: Task<Void, Never>?
  /// Why the last attempt to open it failed; nil once one succeeded.
  package private(set) var fault: StoreError?

  /// A store's file that is not opened yet.
  ///
  /// - Parameter spool: where accepted rows wait, and how they land; it begins to land with the first opening,
  ///   and is closed with the file.
  package init(
    _ title: String, at path: String, configuration: StateFileConfiguration, migrations: DatabaseMigrator,
    spool: (spool: Spool, apply: Apply)? = nil
  ) {
    (self.title, self.path, self.configuration) = (title, path, configuration)
    (self.migrations, self.spool) = (migrations, spool)
  }

  /// Makes the directory of a home's files, with mode 0700 whatever the umask (row C12); one that is there stays
  /// as it is.
  ///
  /// - Throws: ``StoreError`` with code `permission` or `cannotOpen`.
  package static func makeHome(_ home: String) throws(StoreError) {
    if unsafe mkdir(home, 0o700) == 0 {
      _ = unsafe chmod(home, 0o700)
      return
    }
    let code = errno
    guard code != EEXIST else { return }
    throw StoreError(
      code == EACCES || code == EPERM ? .permission : .cannotOpen,
      "The home \(home) cannot be made (\(unsafe String(cString: strerror(code)))); make it, or name another.",
      path: home)
  }

  /// The open file; opens it now if it is not, together with whoever else is waiting for it.
  ///
  /// - Throws: ``StoreError``: why it could not be opened; the next call tries again.
  package func file() async throws -> StateFile {
    guard !isClosed else { throw closed }
    if let opened { return opened }
    let running =
      attempt
      ?? Task { [path, configuration, migrations] in
        try await StateFile.open(path, configuration: configuration, migrations: migrations)
      }
    attempt = running
    do {
      let file = try await running.value
      // Closed meanwhile: close() takes care of the file itself.
      guard !isClosed else { throw closed }
      if opened == nil {
        opened = file
        spool.map { $0.spool.startDraining(into: file, apply: $0.apply) }
      }
      fault = nil
      return file
    } catch {
      guard !isClosed else { throw error }
      // Of several who waited for this attempt, a later one must not forget a newer attempt.
      if opened == nil, attempt == running { attempt = nil }
      fault = error as? StoreError ?? StoreError(.cannotOpen, "\(error)", path: path, underlying: error)
      throw error
    }
  }

  private var closed: StoreError { StoreError(.closed, "The \(title) is closed.", path: path) }

  /// Opens the file in the background, for as long as it takes.
  package func keepTrying() {
    guard keeper == nil else { return }
    keeper = Task { [weak self] in
      var pause = Duration.milliseconds(100)
      while !Task.isCancelled {
        guard let self else { return }
        if (try? await self.file()) != nil { return }
        try? await Task.sleep(for: pause)
        pause = min(pause * 2, .seconds(5))
      }
    }
  }

  /// The file's own status, once it is open.
  package var status: StateFileStatus? { opened?.status() }

  /// Lets go of the file, once the spool has landed what it could.
  ///
  /// A file that is still being opened is waited for where there is anything to land.
  ///
  /// - Parameter within: how long the spool may go on landing.
  package func close(within: Duration = .seconds(10)) async {
    let clock = ContinuousClock()
    let start = clock.now
    if opened == nil, !isClosed, let spool, spool.spool.status().depth > 0 {
      try? await Deadline.wait(within, for: "\(path) was not open") { _ = try await self.file() }
    }
    isClosed = true
    keeper?.cancel()
    await spool?.spool.close(within: max(.zero, within - start.duration(to: clock.now)))
    let file = opened
    opened = nil
    if let file {
      await file.close()
    } else if let attempt {
      // An attempt still waiting for a lock ends by itself; what it opens is closed.
      Task { if let late = try? await attempt.value { await late.close() } }
    }
  }
}
