// SPDX-License-Identifier: Apache-2.0

import HoldfastGateway
import HoldfastUsage

extension Home {
  /// Asks the home's ledger, what dead processes had accepted included.
  ///
  /// - Parameter nothing: the answer of a home nobody has used yet, which is left as it is.
  func reportUsage<Answer: Sendable>(
    or nothing: Answer, _ ask: (SQLiteUsageLedger) async throws -> Answer
  ) async throws -> Answer {
    guard exists else { return nothing }
    // A daemon lands what is spooled; without one, what a killed process left is landed here first.
    let lands = hasSpooledFiles(of: "usage") && DaemonLock.holder(home: path) == nil
    let ledger = try await SQLiteUsageLedger.open(home: path, for: lands ? .accepting : .reporting)
    if lands {
      do {
        try await ledger.flush(within: .seconds(5))
      } catch {
        Console.printError("Some rows wait in the spool and are not in this answer: \(error)")
      }
    }
    let answer: Result<Answer, any Error>
    do {
      answer = .success(try await ask(ledger))
    } catch {
      answer = .failure(error)
    }
    await ledger.close(within: .seconds(1))
    return try answer.get()
  }
}
