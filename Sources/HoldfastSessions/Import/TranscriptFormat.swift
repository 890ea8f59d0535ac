// SPDX-License-Identifier: Apache-2.0

/// A program whose transcripts can be taken in.
public enum TranscriptFormat: String, Sendable, Hashable, CaseIterable {
  /// Claude Code: a JSON Lines file for each session and sub-agent.
  case claudeCode = "claude-code"
  /// Codex: a rollout, JSON Lines, for each thread.
  case codex
  /// Hermes Agent: one SQLite database, `state.db`.
  case hermes
  /// Crush: one SQLite database for each project, `crush.db`.
  case crush
  /// OpenCode: an SQLite database, or JSON files for each session, message and part.
  case opencode

  /// What the program is called as a session's source, the same as in usage.
  public var source: String { self == .hermes ? "hermes-agent" : rawValue }
}

/// A line, row or file of a transcript that could not be read; it was left out and the rest taken.
public struct TranscriptFault: Sendable, Hashable, Codable {
  /// The file.
  public var file: String
  /// The line, from 1; nil where it is not about one.
  public var line: Int?
  /// What is wrong, one sentence.
  public var reason: String

  init(_ file: String, line: Int? = nil, _ reason: String) {
    (self.file, self.line, self.reason) = (file, line, reason)
  }

  /// Fills in the file, where only what reads it knows its name.
  mutating func name(_ file: String) { if self.file.isEmpty { self.file = file } }
}

/// What an import did; in JSON `{source, files, sessions, sessions_known, messages, messages_known, …}`.
public struct TranscriptImportReport: Sendable, Hashable, Codable {
  /// The program.
  public var source: String
  /// Files that were read.
  public var files = 0
  /// Sessions that were new.
  public var sessions = 0
  /// Sessions that were there already.
  public var sessionsKnown = 0
  /// Messages that were new.
  public var messages = 0
  /// Messages that were there already, as they are.
  public var messagesKnown = 0
  /// Messages that were there already and have changed since: more was said, or a summary stands for them now.
  public var messagesUpdated = 0
  /// Lines and rows that are no messages: titles, snapshots, what the program notes for itself.
  public var skipped = 0
  /// Last lines that were being written; the next import finds them whole.
  public var incomplete = 0
  /// Lines, rows and files that could not be read.
  public var refused = 0
  /// The first of those, at most ``mostFaults``.
  public var faults: [TranscriptFault] = []

  /// How many faults are kept.
  public static let mostFaults = 100

  /// A report of nothing yet.
  public init(source: String) { self.source = source }

  enum CodingKeys: String, CodingKey {
    case source, files, sessions, messages, skipped, incomplete, refused, faults
    case sessionsKnown = "sessions_known"
    case messagesKnown = "messages_known"
    case messagesUpdated = "messages_updated"
  }
}
