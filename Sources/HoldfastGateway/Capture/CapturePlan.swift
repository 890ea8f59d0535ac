// SPDX-License-Identifier: Apache-2.0

/// Whose conversations the gateway keeps as sessions. There is no plan, and nothing is kept, unless somebody asks.
public struct CapturePlan: Sendable, Hashable {
  /// The programs, by the names usage reports have for them; nil for every one.
  public var sources: Set<String>?

  /// A plan for some programs, or for all (nil).
  public init(sources: Set<String>?) { self.sources = sources }

  /// Whether requests of a program are captured; of one that is not known, only when all are.
  func captures(_ source: String?) -> Bool {
    guard let sources else { return true }
    return source.map(sources.contains) ?? false
  }
}
