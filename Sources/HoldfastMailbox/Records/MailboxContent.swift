// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What a message says: JSON, kept to the byte as it was sent.
public struct MailboxContent: Sendable, Hashable, CustomStringConvertible {
  /// The most bytes a message's content may have.
  public static let maximumBytes = 16 << 20

  /// The JSON text.
  public let json: String

  /// Takes JSON text as it is.
  ///
  /// - Throws: ``MailboxError`` `invalid` for what is no JSON or too long.
  public init(json: String) throws(MailboxError) {
    guard json.utf8.count <= Self.maximumBytes else {
      throw MailboxError(
        .invalid,
        """
        The content has \(json.utf8.count) bytes; a message takes \(Self.maximumBytes): send what is larger as an \
        attachment.
        """
      )
    }
    guard Node(json: json) != nil else {
      throw MailboxError(
        .invalid, "The content is no JSON; a plain text is written in quotation marks, as in \"hello\".")
    }
    self.json = json
  }

  /// A plain text.
  public init(text: String) {
    json = Node.string(text).json
  }

  /// What a worker wrote: JSON as it is, anything else as a plain text.
  init(written: String) {
    json = Node(json: written) == nil ? Node.string(written).json : written
  }

  /// Whether both say the same, however they are spelt: blanks and the order of keys do not count.
  public func means(_ other: MailboxContent) -> Bool {
    json == other.json || Node(json: json) == Node(json: other.json)
  }

  /// The same for all that mean the same: no blanks, sorted keys.
  var canonical: String { Node(json: json)?.json ?? json }

  /// The JSON text.
  public var description: String { json }
}

extension MailboxContent: Codable {
  /// Reads any JSON value.
  public init(from decoder: any Decoder) throws {
    json = try Node(from: decoder).json
  }

  /// Writes the value itself, not its text.
  public func encode(to encoder: any Encoder) throws {
    try (Node(json: json) ?? .string(json)).encode(to: encoder)
  }
}

/// A JSON value.
private indirect enum Node: Hashable {
  case null
  case bool(Bool)
  case integer(Int64)
  /// All the digits of a number that is not whole, or does not fit: a binary fraction would change them.
  case decimal(Decimal)
  case number(Double)
  case string(String)
  case array([Node])
  case object([String: Node])

  init?(json: String) {
    guard let node = try? JSONDecoder().decode(Node.self, from: Data(json.utf8)) else { return nil }
    self = node
  }

  var json: String {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    // Numbers that JSON has no form for are refused when it is read.
    guard let data = try? encoder.encode(self) else { return "null" }
    return String(decoding: data, as: UTF8.self)
  }
}

extension Node: Codable {
  init(from decoder: any Decoder) throws {
    let value = try decoder.singleValueContainer()
    if value.decodeNil() {
      self = .null
    } else if let bool = try? value.decode(Bool.self) {
      self = .bool(bool)
    } else if let integer = try? value.decode(Int64.self) {
      self = .integer(integer)
    } else if let text = try? value.decode(String.self) {
      self = .string(text)
    } else if let decimal = try? value.decode(Decimal.self) {
      self = .decimal(decimal)
    } else if let number = try? value.decode(Double.self) {
      self = .number(number)
    } else if let list = try? value.decode([Node].self) {
      self = .array(list)
    } else {
      self = .object(try value.decode([String: Node].self))
    }
  }

  func encode(to encoder: any Encoder) throws {
    var value = encoder.singleValueContainer()
    switch self {
    case .null: try value.encodeNil()
    case .bool(let bool): try value.encode(bool)
    case .integer(let integer): try value.encode(integer)
    case .decimal(let decimal): try value.encode(decimal)
    case .number(let number): try value.encode(number)
    case .string(let text): try value.encode(text)
    case .array(let list): try value.encode(list)
    case .object(let fields): try value.encode(fields)
    }
  }
}
