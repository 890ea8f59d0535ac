// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// The row as the bytes the spool keeps.
///
/// The bytes are: a version (1), then fields in the wire format of Protocol Buffers (a varint key
/// `number << 3 | type`, type 0 a varint, type 2 a length and bytes), so that an older program steps over the
/// fields of a newer one. A field's number is never used again for anything else.
extension UsageRow {
  private static let version: UInt8 = 1

  private enum Field {
    static let uid = 1
    static let time = 2
    static let provider = 3
    static let model = 4
    static let source = 5
    static let session = 6
    static let project = 7
    static let agent = 8
    static let parentAgent = 9
    static let requestID = 10
    static let responseID = 11
    static let endpoint = 12
    static let streaming = 13
    static let status = 14
    static let outcome = 15
    static let errorType = 16
    static let stopReason = 17
    static let duration = 18
    static let firstToken = 19
    static let input = 20
    static let cacheRead = 21
    static let cacheWrite5m = 22
    static let cacheWrite1h = 23
    static let output = 24
    static let reasoning = 25
    static let webSearches = 26
    static let serviceTier = 27
    static let speed = 28
    static let inferenceGeo = 29
    static let unknown = 30
    static let cost = 31
    static let rateCard = 32
    static let route = 33
    static let decision = 34
    static let tool = 35
    static let origin = 36
    static let saved = 37
  }

  /// The row as a spool record.
  public func encodedRecord() -> [UInt8] {
    var writer = RecordWriter(version: Self.version)
    writer.text(Field.uid, uid)
    writer.count(Field.time, time?.milliseconds)
    writer.text(Field.provider, provider)
    writer.text(Field.model, model)
    writer.text(Field.source, source)
    writer.text(Field.session, session)
    writer.text(Field.project, project)
    writer.text(Field.agent, agent)
    writer.text(Field.parentAgent, parentAgent)
    writer.text(Field.requestID, requestID)
    writer.text(Field.responseID, responseID)
    writer.text(Field.endpoint, endpoint?.rawValue)
    writer.count(Field.streaming, streaming.map { $0 ? 1 : 0 })
    writer.count(Field.status, status.map(Int64.init))
    writer.text(Field.outcome, outcome.rawValue)
    writer.text(Field.errorType, errorType)
    writer.text(Field.stopReason, stopReason)
    writer.count(Field.duration, durationMilliseconds)
    writer.count(Field.firstToken, firstTokenMilliseconds)
    writer.count(Field.input, inputTokens)
    writer.count(Field.cacheRead, cacheReadTokens)
    writer.count(Field.cacheWrite5m, cacheWrite5mTokens)
    writer.count(Field.cacheWrite1h, cacheWrite1hTokens)
    writer.count(Field.output, outputTokens)
    writer.count(Field.reasoning, reasoningTokens)
    writer.count(Field.webSearches, webSearches)
    writer.text(Field.serviceTier, serviceTier)
    writer.text(Field.speed, speed)
    writer.text(Field.inferenceGeo, inferenceGeo)
    writer.text(Field.unknown, unknown?.rawValue)
    writer.count(Field.cost, costMicrodollars)
    writer.text(Field.rateCard, rateCard)
    writer.text(Field.route, route)
    writer.text(Field.decision, decision)
    writer.text(Field.tool, tool)
    writer.text(Field.origin, origin == .told ? nil : origin.rawValue)
    writer.count(Field.saved, savedMicrodollars)
    return writer.bytes
  }

  /// Reads a spool record.
  ///
  /// A word this version does not know (an outcome, an endpoint of a newer program) is read as the nearest
  /// thing it does: `complete`, and none.
  ///
  /// - Throws: ``UsageError`` with code `unreadable` when the bytes are no row.
  public init(record: [UInt8]) throws(UsageError) {
    guard let version = record.first else { throw UsageError(.unreadable, "The usage record is empty.") }
    guard version == Self.version else {
      throw UsageError(
        .unreadable, "The usage record has format \(version); this version of Holdfast reads \(Self.version)."
      )
    }
    self.init(provider: "", model: "")
    var reader = RecordReader(record[1...])
    while let field = reader.next() { take(field) }
    guard reader.isIntact else { throw UsageError(.unreadable, "The usage record ends within a field.") }
    guard !provider.isEmpty, !model.isEmpty else {
      throw UsageError(.unreadable, "The usage record names no provider or no model.")
    }
  }

