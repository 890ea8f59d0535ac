// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastSessions

/// `holdfast sessions …`: transcripts that any number of processes share.
struct Sessions: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Sessions of agents and their messages.",
    discussion: """
      Examples:
        holdfast sessions create --id review --source cron --title "Nightly review"
        echo '{"role":"user","content":"Hello"}' | holdfast sessions append review --jsonl -
        holdfast sessions list --source cron
        holdfast sessions show review
        holdfast sessions search "broken pipe" role:tool after:7d

      A session may be named by the beginning of its id where no other begins like it.
      """,
    subcommands: [
      SessionsCreate.self, SessionsAppend.self, SessionsList.self, SessionsShow.self, SessionsSearch.self,
      SessionsRename.self,
      SessionsEnd.self, SessionsArchive.self, SessionsFork.self, SessionsRewind.self, SessionsDelete.self,
      SessionsPrune.self, SessionsExport.self, SessionsImport.self,
    ])
}

extension CommonOptions {
  /// Runs `body` with the session store, and closes it behind.
  ///
  /// - Parameter making: whether a home that is missing is made; otherwise there is nothing to find in it.
  func withSessions<Value: Sendable>(
    making: Bool, _ body: (any SessionStore) async throws -> Value
  ) async throws -> Value {
    try await withSessionFiles(making: making) { store in try await body(store) }
  }

  /// Runs `body` with the session store of the home's files, for what stands on these: search, and imports of
  /// other programs' transcripts.
  func withSessionFiles<Value: Sendable>(
    making: Bool, _ body: (SQLiteSessionStore) async throws -> Value
  ) async throws -> Value {
    let home = resolvedHome
    if making {
      try home.make()
    } else if !Home.exists(home.path + "/sessions.db") {
      throw Failure(ExitStatus.noInput, "There are no sessions in \(home.path).")
    }
    let store = try await SQLiteSessionStore.open(home: home.path)
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
