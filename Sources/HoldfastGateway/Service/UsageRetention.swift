// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
public import HoldfastUsage
public import Logging
public import ServiceLifecycle

/// Removes rows of usage for their age, once an hour; their sums stay.
public struct UsageRetention: Service {
  private let ledger: any UsageLedger
  private let days: Int
  private let logger: Logger

  /// - Parameter days: how long rows are kept.
  public init(ledger: any UsageLedger, days: Int, logger: Logger) {
    self.ledger = ledger
    self.days = days
    self.logger = logger
  }

  /// Removes what is old until told to stop.
  public func run() async throws {
    try? await cancelWhenGracefulShutdown {
      while true {
        await prune(now: .now)
        try await Task.sleep(for: .seconds(3600))
      }
    }
  }

  /// Removes what is old at a moment; a failure is told, and the next time comes.
  func prune(now: UTCInstant) async {
    do {
      let report = try await ledger.prune(before: now.advanced(by: .seconds(-86_400 * days)))
      if report.rows > 0 { logger.info("removed old rows of usage", metadata: ["rows": "\(report.rows)"]) }
    } catch is CancellationError {
      return
    } catch {
      logger.warning("old rows of usage stay for now", metadata: ["reason": "\(error)"])
    }
  }
}
