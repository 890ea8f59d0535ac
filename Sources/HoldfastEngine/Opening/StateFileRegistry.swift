// SPDX-License-Identifier: Apache-2.0

import GRDB

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The state files open in this process, one per canonical path.
final class StateFileRegistry: Sendable {
  static let shared = StateFileRegistry()

  private enum Entry {
    /// Being opened or closed by some thread; others wait.
    case changing
    case open(StateFileCore, handles: Int)
  }

  /// What an opener found.
  private enum Claim {
    case opens
    case joins(StateFileCore)
  }

  private let entries = Monitor<[String: Entry]>([:])

  /// The process that made the registry, with its first state file.
  private let pid = getpid()

  /// Whether this is not a forked child of it, which has its entries and none of its threads.
  var isOfThisProcess: Bool { getpid() == pid }

  private init() {}

  /// Opens the file or joins the one that is open. Blocks.
  func open(
    _ spelledPath: String, configuration: StateFileConfiguration, migrations: DatabaseMigrator
  ) throws -> StateFileCore {
    let path: String
    do throws(StoreError) {
      path = try CanonicalPath.of(spelledPath)
    } catch {
      throw error.namingTheFile(ofDatabaseAt: spelledPath)
    }
    let found: Claim? = entries.wait(until: .now + configuration.patience) { entries in
      switch entries[path] {
      case .changing: return nil
      case .open(let core, let handles):
        entries[path] = .open(core, handles: handles + 1)
        return .joins(core)
      case nil:
        entries[path] = .changing
        return .opens
      }
    }
    let known: StateFileCore
    switch found {
    case .opens: return try openFirst(path, configuration: configuration, migrations: migrations)
    case .joins(let core): known = core
    case nil:
      throw StoreError(
        .deadline,
        "Opening \(path.fileName) waited for another open or close of it in this process; try again.",
        path: path, holders: LockTable.holders(ofDatabaseAt: path))
    }
    do {
      guard known.configuration.durability == configuration.durability else {
        throw StoreError(
          .misuse,
          "\(path) is already open in this process with another durability: open it with the same one.",
          path: path)
      }
      try known.migrate(with: migrations)
      return known
    } catch {
      close(known)
      throw error
    }
  }

  private func openFirst(
    _ path: String, configuration: StateFileConfiguration, migrations: DatabaseMigrator
  ) throws -> StateFileCore {
    do {
      let core = try StateFileCore(path: path, configuration: configuration, migrations: migrations)
      set(path, .open(core, handles: 1))
      return core
    } catch {
      set(path, nil)
      throw (error as? StoreError)?.namingTheFile(ofDatabaseAt: path) ?? error
    }
  }

  /// Gives one handle up; the last one closes the file. Blocks.
  func close(_ core: StateFileCore) {
    let isLast = entries.withLock { entries in
      guard case .open(let open, let handles) = entries[core.path], open === core else { return false }
      entries[core.path] = handles == 1 ? .changing : .open(core, handles: handles - 1)
      return handles == 1
    }
    guard isLast else { return }
    core.close()
    set(core.path, nil)
  }

  private func set(_ path: String, _ entry: Entry?) {
    entries.withLock { $0[path] = entry }
    entries.signal()
  }
}
