// SPDX-License-Identifier: Apache-2.0

public import HoldfastUsage
public import Logging
public import ServiceLifecycle

/// Imports programs' logs as they are written, as long as the daemon runs.
public struct WatchedUsageLogs: Service {
  private let ledger: any UsageLedger
  private let watch: UsageLogWatch
  private let logger: Logger

  /// - Parameters:
  ///   - formats: the programs.
  ///   - environment: of the process, which says where they keep their logs.
  public init(
    ledger: any UsageLedger, formats: [UsageLogFormat], environment: [String: String], logger: Logger
  ) {
    self.ledger = ledger
    self.logger = logger
    watch = UsageLogWatch(formats, environment: environment)
  }

  /// Imports until told to stop.
  public func run() async throws {
    let (ledger, watch, logger) = (ledger, watch, logger)
    await cancelWhenGracefulShutdown {
      try? await watch.run(into: ledger) { report in
        if report.refused > 0, let fault = report.faults.first {
          logger.warning(
            "what a program's log tells was refused",
            metadata: [
              "program": "\(report.source)", "count": "\(report.refused)",
              "first": "\(fault.file):\(fault.line ?? 0): \(fault.reason)",
            ])
        }
        logger.debug(
          "a program's logs were imported",
          metadata: [
            "program": "\(report.source)", "new": "\(report.rowsNew)", "merged": "\(report.rowsMerged)",
          ])
      } onError: { error in
        logger.warning("programs' logs wait to be imported", metadata: ["reason": "\(error)"])
      }
    }
  }
}
