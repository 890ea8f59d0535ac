// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// A session as a transcript tells of it; what is nil it does not say.
struct TranscriptSession: Sendable, Hashable {
  /// The program's own id, so that every import means the same session.
  var id: String
  var format: TranscriptFormat
  var parent: String?
  var edge = SessionEdge.root
  var title: String?
  var titleFrom = TitleSource.imported
  var model: String?
  var cwd: String?
  var gitBranch: String?
  /// Milliseconds since 1970, UTC.
  var started: Int64?
  var ended: Int64?
  var endedReason: String?
  var isArchived = false
  var isPinned = false
  /// What the program notes and the store has no column for.
  var metadata: [String: JSONValue] = [:]

  init(id: String, format: TranscriptFormat) { (self.id, self.format) = (id, format) }

  /// Notes something for the metadata, the first time it is said.
  mutating func note(_ name: String, _ value: String?) {
    guard let value, !value.isEmpty, metadata[name] == nil else { return }
    metadata[name] = .string(value)
  }

  /// Whether a text can be a session's id, with room for the program's name before it.
  static func isID(_ text: String) -> Bool { (1...220).contains(text.unicodeScalars.count) }

  /// A title worth having: the first line of a text, without what steers terminals, cut.
  static func title(from text: String) -> String? {
    var title = ""
    for scalar in text.unicodeScalars {
      if scalar == "\n" || scalar == "\r" {
        if title.isEmpty { continue }
        break
      }
      if title.isEmpty, scalar.properties.isWhitespace { continue }
      guard scalar.value >= 0x20 else { continue }
      title.unicodeScalars.append(scalar)
      if title.unicodeScalars.count == 100 { break }
    }
    return title.isEmpty ? nil : title
  }
}

/// Tokens and money of one message; what is nil is not known.
struct MessageCounts: Sendable, Hashable {
  var input: Int64?
  var cacheRead: Int64?
  var cacheWrite: Int64?
  var output: Int64?
  /// Millionths of a dollar.
  var cost: Int64?

  var isEmpty: Bool { self == MessageCounts() }

  /// The counts that are more than in `other`, where both are of one request that was written down twice.
  func beyond(_ other: MessageCounts) -> MessageCounts {
    func more(_ now: Int64?, _ before: Int64?) -> Int64? {
      guard let now else { return nil }
      guard let before else { return now }
      return now > before ? now - before : nil
    }
    return MessageCounts(
      input: more(input, other.input), cacheRead: more(cacheRead, other.cacheRead),
      cacheWrite: more(cacheWrite, other.cacheWrite), output: more(output, other.output),
      cost: more(cost, other.cost))
  }

  static func + (left: MessageCounts, right: MessageCounts) -> MessageCounts {
    func sum(_ a: Int64?, _ b: Int64?) -> Int64? { a == nil && b == nil ? nil : (a ?? 0) + (b ?? 0) }
    return MessageCounts(
      input: sum(left.input, right.input), cacheRead: sum(left.cacheRead, right.cacheRead),
      cacheWrite: sum(left.cacheWrite, right.cacheWrite), output: sum(left.output, right.output),
      cost: sum(left.cost, right.cost))
  }

  /// Within what the store keeps: a nonsensical count is none.
  func bounded() -> MessageCounts {
    func bound(_ count: Int64?) -> Int64? {
      count.flatMap { (0...1_000_000_000_000_000).contains($0) ? $0 : nil }
    }
    return MessageCounts(
      input: bound(input), cacheRead: bound(cacheRead), cacheWrite: bound(cacheWrite), output: bound(output),
      cost: bound(cost))
  }

  /// Dollars as millionths, nil for none and for nonsense.
  static func microdollars(_ dollars: Double?) -> Int64? {
    guard let dollars, dollars.isFinite, dollars > 0, dollars < 1e9 else { return nil }
    return Int64((dollars * 1_000_000).rounded())
  }
}

/// A message as its row will be.
struct TranscriptMessage: Sendable, Hashable {
  var session: String
  /// From the source, so that the same message is the same row at every import.
  var uid: String
  var role: String
  var content = ""
  var isJSON = false
  var toolCalls: String?
  var toolCallID: String?
  var model: String?
  var finishReason: String?
  /// Milliseconds since 1970, UTC.
  var time: Int64
  var state = MessageState.live
  var counts = MessageCounts()

  init(session: String, uid: String, role: String, time: Int64) {
    (self.session, self.uid, self.role, self.time) = (session, uid, role, time)
  }

  /// About what it takes in memory and in the store.
  var size: Int { 200 + content.utf8.count + (toolCalls?.utf8.count ?? 0) }
}

/// A piece of transcripts, in the order in which it is to be written.
struct TranscriptBatch: Sendable {
  enum Item: Sendable {
    /// A session begins.
    case session(TranscriptSession)
    /// More is known of a session that has begun.
    case more(TranscriptSession)
    case message(TranscriptMessage)

    /// About what it takes in memory and in the store.
    var size: Int { if case .message(let message) = self { message.size } else { 500 } }
  }

  var items: [Item] = []
  var size = 0
  var files = 0
  var skipped = 0
  var incomplete = 0
  var faults: [TranscriptFault] = []

  mutating func add(_ session: TranscriptSession) {
    add(Item.session(session))
  }

  mutating func add(more session: TranscriptSession) {
    add(Item.more(session))
  }

  mutating func add(_ message: TranscriptMessage) {
    guard (1...1024).contains(message.uid.unicodeScalars.count), !message.role.isEmpty else {
      faults.append(TranscriptFault("", "A message's id is empty or longer than an id can be."))
      return
    }
    add(Item.message(message))
  }

  private mutating func add(_ item: Item) {
    items.append(item)
    size += item.size
  }

  /// Where a piece that begins at `start` ends: after so many items, or sooner where they are long.
  static func end(of items: [Item], from start: Int, most units: Int) -> Int {
    var (end, size) = (start, 0)
    while end < items.count, end - start < units, end == start || size + items[end].size <= 1 << 20 {
      size += items[end].size
      end += 1
    }
    return end
  }

  /// Whether it is time to write what is there.
  var isFull: Bool { items.count >= 2048 || size >= 4 << 20 }
}

/// Reads one file, or one program's database, piece by piece; used by one thread at a time.
protocol TranscriptReading: AnyObject {
  /// Adds the next piece, at most about as much as a batch holds.
  /// - Returns: whether there is more.
  func read(into batch: inout TranscriptBatch) throws -> Bool
}

/// Times as programs write them.
enum TranscriptTime {
  /// RFC 3339, or nil.
  static func rfc3339(_ text: String?) -> Int64? {
    guard let text, let time = UTCInstant(text), UTCInstant.supported.contains(time) else { return nil }
    return time.milliseconds
  }

  /// Seconds or milliseconds since 1970: what is beyond the year 5138 as seconds is in milliseconds.
  static func sinceEpoch(_ number: Double?) -> Int64? {
    guard let number, number.isFinite, number >= 0 else { return nil }
    let milliseconds = number > 1e11 ? number : number * 1000
    guard milliseconds < 253_402_300_799_999 else { return nil }
    return Int64(milliseconds.rounded())
  }
}
