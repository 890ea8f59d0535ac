// SPDX-License-Identifier: Apache-2.0

/// The values seen so far in one answer, folded by the rule all formats share: per field the last value that
/// is not null wins, an explicit 0 is a value, and nothing is ever summed.
///
/// The values of one document (an event, or the body) are staged and count only once it is whole, so an event
/// cut in two, or garbage, leaves no half of itself behind.
struct WireFields: Sendable, JSONFieldSink {
  /// The longest text kept of any field.
  private static let maximumTextBytes = 256

  private var counts: [Int64?] = Array(repeating: nil, count: WireField.counts)
  private var staged: [Int64?] = Array(repeating: nil, count: WireField.counts)
  private var stagedCounts: UInt32 = 0
  private var texts: [String?] = Array(repeating: nil, count: WireField.texts)
  private var stagedTexts: [String?] = Array(repeating: nil, count: WireField.texts)
  private var stagedAnyText = false
  private var stagedSearches: Int64 = 0
  private var stagedType = EventType.other
  private var stagedStatus = EventType.other
  private var stagedAbsurd = false
  private var stagedContent = false
  private var documents: UInt64 = 0
  private var aggregateWrittenAt: UInt64 = 0
  private var splitWrittenAt: UInt64 = 0

  /// A count was negative, no whole number, or too large.
  private(set) var sawAbsurd = false
  /// The format's own end was seen.
  private(set) var sawEnd = false
  /// The answer says it failed.
  private(set) var sawError = false
  /// Pieces of the model's output that were seen.
  private(set) var contentPieces = 0
  /// A piece of the model's output was seen.
  var sawContent: Bool { contentPieces > 0 }

  private enum EventType: Sendable {
    case other
    case messageStop
    case error
    case content
    case responseEnd
    case responseFailed
  }

  mutating func value(_ field: UInt8, _ kind: JSONScalarKind, _ text: [UInt8]) {
    guard let field = WireField(rawValue: field) else { return }
    if case .null = kind { return }
    switch field {
    case .input, .output, .cacheRead, .cacheWrite, .cacheWrite5m, .cacheWrite1h, .reasoning,
      .reasoningBeside, .inputBeside, .webSearches, .total:
      guard case .number = kind, let count = WireNumber.count(text) else {
        stagedAbsurd = true
        return
      }
      staged[Int(field.rawValue)] = count
      stagedCounts |= 1 << UInt32(field.rawValue)
    case .type:
      stagedType = Self.eventType(text)
    case .status:
      stagedStatus = Self.status(text)
    case .outputItemType:
      if text.elementsEqual("web_search_call".utf8) { stagedSearches += 1 }
    case .content:
      if case .string = kind, text.isEmpty { return }
      stagedContent = true
    default:
      guard case .string = kind, !text.isEmpty else {
        // Some gateways send a number as an error's code.
        if field == .errorCode, case .number = kind { break }
        return
      }
      stage(field, text)
      return
    }
    if field == .errorCode { stage(field, text) }
  }

  /// Keeps a text, unless it is the one already known: chunks repeat their id and model every time.
  private mutating func stage(_ field: WireField, _ text: [UInt8]) {
    let index = field.textIndex
    if field == .tool, texts[index] != nil || stagedTexts[index] != nil { return }
    if let known = texts[index], stagedTexts[index] == nil, text.elementsEqual(known.utf8) { return }
    stagedTexts[index] = WireText.kept(text, maximumBytes: Self.maximumTextBytes)
    stagedAnyText = true
  }

  /// Ends a document: its values count when it is whole, and are forgotten when it is not.
  mutating func endDocument(isWhole: Bool) {
    if isWhole { commit() }
    stagedCounts = 0
    if stagedAnyText {
      for index in stagedTexts.indices { stagedTexts[index] = nil }
      stagedAnyText = false
    }
    stagedSearches = 0
    stagedType = .other
    stagedStatus = .other
    stagedAbsurd = false
    stagedContent = false
  }

  /// Notes an end that stands outside the JSON: `[DONE]`, or the end of a whole body.
  mutating func noteEnd() { sawEnd = true }

