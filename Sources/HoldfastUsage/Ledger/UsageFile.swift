// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// `usage.db`, opened when it can be: a database that is locked, full or gone at the start is tried again
/// until it opens, and holds nobody up meanwhile (failures A04, A06, G05).
actor UsageFile {
  private let path: String
  private let configuration: StateFileConfiguration
  private let spool: Spool?
  private var attempt: Task<StateFile, any Error>?
  private var opened: StateFile?
  private var isDraining = false
  private var isClosed = false
  private var keeper: Task<Void, Never>?
  private(set) var fault: StoreError?

  init(path: String, configuration: StateFileConfiguration, spool: Spool?) {
    self.path = path
    self.configuration = configuration
    self.spool = spool
  }

  /// The open file; opens it now if it is not, together with whoever else is waiting for it.
  ///
  /// - Throws: why it could not be opened; the next call tries again.
  func file() async throws -> StateFile {
    guard !isClosed else { throw closed }
    if let opened { return opened }
    let running =
      attempt
      ?? Task { [path, configuration] in
        try await StateFile.open(path, configuration: configuration, migrations: UsageSchema.migrations)
      }
    attempt = running
    do {
      return try settle(try await running.value)
    } catch {
      guard !isClosed else { throw error }
      if opened == nil { attempt = nil }
      fault = error as? StoreError ?? StoreError(.cannotOpen, "\(error)", path: path, underlying: error)
      throw error
    }
  }

  private func settle(_ file: StateFile) throws(StoreError) -> StateFile {
    // Closed meanwhile: close() takes care of the file itself.
    guard !isClosed else { throw closed }
    opened = file
    fault = nil
    if let spool, !isDraining {
      isDraining = true
      spool.startDraining(into: file, apply: UsageWriter.apply)
    }
    return file
  }

  private var closed: StoreError { StoreError(.closed, "The usage ledger is closed.", path: path) }

  /// Opens the file in the background, for as long as it takes.
  func keepTrying() {
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
  var status: StateFileStatus? { opened?.status() }

  /// Lets go of the file, once the spool has landed what it could.
  func close(within: Duration) async {
    isClosed = true
    keeper?.cancel()
    await spool?.close(within: within)
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
