// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

extension JSONTape {
  /// The value, decoded; nil where there is none.
  func value(_ place: Int) -> JSONValue? {
    switch kind(place) {
    case nil: return nil
    case .string, .escaped: return text(place).map(JSONValue.string)
    case .yes: return .bool(true)
    case .no: return .bool(false)
    case .null: return .null
    case .number:
      let written = raw(place)
      return (Int64(written) ?? Double(written).flatMap(Int64.init(exactly:))).map(JSONValue.integer)
        ?? Double(written).map(JSONValue.number)
    case .array: return .array(elements(place).compactMap(value))
    case .object:
      var fields: [String: JSONValue] = [:]
      // Of a name that comes twice the first counts, as it does for at(_:_:) and for decoders.
      for (name, place) in members(place) where fields[name] == nil { fields[name] = value(place) }
      return .object(fields)
    }
  }
}
