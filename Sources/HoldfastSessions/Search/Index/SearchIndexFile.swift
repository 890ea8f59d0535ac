// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// `search.db`, opened when it can be and thrown away when it is no good: it is nobody's only copy (row C08).
actor SearchIndexFile {
  nonisolated let path: String
  private var attempt: Task<StateFile, any Error>?

  init(path: String) { self.path = path }

  /// The open file; opens or makes it now if need be.
  func file() async throws -> StateFile {
    let path = path
    let running =
      attempt
      ?? Task {
        // A power cut may cost it its last slices: they are laid in again.
        var configuration = StateFileConfiguration(
          durability: .processDeathOnly, patience: .seconds(2), isDisposable: true)
        // Ranking looks up the length of every message found: 14 MB for a million.
        configuration.readerCacheBytes = 24 << 20
        return try await StateFile.open(
          path, configuration: configuration, migrations: SearchIndexSchema.migrations)
      }
    attempt = running
    do {
      return try await running.value
    } catch {
      if attempt == running { attempt = nil }
      throw error
    }
  }

  /// Lets go of the file; the next use opens what is at the path then.
  func letGo() async {
    let known = attempt
    attempt = nil
    if let file = try? await known?.value { await file.close() }
  }

  /// Throws the file away. Only by who has the indexing lease: nobody else writes it.
  func discard() async {
    await letGo()
    for suffix in ["", "-wal", "-shm", "-journal"] { _ = unsafe unlink(path + suffix) }
    _ = unsafe unlink(request)
  }

  /// A file whose existence asks the holder of the lease for a new index: who finds damage need not be the one
  /// who may mend it.
  private nonisolated var request: String { path + "-damaged" }

  nonisolated func askForNewIndex() {
    _ = try? LockFile(path: request)
  }

  nonisolated var isNewIndexAskedFor: Bool { unsafe access(request, F_OK) == 0 }
}

/// What an error of the index means to it.
enum SearchIndexFault {
  /// It passes, or a person mends it: try again later.
  case passing
  /// The path stands for another file now: open that.
  case replaced
  /// The file is of no use any more.
  case ruined

  init(_ error: any Error) {
    guard let error = error as? StoreError else {
      self = .passing
      return
    }
    switch error.code {
    case .replaced, .closed: self = .replaced
    // A table that is missing or a rule that is broken is damage as well, here.
    case .damaged, .damagedIndex, .notADatabase, .sql, .constraint: self = .ruined
    // The file ends before a page it should have (SQLITE_IOERR_SHORT_READ).
    case .io where (error.underlying as? DatabaseError)?.extendedResultCode.rawValue == 522: self = .ruined
    default: self = .passing
    }
  }
}
