// SPDX-License-Identifier: Apache-2.0

/// Reads from a request's body, as it passes by, the few things a usage row needs.
///
/// It holds a few hundred bytes whatever the prompt's size and stops looking after a bound. What is sent
/// upstream is never touched: this only reads a copy.
public struct RequestPeek: Sendable {
  private struct Found: Sendable, JSONFieldSink {
    var model: String?
    var stream: Bool?
    var includeUsage: Bool?
    var serviceTier: String?
    var userID: String?
    var background: Bool?
    var continuesStored = false

    mutating func value(_ field: UInt8, _ kind: JSONScalarKind, _ text: [UInt8]) {
      switch (field, kind) {
      case (0, .string): model = WireText.kept(text, maximumBytes: 256)
      case (1, .boolean(let value)): stream = value
      case (2, .boolean(let value)): includeUsage = value
      case (3, .string): serviceTier = WireText.kept(text, maximumBytes: 256)
      case (4, .string): userID = WireText.kept(text, maximumBytes: 512)
      case (5, .boolean(let value)): background = value
      case (6, .string), (6, .composite): continuesStored = true
      default: break
      }
    }
  }

  private static let paths = JSONFieldPaths([
    ("model", 0), ("stream", 1), ("stream_options.include_usage", 2), ("service_tier", 3),
    ("metadata.user_id", 4), ("background", 5), ("previous_response_id", 6), ("conversation", 6),
  ])

  private var scanner = JSONFieldScanner(paths)
  private var found = Found()
  private var remaining: Int

  /// A peek at one body.
  ///
  /// - Parameter maximumBytes: how much of the body is looked at.
  public init(maximumBytes: Int = 32 << 20) { remaining = maximumBytes }

  /// Takes the body's next bytes.
  public mutating func consume(_ bytes: Span<UInt8>) {
    guard remaining > 0 else { return }
    let taken = min(remaining, bytes.count)
    remaining -= taken
    scanner.consume(taken == bytes.count ? bytes : bytes.extracting(0..<taken), into: &found)
  }

  /// Takes the body's next bytes.
  public mutating func consume(_ bytes: [UInt8]) { consume(bytes.span) }

  /// The model asked for.
  public var model: String? { found.model }
  /// Whether a stream was asked for; nil when the body does not say.
  public var stream: Bool? { found.stream }
  /// OpenAI's `stream_options.include_usage`, without which a chat stream carries no usage.
  public var includeUsage: Bool? { found.includeUsage }
  /// The service tier asked for; the one that served is in the answer.
  public var serviceTier: String? { found.serviceTier }

  /// Whether the answer is to be worked out after the request has ended (OpenAI's Responses).
  public var background: Bool? { found.background }
  /// Whether it goes on with what the provider has stored: a response or a conversation (OpenAI's Responses).
  public var continuesStored: Bool { found.continuesStored }

  /// The session Claude Code writes into `metadata.user_id`, if any: `user_…_account_…_session_<id>`, or in newer
  /// versions a JSON object with a `session_id`.
  public var session: String? {
    guard let userID = found.userID else { return nil }
    if userID.hasPrefix("{") { return Self.session(inObject: userID) }
    guard let mark = userID.firstRange(of: "_session_") else { return nil }
    let session = userID[mark.upperBound...]
    return session.isEmpty ? nil : String(session)
  }

  private static let sessionPath = JSONFieldPaths([("session_id", 0)])

  private static func session(inObject text: String) -> String? {
    var scanner = JSONFieldScanner(sessionPath)
    var found = Found()
    scanner.consume(Array(text.utf8).span, into: &found)
    // The first field of `Found` is whatever text has the number 0.
    return scanner.isComplete ? found.model : nil
  }
}
