// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage
import Hummingbird

/// The page's numbers, worked out once for all who look.
///
/// A look is answered from the last one for a quarter of a second, so many open pages cost the database as much
/// as one.
actor DashboardData {
  /// What the page shows.
  private struct Numbers: Encodable {
    struct Period: Encodable {
      var total: UsageReportLine
      var models: [UsageReportLine]
    }

    struct Spool: Encodable {
      var depth: Int
      var refused: UInt64
    }

    var today: Period
    var week: Period
    var month: Period
    var days: [UsageReportLine]
    var spool: Spool
    var health: StatusReport.Health
  }

  private static let lifetime: Duration = .milliseconds(250)

  private var body = ByteBuffer()
  private var tag = ""
  private var expires: ContinuousClock.Instant?
  private var running: Task<(ByteBuffer, String), any Error>?

  /// The numbers as JSON, and a tag that changes when they do.
  func current(_ state: GatewayState) async throws -> (ByteBuffer, String) {
    if let expires, expires > .now { return (body, tag) }
    let task = running ?? Task { try await Self.work(state) }
    running = task
    defer { if running == task { running = nil } }
    let (body, tag) = try await task.value
    (self.body, self.tag) = (body, tag)
    expires = .now.advanced(by: Self.lifetime)
    return (body, tag)
  }

  private static func work(_ state: GatewayState) async throws -> (ByteBuffer, String) {
    let today = UTCInstant.now.startOfDay
    let starts = (
      today, today.advanced(by: .seconds(-6 * 86_400)), today.advanced(by: .seconds(-29 * 86_400))
    )
    let ledger = state.ledger
    let found = try await ledger.report(UsageReportQuery(by: .day, since: starts.2))
    let days = allDays(from: starts.2, found)
    let status = await state.status()
    let numbers = Numbers(
      today: .init(
        total: sum(days.suffix(1)),
        models: try await ledger.report(UsageReportQuery(by: .model, since: starts.0))),
      week: .init(
        total: sum(days.suffix(7)),
        models: try await ledger.report(UsageReportQuery(by: .model, since: starts.1))),
      month: .init(
        total: sum(days), models: try await ledger.report(UsageReportQuery(by: .model, since: starts.2))),
      days: days, spool: .init(depth: status.spool.depth, refused: status.spool.refused),
      health: status.health)
    let text = try JSONLine.text(numbers)
    return (ByteBuffer(string: text), "\"\(fingerprint(text))\"")
  }

  /// Every day of the span, those without requests too; later days, of rows stamped in the future, are left out.
  private static func allDays(from start: UTCInstant, _ found: [UsageReportLine]) -> [UsageReportLine] {
    let known = Dictionary(
      found.compactMap { line in line.key.map { ($0, line) } }, uniquingKeysWith: { a, _ in a })
    return (0..<30).map { index in
      let key = String(start.advanced(by: .seconds(index * 86_400)).description.prefix(10))
      return known[key] ?? UsageReportLine(emptyFor: key)
    }
  }

  private static func sum(_ lines: some Sequence<UsageReportLine>) -> UsageReportLine {
    lines.reduce(into: UsageReportLine(emptyFor: nil)) { $0.add($1) }
  }

  /// FNV-1a: two texts with one print would only leave the page a moment behind.
  private static func fingerprint(_ text: String) -> String {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in text.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return String(hash, radix: 16)
  }
}
