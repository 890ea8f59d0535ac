// SPDX-License-Identifier: Apache-2.0

/// Why something asked of a session store was refused.
public struct SessionError: Error, Sendable, CustomStringConvertible {
  /// What kind of refusal it is.
  public enum Code: String, Sendable {
    /// There is no such session.
    case notFound
    /// Several ids begin like that.
    case ambiguous
    /// The session would come from itself.
    case cycle
    /// A value cannot be kept: an empty id, a negative count.
    case invalid
    /// A stored value or a line cannot be read; it was left as it is.
    case unreadable
    /// The store has been closed, or takes nothing to land later.
    case closed
    /// The spool did not take it: it is full, or its disk failed.
    case spoolRefused
  }

  /// The kind of refusal.
  public var code: Code
  /// One sentence: what is wrong, and what to do where that is not plain.
  public var message: String
  /// What lies beneath, if anything.
  public var underlying: (any Error)?

  /// A refusal.
  public init(_ code: Code, _ message: String, underlying: (any Error)? = nil) {
    (self.code, self.message, self.underlying) = (code, message, underlying)
  }

  /// The message.
  public var description: String { message }
}
