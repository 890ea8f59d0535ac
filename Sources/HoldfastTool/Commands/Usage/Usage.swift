// SPDX-License-Identifier: Apache-2.0

import ArgumentParser

/// `holdfast usage …`: the ledger.
struct Usage: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "What requests used and what they cost.",
    discussion: """
      Examples:
        holdfast usage report --since 30d --by day
        holdfast usage blocks
        holdfast usage statusline
        holdfast usage record --jsonl rows.jsonl
        holdfast usage prices claude-opus
        holdfast usage recost --dry-run
        holdfast usage import --dry-run
      """,
    subcommands: [
      UsageReport.self, UsageBlocks.self, UsageStatusline.self, UsagePrices.self, UsageBudgets.self,
      UsageRecord.self, UsageImport.self, UsageRecost.self, UsagePrune.self,
    ])
}
