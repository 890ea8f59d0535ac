// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A value of the state store: JSON, kept to the byte as it was given.
public struct StateValue: Sendable, Hashable, CustomStringConvertible {
  /// The most bytes a value may have.
  public static let maximumBytes = 16 << 20

  /// The JSON text.
  public let json: String

  /// Takes JSON text as it is.
  ///
  /// - Throws: ``CatalogError`` `invalid` for what is no JSON, is too long, or nested deeper than 256.
  public init(json: String) throws(CatalogError) {
    guard json.utf8.count <= Self.maximumBytes else {
      throw CatalogError(
        .invalid, "The value has \(json.utf8.count) bytes; the state store takes \(Self.maximumBytes).")
    }
    guard JSONText.isValid(json.utf8) else {
      throw CatalogError(
        .invalid, "The value is no JSON; a plain text is written in quotation marks, as in '\"hello\"'.")
    }
    self.json = json
  }

  /// Takes any value JSON has a form for.
  ///
  /// - Throws: ``CatalogError`` `invalid`.
  public init(_ value: some Encodable) throws(CatalogError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    let data: Data
    do {
      data = try encoder.encode(value)
    } catch {
      throw CatalogError(.invalid, "The value has no form in JSON.", underlying: error)
    }
    try self.init(json: String(decoding: data, as: UTF8.self))
  }

  /// Text that was checked when it was read.
  init(checked json: String) { self.json = json }

  /// The JSON text on one line, without the blanks between its parts; numbers and texts as they were spelt.
  public var compact: String { JSONText.compacted(json) }

  /// The value as another type.
  ///
  /// - Throws: ``CatalogError`` `unreadable` when it is none of these; it stays as it is.
  public func decode<Value: Decodable>(as type: Value.Type = Value.self) throws(CatalogError) -> Value {
    do {
      return try JSONDecoder().decode(type, from: Data(json.utf8))
    } catch {
      throw CatalogError(
        .unreadable, "The stored value is no \(type); it was left as it is.", underlying: error)
    }
  }

  /// The JSON text.
  public var description: String { json }
}

/// Where a value is: a key in a namespace.
public struct StateKey: Sendable, Hashable, Comparable, CustomStringConvertible {
  /// The namespace, 1 to 256 characters.
  public var namespace: String
  /// The key in it, 1 to 1,024 characters.
  public var key: String

  /// A key in a namespace.
  public init(_ namespace: String, _ key: String) { (self.namespace, self.key) = (namespace, key) }

  /// Orders by namespace, then by key, as the database does: by the bytes of their UTF-8.
  public static func < (left: StateKey, right: StateKey) -> Bool {
    left.namespace == right.namespace
      ? left.key.utf8.lexicographicallyPrecedes(right.key.utf8)
      : left.namespace.utf8.lexicographicallyPrecedes(right.namespace.utf8)
  }

  /// `namespace/key`.
  public var description: String { "\(namespace)/\(key)" }

  /// - Throws: ``CatalogError`` `invalid` for what the table could not keep.
  func check() throws(CatalogError) {
    for (name, text, most) in [("namespace", namespace, 256), ("key", key, 1024)] {
      guard (1...most).contains(text.unicodeScalars.count), !text.utf8.contains(0) else {
        throw CatalogError(.invalid, "A \(name) has 1 to \(most) characters and no NUL.")
      }
    }
  }
}
