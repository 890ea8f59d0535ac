// SPDX-License-Identifier: Apache-2.0

import HoldfastSessions

/// What two tellings of one message have in common: who speaks, the words, the calls and what they answer.
///
/// Clients send a message again with other marks on it: cache breakpoints, blank ends trimmed, thinking left out,
/// a text as one part or as a string. None of that makes it another message.
struct MessagePrint: Hashable, Sendable {
  private var high: UInt64
  private var low: UInt64

  /// The print of a message.
  init(_ message: NewMessage) {
    var hash = Hash()
    hash.add(Self.role(message.role))
    hash.add(Self.words(message))
    hash.add(message.toolCallID ?? "")
    self = hash.print
  }

  private init(_ high: UInt64, _ low: UInt64) { (self.high, self.low) = (high, low) }

  /// The identity of a message that follows another: the same words said again later are another message.
  static func uid(after last: String, _ print: MessagePrint, answer: String?) -> String {
    var hash = Hash()
    hash.add(last)
    hash.add(print.text)
    hash.add(answer ?? "")
    return "wire-" + hash.print.text
  }

  private var text: String {
    func hex(_ number: UInt64) -> String {
      let digits = String(number, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }
    return hex(high) + hex(low)
  }

  static func isInstruction(_ role: String) -> Bool { role == "system" || role == "developer" }

  private static func role(_ role: String) -> String { role == "developer" ? "system" : role }

  /// The words of a message and the names of its calls, without what differs from telling to telling.
  static func words(_ message: NewMessage) -> String {
    var words: [String] = []
    switch message.content {
    case .text(let text): words.append(text)
    case .json(.array(let parts)): words += parts.compactMap(part)
    case .json(let value): words.append(value.json)
    }
    if case .array(let calls)? = message.toolCalls { words += calls.map(call) }
    return trimmed(words.filter { !$0.isEmpty }.joined(separator: "\n"))
  }

  private static func part(_ part: JSONValue) -> String? {
    switch part["type"]?.text {
    case "text", "input_text", "output_text": return part["text"]?.text ?? ""
    case "thinking", "redacted_thinking", "reasoning": return nil
    case "tool_use", "server_tool_use": return call(part)
    case "tool_result":
      let told: String
      switch part["content"] {
      case .string(let text): told = text
      case .array(let parts): told = parts.compactMap(Self.part).joined(separator: "\n")
      case .some(let value): told = value.json
      case nil: told = ""
      }
      return "\u{1}result \(part["tool_use_id"]?.text ?? "") \(trimmed(told))"
    default:
      guard case .object(var fields) = part else { return part.text ?? part.json }
      fields["cache_control"] = nil
      return JSONValue.object(fields).json
    }
  }

  /// A call is known by its id; only where it has none by what it asks.
  private static func call(_ call: JSONValue) -> String {
    if let id = call["id"]?.text ?? call["call_id"]?.text, !id.isEmpty { return "\u{1}call \(id)" }
    return "\u{1}call \(call.json)"
  }

  private static func trimmed(_ text: String) -> String {
    var bytes = Array(text.utf8)[...]
    while let last = bytes.last, last == 0x20 || (0x09...0x0D).contains(last) { bytes.removeLast() }
    bytes = bytes.drop { $0 == 0x20 || (0x09...0x0D).contains($0) }
    return String(decoding: bytes, as: UTF8.self)
  }

  /// FNV-1a, twice from two beginnings: it tells messages of one session apart and guards nothing.
  private struct Hash {
    private var high: UInt64 = 0xCBF2_9CE4_8422_2325
    private var low: UInt64 = 0x6C62_272E_07BB_0142

    mutating func add(_ text: String) {
      for byte in text.utf8 { add(byte) }
      // No text has this byte: it ends one.
      add(0xFF)
    }

    private mutating func add(_ byte: UInt8) {
      high = (high ^ UInt64(byte)) &* 0x100_0000_01B3
      low = (low ^ UInt64(byte) &+ 0x9E) &* 0x100_0000_01B3 ^ low >> 29
    }

    var print: MessagePrint { MessagePrint(high, low) }
  }
}
