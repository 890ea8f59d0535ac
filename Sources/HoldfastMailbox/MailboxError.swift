// SPDX-License-Identifier: Apache-2.0

/// Why something asked of a mailbox was refused.
public struct MailboxError: Error, Sendable, CustomStringConvertible {
  /// What kind of refusal it is.
  public struct Code: Hashable, Sendable, CustomStringConvertible {
    private enum Kind: String, Sendable {
      case invalid
      case notFound
      case unreadable
      case refused
      case closed
    }

    private let kind: Kind

    private init(_ kind: Kind) { self.kind = kind }

    /// A value cannot be kept: an address with a slash too many, a content that is no JSON.
    public static let invalid = Code(.invalid)
    /// There is no such mailbox, message or dead letter.
    public static let notFound = Code(.notFound)
    /// A stored value cannot be read; it was left as it is.
    public static let unreadable = Code(.unreadable)
    /// It may not be done: an attachment outside its directory, a claim that is another's.
    public static let refused = Code(.refused)
    /// The store has been closed.
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
    (self.code, self.message, self.underlying) = (code, message, underlying)
  }

  /// The message.
  public var description: String { message }
}
