// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastSessions

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// Reads JSON Lines as they come, those that are there already together.
enum JSONInput {
  /// A line: a value, or why it is none.
  struct Item<Value: Sendable>: Sendable {
    var line: Int
    var value: Result<Value, SessionError>
    /// Whether something in it could not be stored and was replaced by U+FFFD (row D01).
    var isRepaired = false
  }

  /// The most lines in one piece: enough to share a transaction, few enough for it to be short.
  static let usualMost = 64
  /// The most bytes of input in one piece.
  private static let mostBytes = 4 << 20

  /// Waits for a line, and takes those along that are there already; none at the end. Blocks.
  static func read<Value: Decodable & Sendable>(
    _ input: LineReader, as type: Value.Type, most: Int = usualMost
  ) throws -> [Item<Value>] {
    var items: [Item<Value>] = []
    var bytes = 0
    var text: [UInt8] = []
    while items.isEmpty || (input.hasLine && items.count < most && bytes < mostBytes) {
      guard let line = try input.next(into: &text) else { break }
      switch line {
      case .whole, .unfinished:
        if text.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) { continue }
        bytes += text.count
        let (mended, isRepaired) = TextRepair.line(text)
        let value = Result { () throws(SessionError) in try decode(mended, as: type) }
        items.append(Item(line: input.number, value: value, isRepaired: isRepaired))
      case .tooLong:
        let error = SessionError(.invalid, "The line is longer than \(input.maximumBytes) bytes.")
        items.append(Item(line: input.number, value: .failure(error)))
      }
    }
    return items
  }

  private static func decode<Value: Decodable>(
    _ line: [UInt8], as type: Value.Type
  ) throws(SessionError) -> Value {
    do {
      return try JSONDecoder().decode(type, from: Data(line))
    } catch DecodingError.keyNotFound(let key, _) {
      throw SessionError(.invalid, "\(key.stringValue) is missing.")
    } catch DecodingError.typeMismatch(_, let context), DecodingError.valueNotFound(_, let context) {
      let field = context.codingPath.map(\.stringValue).joined(separator: ".")
      throw SessionError(
        .invalid, field.isEmpty ? "The line is no JSON object." : "\(field) is of the wrong kind.")
    } catch {
      throw SessionError(.invalid, "The line is no JSON object.", underlying: error)
    }
  }
}
