// SPDX-License-Identifier: Apache-2.0

package import HoldfastEngine

/// Reads a log of JSON Lines: each line as it comes, whatever is in it, in memory that does not grow. A pure value:
/// what it carries over from line to line is all it is, and is kept with the place in the file.
package protocol UsageLineParser: Sendable, Codable, Hashable {
  /// Takes the next line, an object.
  mutating func take(_ line: JSONTape, into batch: inout UsageLogBatch)
}

/// Reads a log that is one JSON text, written anew at each change: a pure function of it.
package protocol UsageDocumentParser: Sendable {
  /// Takes the whole text.
  func take(document: JSONTape, into batch: inout UsageLogBatch)
}

/// How one file is to be read.
enum UsageLogReading {
  case lines(any UsageLineParser)
  case document(any UsageDocumentParser)
  case database

  /// What is known of a file before it is read.
  init(_ place: UsageLogPlace) {
    switch place.format {
    case .claudeCode: self = .lines(ClaudeCodeUsageParser(path: place.path))
    case .codex: self = .lines(CodexUsageParser(path: place.path))
    case .gemini:
      let parser = GeminiUsageParser(path: place.path)
      self = place.path.hasSuffix(".json") ? .document(parser) : .lines(parser)
    case .cline: self = .document(ClineUsageParser(path: place.path))
    case .opencode: self = .database
    }
  }
}
