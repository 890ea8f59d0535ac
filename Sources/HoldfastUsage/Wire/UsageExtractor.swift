// SPDX-License-Identifier: Apache-2.0

/// Reads the usage out of one answer as its bytes pass by.
///
/// Feed it every byte of the (decoded) body in order, at any split, then call ``finish()`` once. It holds a
/// few hundred bytes whatever the size of the answer, never throws, and never asks for a byte twice: what it
/// cannot read is reported as unknown, with the reason.
///
/// ```swift
/// var extractor = UsageExtractor(kind: .anthropicMessages, streaming: true)
/// for piece in body { extractor.consume(piece.span) }
/// let usage = extractor.finish()
/// ```
public struct UsageExtractor: Sendable {
  /// Bytes on their way through the event-stream parser.
  private struct Events: Sendable, SSESink {
    var scanner: JSONFieldScanner
    var fields = WireFields()
    let kind: WireKind
    var sawMalformed = false
    /// The first bytes of the event's data, enough to know `[DONE]`.
    private var head: UInt64 = 0
    private var length = 0
    private var isSkipped = false

    init(_ kind: WireKind) {
      self.kind = kind
      scanner = JSONFieldScanner(kind.paths)
    }

    mutating func data(_ fragment: Span<UInt8>, event: [UInt8]) {
      if length == 0 { isSkipped = cannotHoldUsage(event) }
      if length < 8 {
        for index in 0..<min(8 - length, fragment.count) { head = head << 8 | UInt64(fragment[index]) }
      }
      length += fragment.count
      if !isSkipped { scanner.consume(fragment, into: &fields) }
    }

    mutating func dispatch(event: [UInt8]) {
      endEvent(isCut: false)
      // A name is enough to know an error, even when its data is no JSON.
      if kind == .anthropicMessages, event.elementsEqual("error".utf8) { fields.noteError() }
    }

    /// Ends the event under way, by its blank line or (`isCut`) by the end of the stream.
    mutating func endEvent(isCut: Bool) {
      // An event without data says nothing, and is nothing that could not be read.
      guard length > 0 else { return }
      if isSkipped {
        fields.noteContent()
      } else if length == 6, head == 0x5B44_4F4E_455D {
        fields.noteEnd()
        fields.endDocument(isWhole: false)
      } else {
        fields.endDocument(isWhole: scanner.isComplete)
        if scanner.isMalformed || !(isCut || scanner.isComplete) { sawMalformed = true }
      }
      scanner.reset()
      length = 0
      head = 0
      isSkipped = false
    }

    /// Most of a stream by far, known by its name alone.
    private func cannotHoldUsage(_ event: [UInt8]) -> Bool {
      switch kind {
      case .anthropicMessages: event.elementsEqual("content_block_delta".utf8)
      case .openAIResponses: event.count > 6 && event.suffix(6).elementsEqual(".delta".utf8)
      default: false
      }
    }
  }

  private let kind: WireKind
  private let streaming: Bool
  private var parser = SSEParser()
  private var events: Events

  /// An extractor for one answer.
  ///
  /// - Parameters:
  ///   - kind: what the request asked.
  ///   - streaming: true when the answer's content type is `text/event-stream`; the request does not decide it.
  public init(kind: WireKind, streaming: Bool) {
    self.kind = kind
    self.streaming = streaming
    events = Events(kind)
  }

  /// Takes the answer's next bytes.
  public mutating func consume(_ bytes: Span<UInt8>) {
    if streaming {
      parser.consume(bytes, into: &events)
    } else {
      events.scanner.consume(bytes, into: &events.fields)
    }
  }

  /// Takes the answer's next bytes.
  public mutating func consume(_ bytes: [UInt8]) { consume(bytes.span) }

  /// True once a piece of the model's own output has come by: the moment of the first token.
  public var sawFirstToken: Bool { events.fields.sawContent }

  /// Pieces of the model's own output that have come by: events of a stream, each a token or a few.
  public var outputPieces: Int { events.fields.contentPieces }

  /// The output tokens the answer has told of so far; nil while it has not.
  public var outputTokensSoFar: Int64? { events.fields.count(.output) }

  /// True once the format's own end has come by, so that a connection closed now loses nothing.
  public var sawEnd: Bool { events.fields.sawEnd || events.fields.sawError }

  /// Ends the answer and says what it came to.
  public mutating func finish() -> WireUsage {
    if streaming {
      // A last event whose blank line never came counts when its document is whole.
      events.endEvent(isCut: true)
    } else {
      let isWhole = events.scanner.isComplete || events.scanner.isBareLiteral
      events.fields.endDocument(isWhole: isWhole)
      if isWhole { events.fields.noteEnd() }
      events.sawMalformed = events.scanner.isMalformed
    }
    return summary()
  }

  private func summary() -> WireUsage {
    let fields = events.fields
    var usage = WireUsage(unknown: .notApplicable)
    fields.describe(&usage)
    usage.finish = fields.sawError ? .error : hasEnded ? .complete : .incomplete
    guard kind.billsTokens else { return usage }
    WireTokens(kind, fields).write(&usage)
    if fields.sawAbsurd {
      usage.unknown = .absurd
    } else if usage.inputTokens != nil, usage.outputTokens != nil {
      usage.unknown = nil
    } else if events.sawMalformed {
      usage.unknown = .malformed
    } else {
      usage.unknown = hasEnded || fields.sawError ? .notReported : .cutShort
    }
    return usage
  }

  /// Chat streams of some servers have no `[DONE]`, and Gemini's none at all: a stop reason ends them.
  private var hasEnded: Bool {
    if events.fields.sawEnd { return true }
    switch kind {
    case .openAIChat, .geminiGenerateContent: return events.fields.hasStopReason
    default: return false
    }
  }
}
