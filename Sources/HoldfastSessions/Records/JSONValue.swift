// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine

/// A JSON value as sessions keep it: message parts, tool calls, metadata.
public indirect enum JSONValue: Sendable, Hashable {
  /// `null`
  case null
  /// `true` or `false`
  case bool(Bool)
  /// A whole number that fits.
  case integer(Int64)
  /// Any other number.
  case number(Double)
  /// A text.
  case string(String)
  /// A list.
  case array([JSONValue])
  /// An object; the order of its keys is not kept.
  case object([String: JSONValue])

  /// The value under a key of an object; nil for anything else.
  public subscript(key: String) -> JSONValue? {
    if case .object(let fields) = self { fields[key] } else { nil }
  }

  /// The text of a string; nil for anything else.
  public var text: String? { if case .string(let text) = self { text } else { nil } }

  /// Compact JSON with sorted keys, so that equal values are equal texts.
  public var json: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // A value has nothing JSON lacks: numbers are finite, see init(from:).
    guard let data = try? encoder.encode(self) else { return "null" }
    return String(decoding: data, as: UTF8.self)
  }

  /// Reads JSON text.
  ///
  /// - Throws: ``SessionError`` `unreadable`.
  public init(json: String) throws(SessionError) {
    do {
      self = try JSONDecoder().decode(JSONValue.self, from: Data(json.utf8))
    } catch {
      throw SessionError(
        .unreadable, "The stored value is not valid JSON; it was left as it is.", underlying: error)
    }
  }
}

extension JSONValue: Codable {
  /// Reads any JSON value.
  public init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if value.decodeNil() {
      self = .null
    } else if let bool = try? value.decode(Bool.self) {
      self = .bool(bool)
    } else if let integer = try? value.decode(Int64.self) {
      self = .integer(integer)
    } else if let number = try? value.decode(Double.self) {
      self = .number(number)
    } else if let text = try? value.decode(String.self) {
      self = .string(text)
    } else if let list = try? value.decode([JSONValue].self) {
      self = .array(list)
    } else {
      self = .object(try value.decode([String: JSONValue].self))
    }
  }

  /// Writes it; a number that JSON has no form for as null.
  public func encode(to encoder: any Encoder) throws {
    var value = encoder.singleValueContainer()
    switch self {
    case .null: try value.encodeNil()
    case .bool(let bool): try value.encode(bool)
    case .integer(let integer): try value.encode(integer)
    case .number(let number): if number.isFinite { try value.encode(number) } else { try value.encodeNil() }
    case .string(let text): try value.encode(text)
    case .array(let list): try value.encode(list)
    case .object(let fields): try value.encode(fields)
    }
  }
}

extension JSONValue {
  /// The value with every NUL in its texts replaced, and whether there was one.
  func repaired() -> (JSONValue, Bool) {
    switch self {
    case .string(let text):
      let repaired = TextRepair.withoutNUL(text)
      return (.string(repaired ?? text), repaired != nil)
    case .array(let list):
      let all = list.map { $0.repaired() }
      return (.array(all.map(\.0)), all.contains { $0.1 })
    case .object(let fields):
      var isRepaired = false
      var all: [String: JSONValue] = [:]
      for (key, value) in fields {
        let (name, (new, changed)) = (TextRepair.withoutNUL(key), value.repaired())
        isRepaired = isRepaired || changed || name != nil
        all[name ?? key] = new
      }
      return (.object(all), isRepaired)
    default: return (self, false)
    }
  }
}
