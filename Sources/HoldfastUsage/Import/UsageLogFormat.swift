// SPDX-License-Identifier: Apache-2.0

/// A program whose logs tell what its requests used.
public enum UsageLogFormat: String, Sendable, Hashable, Codable, CaseIterable {
  /// Claude Code: a JSON Lines file for each session and sub-agent.
  case claudeCode = "claude-code"
  /// Codex: a rollout, JSON Lines, for each thread.
  case codex
  /// OpenCode: SQLite databases.
  case opencode
  /// Gemini CLI: a file for each session, JSON Lines or (formerly) one JSON text.
  case gemini
  /// Cline, and Roo Code and Kilo Code, which come from it: a JSON text for each task.
  case cline

  /// What the program is called as a row's source, the same as by its requests; of the family of Cline it is the
  /// first's.
  public var source: String { self == .gemini ? "gemini-cli" : rawValue }

  /// The format a person means: its name, or the program's.
  public init?(name: String) {
    guard let format = Self.allCases.first(where: { $0.rawValue == name || $0.source == name }) else {
      return nil
    }
    self = format
  }
}

/// A line, record or file of a log that was not taken; the rest was.
public struct UsageLogFault: Sendable, Hashable, Codable {
  /// The file.
  public var file: String
  /// The line, from 1; nil where it is not about one.
  public var line: Int?
  /// What is wrong, one sentence.
  public var reason: String

  /// A fault.
  public init(file: String, line: Int? = nil, reason: String) {
    (self.file, self.line, self.reason) = (file, line, reason)
  }
}

/// What an import of one program's logs came to; in JSON `{source, files, rows_new, rows_merged, …}`.
public struct UsageImportReport: Sendable, Hashable, Codable {
  /// The program.
  public var source: String
  /// Files that were found.
  public var files = 0
  /// Those of them that had not changed since they were last read, and were not opened.
  public var filesUnchanged = 0
  /// Requests the ledger did not have.
  public var rowsNew = 0
  /// Requests it had, of which something more is known now: on the wire, or in an earlier line.
  public var rowsMerged = 0
  /// Requests it had, just so.
  public var rowsUnchanged = 0
  /// Requests older than the ledger keeps rows: left out, since some of them may have been counted and removed.
  public var rowsExpired = 0
  /// Last lines that were being written; the next import finds them whole.
  public var incomplete = 0
  /// Records and files that were not taken: their numbers cannot be true (row D15), or they cannot be read.
  public var refused = 0
  /// The first of those, at most ``mostFaults``.
  public var faults: [UsageLogFault] = []

  /// How many faults are kept.
  public static let mostFaults = 100

  /// A report of nothing yet.
  public init(source: String) { self.source = source }

  enum CodingKeys: String, CodingKey {
    case source, files, incomplete, refused, faults
    case filesUnchanged = "files_unchanged"
    case rowsNew = "rows_new"
    case rowsMerged = "rows_merged"
    case rowsUnchanged = "rows_unchanged"
    case rowsExpired = "rows_expired"
  }
}
