// SPDX-License-Identifier: Apache-2.0

import Synchronization

/// A bar for one long piece of work, on a terminal's standard error; nothing anywhere else.
final class ProgressBar: Sendable {
  private let title: String
  /// The hundredth that is shown and what is being done: drawing more often than it changes costs time.
  private let shown = Mutex<(percent: Int, what: String)>((-1, ""))

  private static let width = 24

  /// A bar that shows nothing yet; `title` is a path or another name for the whole.
  init(_ title: String) { self.title = title }

  /// Shows the share that is done, 0 … 1, and what is being done.
  func show(_ share: Double, _ what: String) {
    let percent = Int((min(1, max(0, share)) * 100).rounded(.down))
    let isNew = shown.withLock { shown in
      guard shown.percent != percent || shown.what != what else { return false }
      shown = (percent, what)
      return true
    }
    if isNew { Console.progress(Self.line(title, percent: percent, what)) }
  }

  /// As in `usage.db [############------------]  50 % rows of usage`, short enough for a narrow terminal.
  static func line(_ title: String, percent: Int, _ what: String) -> String {
    let full = width * percent / 100
    let bar = String(repeating: "#", count: full) + String(repeating: "-", count: width - full)
    let name = String(title.split(separator: "/").last ?? "")
    let number = String(repeating: " ", count: percent < 10 ? 2 : percent < 100 ? 1 : 0) + "\(percent)"
    return "\(name.prefix(20)) [\(bar)] \(number) % \(what.prefix(24))"
  }
}
