// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// What is known of a torture run so far; peers' words are added as they come.
final class TortureLedger: Sendable {
  private let state: Monitor<TortureReport>

  init(seed: UInt64) {
    state = Monitor(TortureReport(seed: seed))
  }

  var report: TortureReport { state.withLock { $0 } }

  func update(_ change: (inout TortureReport) -> Void) {
    state.withLock { change(&$0) }
  }

  /// Takes in one line of a peer: what it is about, then the value or the sentence.
  func hear(_ line: String, afterAKill: Bool) {
    let parts = line.split(separator: " ", maxSplits: 1)
    guard parts.count == 2 else { return }
    let (kind, rest) = (parts[0], String(parts[1]))
    update { report in
      switch kind {
      case "wait":
        report.longestWaitMilliseconds = max(report.longestWaitMilliseconds, Double(rest) ?? 0)
      case "open":
        guard afterAKill else { return }
        report.recoveries += 1
        report.longestOpenMilliseconds = max(report.longestOpenMilliseconds, Double(rest) ?? 0)
      case "cuts":
        report.powerCuts += Int(rest) ?? 0
        // Each image was opened again, and its journal or WAL recovered.
        report.recoveries += Int(rest) ?? 0
      case "promised":
        report.acknowledged += Int(rest) ?? 0
      case "lost":
        report.lost += rest.split(separator: " ").first.flatMap { Int($0) } ?? 1
        report.note("lost \(rest)")
      case "doubled":
        report.doubled += rest.split(separator: " ").first.flatMap { Int($0) } ?? 1
        report.note("doubled \(rest)")
      case "integrity":
        report.integrity = rest
      case "lock":
        report.lockErrors += 1
        report.note(rest)
      default:
        report.note(rest)
      }
    }
  }
}
