// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastUsage
import Synchronization

/// `holdfast usage record`.
struct UsageRecord: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "record",
    abstract: "Accept usage rows from JSON Lines.",
    discussion: """
      Examples:
        holdfast usage record --jsonl rows.jsonl
        my-importer | holdfast usage record --jsonl -

      A line is one object:
        {"provider":"anthropic","model":"claude-sonnet-4-5",
         "input_tokens":12,"output_tokens":34}
      and may have uid, time, source, session, project, request_id, status,
      duration_ms, cache_read_tokens, cache_write_5m_tokens and
      cache_write_1h_tokens. A uid that is known already changes nothing.

      For each row {"uid":…} is printed once it is accepted, which outlives this
      process; for a refused one {"line":…,"error":…}, and the exit code is 65.
      """)

  @Option(name: .long, help: ArgumentHelp("The file of rows, or - for standard input.", valueName: "file"))
  var jsonl: String

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let input = try LineReader.input(jsonl, maximumBytes: 1 << 20)
    let home = common.resolvedHome
    try home.make()
    let rates = try await common.rates(orWithoutPublished: true)
    let ledger = try await SQLiteUsageLedger.open(home: home.path, rates: rates)
    let outcome = try await Process.onThread { [isJSON = common.json] in
      try RowRecorder(ledger: ledger, isJSON: isJSON).record(input)
    }
    do {
      try await ledger.flush(within: .seconds(30))
    } catch {
      let waiting = await ledger.status().depth
      Console.printError(
        "\(Amount.count(waiting)) accepted rows wait in the spool and land when Holdfast next runs here: \(error)"
      )
    }
    await ledger.close(within: .seconds(1))
    if outcome.lostReader { Process.leaveBrokenPipe() }
    if !common.json {
      Console.print(
        "\(Amount.count(outcome.accepted)) rows accepted, \(Amount.count(outcome.refused)) refused")
    }
    if outcome.isFull { Process.leave(ExitStatus.tryAgain) }
    if outcome.refused > 0 { Process.leave(ExitStatus.dataError) }
  }
}

/// Reads rows and accepts them, one after the other, on a thread that may block.
private struct RowRecorder {
  struct Outcome: Sendable {
    var accepted = 0
    var refused = 0
    /// The spool stayed full for as long as patience lasts.
    var isFull = false
    /// Nobody reads the acknowledgements any more.
    var lostReader = false
  }

  private struct Acceptance: Encodable {
    var uid: String
  }

  private struct Refusal: Encodable {
    var line: Int
    var error: String
  }

  let ledger: SQLiteUsageLedger
  let isJSON: Bool

  func record(_ input: LineReader) throws -> Outcome {
    var outcome = Outcome()
    var bytes: [UInt8] = []
    while let line = try input.next(into: &bytes) {
      switch line {
      case .whole, .unfinished:
        if bytes.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
        do {
          let uid = try accept(try UsageRow(line: bytes))
          outcome.accepted += 1
          outcome.lostReader = !Console.tryPrint(try JSONLine.text(Acceptance(uid: uid)))
        } catch let error as UsageError {
          outcome.refused += 1
          if error.code == .spoolRefused { outcome.isFull = true }
          outcome.lostReader = !refuse(input.number, error.message)
        }
      case .tooLong:
        outcome.refused += 1
        outcome.lostReader = !refuse(input.number, "The line is longer than \(input.maximumBytes) bytes.")
      }
      if outcome.lostReader || outcome.isFull { break }
    }
    return outcome
  }

  private func refuse(_ line: Int, _ message: String) -> Bool {
    if !isJSON { Console.printError("line \(line): \(message)") }
    return isJSON ? Console.tryPrint((try? JSONLine.text(Refusal(line: line, error: message))) ?? "") : true
  }

  /// Accepts a row; when the spool is full it waits for the drain, as a pipe makes its writer wait.
  private func accept(_ row: UsageRow) throws(UsageError) -> String {
    do throws(UsageError) {
      return try ledger.accept(row)
    } catch {
      guard error.code == .spoolRefused, drained() else { throw error }
      return try ledger.accept(row)
    }
  }

  /// Waits, for a minute at most, until the spool has landed.
  private func drained() -> Bool {
    let gate = Gate()
    let ledger = self.ledger
    Task {
      let landed = (try? await ledger.flush(within: .seconds(60))) != nil
      gate.open(landed)
    }
    return gate.wait()
  }
}
