// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// `sessions.db`, opened when it can be: one that is locked, full or gone at the start is tried again until it
/// opens, and disables nothing meanwhile (rows A04, A06).
actor SessionFile {
  private let path: String
  private let configuration: StateFileConfiguration
  private let spool: Spool
  private var attempt: Task<StateFile, any Error>?
  private var opened: StateFile?
  private var isClosed = false
  private var keeper: Task<Void, Never>?
  private(set) var fault: StoreError?

  init(path: String, configuration: StateFileConfiguration, spool: Spool) {
    (self.path, self.configuration, self.spool) = (path, configuration, spool)
  }

  /// The open file; opens it now if it is not, together with whoever else is waiting for it.
  func file() async throws -> StateFile {
    guard !isClosed else { throw closed }
    if let opened { return opened }
    let running =
      attempt
      ?? Task { [path, configuration] in
        try await StateFile.open(path, configuration: configuration, migrations: SessionSchema.migrations)
      }
    attempt = running
    do {
      let file = try await running.value
      guard !isClosed else { throw closed }
      if opened == nil {
        opened = file
        spool.startDraining(into: file, apply: MessageWriter.land)
      }
      fault = nil
      return file
    } catch {
      guard !isClosed else { throw error }
      if opened == nil { attempt = nil }
      fault = error as? StoreError ?? StoreError(.cannotOpen, "\(error)", path: path, underlying: error)
      throw error
    }
  }

  private var closed: StoreError { StoreError(.closed, "The session store is closed.", path: path) }

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

  var status: StateFileStatus? { opened?.status() }

  func close() async {
    isClosed = true
    keeper?.cancel()
    await spool.close()
    if let file = opened {
      opened = nil
      await file.close()
    } else if let attempt {
      Task { if let late = try? await attempt.value { await late.close() } }
    }
  }
}
