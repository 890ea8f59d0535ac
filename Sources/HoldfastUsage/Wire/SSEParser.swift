// SPDX-License-Identifier: Apache-2.0

/// Receives what an ``SSEParser`` finds in an event stream.
///
/// Data arrives in fragments, as the bytes came: an event of any size passes through without being held.
public protocol SSESink {
  /// A piece of the event's data, in order; between two data lines one fragment holding a line feed arrives.
  ///
  /// - Parameters:
  ///   - fragment: the bytes, without the field name, the optional space and the line end; maybe cut inside
  ///     a UTF-8 sequence.
  ///   - event: the event's name as known so far; empty when no `event` line came yet.
  mutating func data(_ fragment: Span<UInt8>, event: [UInt8])

  /// The blank line that ends an event with at least one data line.
  mutating func dispatch(event: [UInt8])
}

/// An incremental parser of server-sent events: bytes in at any split, events out.
///
/// Lines end in CR LF, CR or LF; a leading byte order mark, comments, and the fields `id` and `retry` are
/// passed over; several data lines make one event. Memory is bounded: only the event's name is kept, up to
/// ``maximumEventNameBytes``, whatever the length of a line.
///
/// Source: WHATWG HTML, "9.2.6 Interpreting an event stream".
public struct SSEParser: Sendable {
  /// Where in a line the next byte falls.
  private enum Position: Sendable {
    case byteOrderMark
    case name
    case valueStart
    case value
  }

  private enum Field: Sendable {
    case data
    case event
    case other
  }

  /// The longest event name kept; a longer one is cut, so it equals none that is known.
  public static let maximumEventNameBytes = 128

  private var position = Position.byteOrderMark
  private var field = Field.other
  /// The field's name, its first eight bytes packed; longer names are none of ours.
  private var nameWord: UInt64 = 0
  private var nameLength = 0
  private var markLength = 0
  private var skipsLineFeed = false
  private var dataLines = 0
  private var eventName: [UInt8] = []

  /// A parser at the start of a stream.
  public init() {}

  /// Takes the stream's next bytes and hands what they complete to `sink`.
  public mutating func consume(_ bytes: Span<UInt8>, into sink: inout some SSESink) {
    var index = 0
    let count = bytes.count
    while index < count {
      if skipsLineFeed {
        skipsLineFeed = false
        if bytes[index] == Byte.lineFeed {
          index += 1
          continue
        }
      }
      switch position {
      case .byteOrderMark:
        index = takeByteOrderMark(bytes, from: index)
      case .name:
        index = takeName(bytes, from: index, into: &sink)
      case .valueStart:
        if bytes[index] == Byte.space { index += 1 }
        position = .value
        beginValue(into: &sink)
      case .value:
        index = takeValue(bytes, from: index, into: &sink)
      }
    }
  }

  private mutating func takeByteOrderMark(_ bytes: Span<UInt8>, from start: Int) -> Int {
    let mark: (UInt8, UInt8, UInt8) = (0xEF, 0xBB, 0xBF)
    let expected = markLength == 0 ? mark.0 : markLength == 1 ? mark.1 : mark.2
    guard bytes[start] == expected else {
      // Not a mark after all: what looked like one belongs to a field name, and to none that is known.
      nameLength = markLength
      nameWord = 0
      position = .name
      return start
    }
    markLength += 1
    if markLength == 3 { position = .name }
    return start + 1
  }

  private mutating func takeName(
    _ bytes: Span<UInt8>, from start: Int, into sink: inout some SSESink
  ) -> Int {
    var index = start
    while index < bytes.count {
      let byte = bytes[index]
      index += 1
      switch byte {
      case Byte.colon:
        field = recognisedField()
        position = .valueStart
        return index
      case Byte.lineFeed, Byte.carriageReturn:
        skipsLineFeed = byte == Byte.carriageReturn
        if nameLength == 0 {
          endEvent(into: &sink)
        } else {
          // A line without a colon is a field with an empty value.
          field = recognisedField()
          beginValue(into: &sink)
          endLine()
        }
        return index
      default:
        if nameLength < 8 { nameWord = nameWord << 8 | UInt64(byte) }
        nameLength += 1
      }
    }
    return index
  }

  private mutating func takeValue(
    _ bytes: Span<UInt8>, from start: Int, into sink: inout some SSESink
  ) -> Int {
    let end = ByteScan.lineEnd(bytes, from: start)
    if end > start {
      switch field {
      case .data:
        sink.data(bytes.extracting(start..<end), event: eventName)
      case .event:
        let room = min(end - start, Self.maximumEventNameBytes - eventName.count)
        for offset in 0..<max(room, 0) { eventName.append(bytes[start + offset]) }
      case .other:
        break
      }
    }
    guard end < bytes.count else { return end }
    skipsLineFeed = bytes[end] == Byte.carriageReturn
    endLine()
    return end + 1
  }

  private func recognisedField() -> Field {
    switch (nameWord, nameLength) {
    case (0x6461_7461, 4): .data
    case (0x65_7665_6E74, 5): .event
    default: .other
    }
  }

  private mutating func beginValue(into sink: inout some SSESink) {
    switch field {
    case .data:
      if dataLines > 0 {
        let separator: [UInt8] = [Byte.lineFeed]
        sink.data(separator.span, event: eventName)
      }
      dataLines += 1
    case .event:
      eventName.removeAll(keepingCapacity: true)
    case .other:
      break
    }
  }

  private mutating func endLine() {
    nameWord = 0
    nameLength = 0
    field = .other
    position = .name
  }

  private mutating func endEvent(into sink: inout some SSESink) {
    if dataLines > 0 { sink.dispatch(event: eventName) }
    dataLines = 0
    eventName.removeAll(keepingCapacity: true)
    endLine()
  }
}
