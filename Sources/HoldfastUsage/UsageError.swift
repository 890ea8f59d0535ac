// SPDX-License-Identifier: Apache-2.0

/// Why a usage row, a rate card or a question to the ledger was refused.
public struct UsageError: Error, Sendable, CustomStringConvertible {
  /// What kind of refusal it is.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private enum Kind: String, Sendable {
      case invalidRow
      case unreadable
      case invalidRates
      case spoolRefused
      case closed
    }

    private let kind: Kind

    private init(_ kind: Kind) { self.kind = kind }

    /// A value of the row cannot be true (failure D15).
    public static let invalidRow = Code(.invalidRow)
    /// A line or a stored record is not a usage row.
    public static let unreadable = Code(.unreadable)
    /// A configured price cannot be used.
    public static let invalidRates = Code(.invalidRates)
    /// The spool did not take the row: it is full, or its disk failed.
    public static let spoolRefused = Code(.spoolRefused)
    /// The ledger has been closed.
    public static let closed = Code(.closed)

    /// The code's name.
    public var description: String { kind.rawValue }
  }

  /// The kind of refusal.
  public var code: Code
  /// One sentence: what is wrong, where, and what to do where that is not plain.
  public var message: String
  /// What lies beneath, if anything.
  public var underlying: (any Error)?

  /// A refusal.
  public init(_ code: Code, _ message: String, underlying: (any Error)? = nil) {
    self.code = code
    self.message = message
    self.underlying = underlying
  }

  /// The message.
  public var description: String { message }
}
