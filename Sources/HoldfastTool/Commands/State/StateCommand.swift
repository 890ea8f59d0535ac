// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastCatalog
import HoldfastEngine
import HoldfastGateway

/// `holdfast state …`: JSON values that any number of processes share.
struct StateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "state",
    abstract: "JSON values by namespace and key, with versions to compare.",
    discussion: """
      Examples:
        holdfast state set agents reviewer '{"mood":"calm"}'
        holdfast state get agents reviewer
        holdfast state set agents reviewer '{"mood":"brisk"}' --if-version 1
        holdfast state set tokens github '"ghp_…"' --secret --expires 8h
        holdfast state list agents --prefix rev --json

      A version that is asked for and not found exits 75, a key without a value 66.
      """,
    subcommands: [StateGet.self, StateSet.self, StateDelete.self, StateList.self])
}

extension CommonOptions {
  /// Runs `body` with the state store, and closes it behind.
  ///
  /// - Parameter making: whether a home that is missing is made; otherwise there is nothing to find in it.
  func withState<Value: Sendable>(
    making: Bool, _ body: (SQLiteStateStore) async throws -> Value
  ) async throws -> Value {
    let home = resolvedHome
    if making {
      try home.make()
    } else if !Home.exists(home.path + "/state.db") {
      throw Failure(ExitStatus.noInput, "There is no state in \(home.path).")
    }
    let store = try SQLiteStateStore.open(home: home.path)
    let outcome: Result<Value, any Error>
    do {
      outcome = .success(try await body(store))
    } catch {
      outcome = .failure(error)
    }
    await store.close()
    return try outcome.get()
  }
}

/// A value as it is printed.
enum StateLine {
  /// What stands for a secret.
  static let mask = "\"***\""

  /// One line of JSON with the value itself in it, spelt as it was.
  static func json(_ entry: StateEntry, reveals: Bool) throws -> String {
    var fields = [
      "\"key\":\(try JSONLine.text(entry.key.key))",
      "\"namespace\":\(try JSONLine.text(entry.key.namespace))",
      "\"updated\":\"\(entry.updated)\"", "\"value\":\(value(entry, reveals: reveals))",
      "\"version\":\(entry.version)",
    ]
    if entry.isSecret { fields.append("\"secret\":true") }
    if let expires = entry.expires { fields.append("\"expires\":\"\(expires)\"") }
    return "{" + fields.sorted().joined(separator: ",") + "}"
  }

  /// The value on one line, or what stands for it.
  static func value(_ entry: StateEntry, reveals: Bool) -> String {
    entry.isSecret && !reveals ? mask : entry.value.compact
  }

  /// Tells a conflict as the contract has it: the version there is on standard output, the sentence beside it.
  static func tellingConflicts<Value>(_ isJSON: Bool, _ body: () async throws -> Value) async throws -> Value
  {
    do {
      return try await body()
    } catch let error as CatalogError {
      if isJSON, error.code == .versionConflict {
        Console.print(#"{"error":"version-conflict","version":\#(error.version ?? 0)}"#)
      }
      throw error
    }
  }
}

/// A version that is asked for.
struct VersionOption: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Only when it has this version; 0: only when there is none.", valueName: "version"))
  var ifVersion: Int64?

  func validate() throws {
    if let ifVersion, ifVersion < 0 { throw ValidationError("--if-version is 0 or more, not \(ifVersion).") }
  }
}
