// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastMailbox

/// `holdfast mailbox prune`.
struct MailboxPrune: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "prune",
    abstract: "Remove what is over and old: completed, cancelled and delivered messages.",
    discussion: """
      Examples:
        holdfast mailbox prune writer/session-1
        holdfast mailbox prune writer/session-1 --older-than 12h --dry-run

      What waits, what was not delivered and dead letters stay. While the worker
      lives, or may, so does what is in its file ("held"); its host removes that
      when it has ended. An id that was removed is a new one when it comes again.
      """)

  @OptionGroup var mailbox: MailboxArgument

  @Option(
    name: .long,
    help: ArgumentHelp("How long ago it was over, as in 30d, 12h or 90m.", valueName: "age"))
  var olderThan = "30d"

  @Flag(name: .long, help: "Only count what would go.")
  var dryRun = false

  @OptionGroup var common: CommonOptions

  func validate() throws {
    guard milliseconds != nil else {
      throw ValidationError(
        "--older-than is a number of days, hours or minutes as in 30d, not “\(olderThan)”.")
    }
  }

  private var milliseconds: Int64? {
    let units: [Character: Int64] = ["d": 86_400_000, "h": 3_600_000, "m": 60_000]
    guard let unit = olderThan.last.flatMap({ units[$0] }), let count = Int64(olderThan.dropLast()),
      (0...1_000_000).contains(count)
    else { return nil }
    return count * unit
  }

  func run() async throws {
    let time = UTCInstant(milliseconds: max(0, UTCInstant.now.milliseconds - (milliseconds ?? 0)))
    let pruned = try await common.withMailboxes { store in
      try await dryRun
        ? store.prunable(mailbox.address, before: time) : store.prune(mailbox.address, before: time)
    }
    guard !common.json else { return Console.print(try JSONLine.text(pruned)) }
    let what =
      "\(Amount.count(pruned.inbound)) messages to the worker, \(Amount.count(pruned.outbound)) of the worker's, "
      + "\(Amount.count(pruned.deadLetters)) dead letters that were put back"
    Console.print(dryRun ? "Would remove \(what)." : "Removed \(what).")
    if pruned.held > 0 { Console.print("\(Amount.count(pruned.held)) wait for the worker's end.") }
  }
}