  /// Notes a piece of output known by its event's name alone.
  mutating func noteContent() { contentPieces += 1 }

  /// Notes an error known by its event's name alone.
  mutating func noteError() { sawError = true }

  /// True when the model said why it stopped.
  var hasStopReason: Bool { text(.stopReason) != nil }

  private mutating func commit() {
    documents += 1
    if stagedCounts != 0 { commitCounts() }
    if stagedAnyText { commitTexts() }
    if stagedSearches > 0 { counts[Int(WireField.webSearches.rawValue)] = stagedSearches }
    sawAbsurd = sawAbsurd || stagedAbsurd
    var isContent = stagedContent
    for type in [stagedType, stagedStatus] {
      switch type {
      case .messageStop, .responseEnd: sawEnd = true
      case .error, .responseFailed: sawError = true
      case .content: isContent = true
      case .other: break
      }
    }
    if isContent { contentPieces += 1 }
  }

  private mutating func commitCounts() {
    for index in 0..<WireField.counts where stagedCounts & (1 << UInt32(index)) != 0 {
      counts[index] = staged[index]
    }
    if stagedCounts & (1 << UInt32(WireField.cacheWrite.rawValue)) != 0 { aggregateWrittenAt = documents }
    let split: UInt32 =
      1 << UInt32(WireField.cacheWrite5m.rawValue) | 1 << UInt32(WireField.cacheWrite1h.rawValue)
    if stagedCounts & split != 0 { splitWrittenAt = documents }
  }

  private mutating func commitTexts() {
    if stagedTexts[WireField.errorType.textIndex] != nil { sawError = true }
    if stagedTexts[WireField.errorCode.textIndex] != nil { sawError = true }
    for index in stagedTexts.indices where stagedTexts[index] != nil { texts[index] = stagedTexts[index] }
  }

  // MARK: What it comes to

  func count(_ field: WireField) -> Int64? { counts[Int(field.rawValue)] }

  private func text(_ field: WireField) -> String? { texts[field.textIndex] }

  /// Cache writes by lifetime: the split where it is given, all of the aggregate as five minutes where not.
  ///
  /// When an aggregate came after the split and disagrees with it, the later one is believed.
  var cacheWrites: (fiveMinutes: Int64?, oneHour: Int64?) {
    let aggregate = count(.cacheWrite)
    let five = count(.cacheWrite5m)
    let hour = count(.cacheWrite1h)
    guard five != nil || hour != nil else { return (aggregate, aggregate.map { _ in 0 }) }
    guard let aggregate else { return (five ?? 0, hour ?? 0) }
    let isStale = aggregateWrittenAt > splitWrittenAt && (five ?? 0) + (hour ?? 0) != aggregate
    if five != nil, !isStale { return (five, hour ?? 0) }
    let long = min(hour ?? 0, aggregate)
    return (aggregate - long, long)
  }

  /// Writes the texts into `usage`.
  func describe(_ usage: inout WireUsage) {
    usage.model = text(.model)
    usage.responseID = text(.responseID)
    usage.stopReason = text(.incompleteReason) ?? text(.stopReason)
    usage.serviceTier = text(.serviceTier)
    usage.speed = text(.speed)
    usage.inferenceGeo = text(.inferenceGeo)
    usage.tool = text(.tool)
    usage.errorType = text(.errorType) ?? text(.errorCode)
  }

  // MARK: Words

  private static func eventType(_ text: [UInt8]) -> EventType {
    if text.elementsEqual("message_stop".utf8) { return .messageStop }
    if text.elementsEqual("error".utf8) { return .error }
    if text.elementsEqual("content_block_delta".utf8) { return .content }
    if text.elementsEqual("response.completed".utf8) { return .responseEnd }
    if text.elementsEqual("response.incomplete".utf8) { return .responseEnd }
    if text.elementsEqual("response.failed".utf8) { return .responseFailed }
    if text.suffix(6).elementsEqual(".delta".utf8) { return .content }
    return .other
  }

  private static func status(_ text: [UInt8]) -> EventType {
    if text.elementsEqual("failed".utf8) { return .responseFailed }
    return .other
  }
}
