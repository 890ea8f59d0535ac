// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastEngine
import HoldfastGateway
import HoldfastUsage

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `holdfast usage statusline`.
struct UsageStatusline: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "statusline",
    abstract: "One line for prompts and status bars: today, the session, the block.",
    discussion: """
      Examples:
        holdfast usage statusline
        holdfast usage statusline --session 0199…
        PS1='$(holdfast usage statusline) \\$ '

      For Claude Code, in its settings:
        "statusLine": {"type": "command", "command": "holdfast usage statusline --hook"}

      With --hook it reads the JSON that Claude Code gives its status line and takes
      the session and the model from there. The day is that of the local clock.
      """)

  @Option(name: .long, help: ArgumentHelp("Add what this session has cost.", valueName: "id"))
  var session: String?

  @Flag(name: .long, help: "Read Claude Code's status line JSON from standard input.")
  var hook = false

  @OptionGroup var common: CommonOptions

  func run() async throws {
    let hooked = hook ? StatuslineHook.read() : StatuslineHook()
    let session = session ?? hooked.session
    let zone = CivilZone.current
    let now = UTCInstant.now
    let today = zone.start(ofDay: zone.day(of: now))
    let figures = try await common.resolvedHome.reportUsage(or: nil) { ledger -> StatuslineFigures? in
      var figures = StatuslineFigures(today: try await ledger.overview(since: today, until: nil).current.line)
      figures.block = try await ledger.blocks(since: now).first { $0.isActive }
      if let session {
        // A session that goes on for longer is rare, and a status line is asked for at every prompt.
        let month = UsageReportQuery(by: .session, since: today.advanced(by: .seconds(-30 * 86_400)))
        figures.session = try await ledger.report(month).first { $0.key == session }
      }
      return figures
    }
    let shown = figures ?? StatuslineFigures(today: UsageReportLine(emptyFor: nil))
    Console.print(common.json ? try JSONLine.text(shown) : shown.text(model: hooked.model, now: now))
  }
}

/// What the line says.
struct StatuslineFigures: Encodable, Sendable {
  var today: UsageReportLine
  var session: UsageReportLine?
  var block: UsageBlock?

  func text(model: String?, now: UTCInstant) -> String {
    var parts: [String] = []
    if let model { parts.append(model) }
    if let session { parts.append("session \(Amount.money(microdollars: session.costMicrodollars))") }
    parts.append("today \(Amount.money(microdollars: today.costMicrodollars))")
    if let block {
      var text = "block \(Amount.money(microdollars: block.line.costMicrodollars))"
      text += ", \(Amount.time(block.end.milliseconds - now.milliseconds)) left"
      if let burn = block.burn, burn.costMicrodollarsPerHour > 0 {
        text += ", \(Amount.money(microdollars: Int64(burn.costMicrodollarsPerHour)))/h"
      }
      parts.append(text)
    }
    if let ratio = today.cacheHitRatio { parts.append("cache \(Amount.percent(ratio))") }
    if today.unpriced > 0 { parts.append("\(Amount.count(today.unpriced)) unpriced") }
    return parts.map { Console.printable($0) }.joined(separator: " · ")
  }
}

/// What Claude Code tells its status line.
struct StatuslineHook {
  var session: String?
  var model: String?

  private struct Words: Decodable {
    struct Model: Decodable {
      var displayName: String?
      var id: String?

      enum CodingKeys: String, CodingKey {
        case displayName = "display_name"
        case id
      }
    }
    var session: String?
    var model: Model?

    enum CodingKeys: String, CodingKey {
      case session = "session_id"
      case model
    }
  }

  /// Reads it; whatever cannot be read is left out, for a status line is no place for an error.
  static func read() -> StatuslineHook {
    guard let input = try? LineReader.input("-", maximumBytes: 1 << 20) else { return StatuslineHook() }
    var text: [UInt8] = []
    var line: [UInt8] = []
    while text.count < 1 << 20, let read = try? input.next(into: &line), read != .tooLong {
      text += line + [0x0A]
    }
    guard let words = try? JSONDecoder().decode(Words.self, from: Data(text)) else { return StatuslineHook() }
    return StatuslineHook(session: words.session, model: words.model?.displayName ?? words.model?.id)
  }
}