  private mutating func take(_ field: RecordReader.Field) {
    switch field.number {
    case Field.uid: uid = field.text
    case Field.time: time = field.count.map(UTCInstant.init(milliseconds:))
    case Field.provider: provider = field.text ?? ""
    case Field.model: model = field.text ?? ""
    case Field.source: source = field.text
    case Field.session: session = field.text
    case Field.project: project = field.text
    case Field.agent: agent = field.text
    case Field.parentAgent: parentAgent = field.text
    case Field.requestID: requestID = field.text
    case Field.responseID: responseID = field.text
    case Field.endpoint: endpoint = field.text.flatMap(WireKind.init(rawValue:))
    case Field.streaming: streaming = field.count.map { $0 != 0 }
    case Field.status: status = field.count.map(Int.init(truncatingIfNeeded:))
    case Field.outcome: outcome = field.text.flatMap(UsageOutcome.init(rawValue:)) ?? .complete
    case Field.errorType: errorType = field.text
    case Field.stopReason: stopReason = field.text
    default: takeMeasure(field)
    }
  }

  private mutating func takeMeasure(_ field: RecordReader.Field) {
    switch field.number {
    case Field.duration: durationMilliseconds = field.count
    case Field.firstToken: firstTokenMilliseconds = field.count
    case Field.input: inputTokens = field.count
    case Field.cacheRead: cacheReadTokens = field.count
    case Field.cacheWrite5m: cacheWrite5mTokens = field.count
    case Field.cacheWrite1h: cacheWrite1hTokens = field.count
    case Field.output: outputTokens = field.count
    case Field.reasoning: reasoningTokens = field.count
    case Field.webSearches: webSearches = field.count
    case Field.serviceTier: serviceTier = field.text
    case Field.speed: speed = field.text
    case Field.inferenceGeo: inferenceGeo = field.text
    case Field.unknown: unknown = field.text.flatMap(WireUsage.Unknown.init(rawValue:))
    case Field.cost: costMicrodollars = field.count
    case Field.rateCard: rateCard = field.text
    case Field.route: route = field.text
    case Field.decision: decision = field.text
    case Field.tool: tool = field.text
    case Field.origin: origin = field.text.flatMap(Origin.init(rawValue:)) ?? .told
    case Field.saved: savedMicrodollars = field.count
    default: break
    }
  }
}

/// Writes fields one after another.
private struct RecordWriter {
  private(set) var bytes: [UInt8] = []

  init(version: UInt8) {
    bytes.reserveCapacity(384)
    bytes.append(version)
  }

  mutating func text(_ number: Int, _ value: String?) {
    guard let value else { return }
    varint(UInt64(number) << 3 | 2)
    varint(UInt64(value.utf8.count))
    bytes.append(contentsOf: value.utf8)
  }

  mutating func count(_ number: Int, _ value: Int64?) {
    guard let value else { return }
    varint(UInt64(number) << 3)
    varint(UInt64(bitPattern: value))
  }

  private mutating func varint(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(truncatingIfNeeded: rest))
  }
}

/// Reads fields one after another, stepping over the kinds it has no use for.
private struct RecordReader {
  struct Field {
    var number: Int
    var count: Int64?
    var bytes: ArraySlice<UInt8> = []

    var text: String? { count == nil ? String(decoding: bytes, as: UTF8.self) : nil }
  }

  private var rest: ArraySlice<UInt8>
  private(set) var isIntact = true

  init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

  /// The next field, or nil at the end and where the bytes make no sense.
  mutating func next() -> Field? {
    guard !rest.isEmpty else { return nil }
    guard let key = varint(), let number = Int(exactly: key >> 3) else { return fail() }
    switch key & 7 {
    case 0:
      guard let value = varint() else { return fail() }
      return Field(number: number, count: Int64(bitPattern: value))
    case 1: return skip(8)
    case 2:
      guard let length = varint(), length <= UInt64(rest.count) else { return fail() }
      defer { rest = rest.dropFirst(Int(length)) }
      return Field(number: number, bytes: rest.prefix(Int(length)))
    case 5: return skip(4)
    default: return fail()
    }
  }

  /// A fixed-width field, which this version writes none of: its number tells nothing here.
  private mutating func skip(_ width: Int) -> Field? {
    guard rest.count >= width else { return fail() }
    rest = rest.dropFirst(width)
    return Field(number: 0, count: 0)
  }

  private mutating func varint() -> UInt64? {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 64, by: 7) {
      guard let byte = rest.popFirst() else { return nil }
      value |= UInt64(byte & 0x7F) << shift
      if byte < 0x80 { return value }
    }
    return nil
  }

  private mutating func fail() -> Field? {
    isIntact = false
    rest = []
    return nil
  }
}
