// SPDX-License-Identifier: Apache-2.0

/// A process's command line, made fit for an error message or a log: short, on one line, without secrets.
enum CommandLineText {
  private static let secretWords = ["key", "token", "secret", "password", "passwd", "auth"]

  /// The program's own name, then its arguments, at most 120 characters.
  ///
  /// An argument that names a secret (`--api-key=…`, `TOKEN=…`) loses its value, and so does the one behind
  /// a flag that names one; `sk-…` is masked wherever it stands.
  static func brief(_ words: [String]) -> String {
    guard let program = words.first else { return "?" }
    var parts = [program.fileName]
    var maskNext = false
    for word in words.dropFirst() {
      let lowered = word.lowercased()
      let namesSecret = secretWords.contains { lowered.contains($0) }
      if maskNext || lowered.hasPrefix("sk-") {
        parts.append("***")
        maskNext = false
      } else if namesSecret, let equals = word.firstIndex(of: "=") {
        parts.append(word[...equals] + "***")
      } else {
        parts.append(word)
        maskNext = namesSecret && word.hasPrefix("-")
      }
    }
    let text = parts.joined(separator: " ").map { $0.isNewline || $0 == "\t" ? " " : $0 }
    return text.count > 120 ? String(text.prefix(119)) + "…" : String(text)
  }
}
