// SPDX-License-Identifier: Apache-2.0

/// Whose mailbox it is: a worker's session, written `AGENT/SESSION`.
///
/// Both names become directories of the home, names of containers and parts of URLs, so they have only characters
/// that mean nothing to any of them: 1 to 128 of `A–Z a–z 0–9 . _ -`, the first of which is no dot.
public struct MailboxAddress: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The longest name of an agent or a session, in bytes.
  public static let maximumLength = 128

  /// The worker.
  public let agent: String
  /// Its session.
  public let session: String

  /// The address of a worker's session.
  ///
  /// - Throws: ``MailboxError`` `invalid` for a name that could mean another place.
  public init(agent: String, session: String) throws(MailboxError) {
    for (name, role) in [(agent, "agent"), (session, "session")] where !Self.isName(name) {
      throw MailboxError(
        .invalid,
        """
        \(Self.quoted(name)) cannot be the name of a mailbox's \(role): it takes 1 to \(Self.maximumLength) letters \
        of A to Z, digits, “.”, “_” and “-”, and does not begin with “.”.
        """)
    }
    (self.agent, self.session) = (agent, session)
  }

  /// Reads `AGENT/SESSION`.
  ///
  /// - Throws: ``MailboxError`` `invalid` for anything else.
  public init(_ text: String) throws(MailboxError) {
    let parts = text.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
    guard parts.count == 2 else {
      throw MailboxError(
        .invalid, "\(Self.quoted(text)) is no mailbox's address: write AGENT/SESSION, as in writer/session-1."
      )
    }
    try self.init(agent: String(Substring(parts[0])), session: String(Substring(parts[1])))
  }

  /// Whether it may be the name of an agent or a session.
  static func isName(_ text: String) -> Bool {
    let bytes = text.utf8
    guard (1...maximumLength).contains(bytes.count), bytes.first != UInt8(ascii: ".") else { return false }
    return bytes.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
        UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
        true
      default: false
      }
    }
  }

  /// A name as a message may carry it, whatever it has in it.
  private static func quoted(_ text: String) -> String {
    let shown = text.unicodeScalars.prefix(160).map {
      $0.properties.generalCategory == .control ? "�" : String($0)
    }
    return "“" + shown.joined() + (text.unicodeScalars.count > 160 ? "…" : "") + "”"
  }

  /// `AGENT/SESSION`.
  public var description: String { agent + "/" + session }

  /// By agent, then by session.
  public static func < (one: MailboxAddress, other: MailboxAddress) -> Bool {
    (one.agent, one.session) < (other.agent, other.session)
  }
}

extension MailboxAddress: Codable {
  /// Reads `"AGENT/SESSION"`.
  public init(from decoder: any Decoder) throws {
    try self.init(decoder.singleValueContainer().decode(String.self))
  }

  /// Writes `"AGENT/SESSION"`.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.singleValueContainer()
    try container.encode(description)
  }
}
