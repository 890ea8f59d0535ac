// SPDX-License-Identifier: Apache-2.0

import NIOCore

extension ClientShape {
  private static let anthropicMarks: [[UInt8]] = [
    Array("\nanthropic-version:".utf8), Array("\nx-api-key:".utf8),
  ]
  private static let anthropicPath = Array(" /v1/messages".utf8)

  /// The API a client seems to speak, from as much of a head as there is, whole or not, well formed or not.
  init(ofHead bytes: ByteBuffer) {
    // As bytes: to a String CR LF is one character.
    let text = bytes.readableBytesView.prefix(8 * 1024).map(\.lowercasedASCII)
    let line = text.prefix { $0 != ASCII.lineFeed }
    let isAnthropic =
      line.firstRange(of: Self.anthropicPath) != nil
      || Self.anthropicMarks.contains { text.firstRange(of: $0) != nil }
    self = isAnthropic ? .anthropic : .openAI
  }
}
