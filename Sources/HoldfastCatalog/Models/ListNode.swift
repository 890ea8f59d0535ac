// SPDX-License-Identifier: Apache-2.0

/// A JSON value of a provider's list, with numbers as they are spelt: a price is read from its digits, never by way of
/// a binary fraction.
indirect enum ListNode: Hashable {
  case null
  case bool(Bool)
  /// Its digits.
  case number(String)
  /// `NaN`, `Infinity`: no JSON, but what some servers print for numbers they do not have.
  case noNumber
  case string(String)
  case array([ListNode])
  case object([String: ListNode])

  subscript(key: String) -> ListNode? {
    if case .object(let fields) = self { fields[key] } else { nil }
  }

  var text: String? { if case .string(let text) = self { text } else { nil } }

  var bool: Bool? { if case .bool(let bool) = self { bool } else { nil } }

  var list: [ListNode]? { if case .array(let list) = self { list } else { nil } }

  /// A whole number, also where it is spelt as `4096.0` or as a text.
  var whole: Int? {
    let digits: String
    switch self {
    case .number(let text), .string(let text): digits = text
    default: return nil
    }
    if let number = Int(digits) { return number }
    guard let number = Double(digits), number.isFinite, abs(number) < 1e15 else { return nil }
    return Int(exactly: number)
  }
}
