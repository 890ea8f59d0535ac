// SPDX-License-Identifier: Apache-2.0

/// How vendors put dates into the names of their models.
enum ModelName {
  /// The name without `-20260512`, `-2026-05-12` or `@20260512` at its end; nil when it has none.
  static func withoutDate(_ name: Substring) -> Substring? {
    let bytes = Array(name.utf8)
    for (shape, marks) in [("########", ["-", "@"]), ("####-##-##", ["-"])] {
      let tail = shape.utf8.count
      guard bytes.count > tail + 1, marks.contains(String(UnicodeScalar(bytes[bytes.count - tail - 1])))
      else {
        continue
      }
      let matches = zip(bytes.suffix(tail), shape.utf8).allSatisfy { byte, expected in
        expected == UInt8(ascii: "#") ? (0x30...0x39).contains(byte) : byte == expected
      }
      if matches, bytes[bytes.count - tail] == UInt8(ascii: "2") { return name.dropLast(tail + 1) }
    }
    return nil
  }
}
