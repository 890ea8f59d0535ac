// SPDX-License-Identifier: Apache-2.0

/// Why something asked of the state store or the catalogue was refused.
public struct CatalogError: Error, Sendable, CustomStringConvertible {
  /// What kind of refusal it is.
  public enum Code: String, Sendable {
    /// There is no such key, model or provider.
    case notFound
    /// The value has another version than was asked for; see ``CatalogError/version``.
    case versionConflict
    /// A value cannot be kept: no JSON, an empty key, too long.
    case invalid
    /// Stored bytes cannot be read; they were left as they are.
    case unreadable
    /// Writes that nobody waited for were not made.
    case writesLost
    /// A provider gave no usable list of models.
    case provider
    /// Another process has had the turn for too long.
    case busy
    /// The store has been closed.
    case closed
  }

  /// The kind of refusal.
  public var code: Code
  /// One sentence: what is wrong, and what to do where that is not plain.
  public var message: String
  /// For `versionConflict`: the version there is; 0 when there is no value.
  public var version: Int64?
  /// What lies beneath, if anything.
  public var underlying: (any Error)?

  /// A refusal.
  public init(
    _ code: Code, _ message: String, version: Int64? = nil, underlying: (any Error)? = nil
  ) {
    (self.code, self.message, self.version, self.underlying) = (code, message, version, underlying)
  }

  /// The message.
  public var description: String { message }
}
