// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Something that holds transcripts: a file, a database, or the directory of OpenCode's files.
public struct TranscriptPlace: Sendable, Hashable {
  /// Whose it is.
  public var format: TranscriptFormat
  /// The file or directory.
  public var path: String

  /// A place whose program is known.
  public init(_ format: TranscriptFormat, _ path: String) { (self.format, self.path) = (format, path) }

  /// Opens it for reading. Blocks.
  func open() throws -> any TranscriptReading {
    switch format {
    case .claudeCode:
      try LineTranscript(path, ClaudeCodeParser(ClaudeCodeParser.Context(file: path)))
    case .codex: try LineTranscript(path, CodexParser(CodexParser.Context(file: path)))
    case .hermes: try ForeignTranscripts(path, HermesProgram())
    case .crush: try ForeignTranscripts(path, CrushProgram(path: path))
    case .opencode:
      if Self.isDirectory(path) {
        try OpenCodeFiles(path)
      } else {
        try ForeignTranscripts(path, OpenCodeProgram())
      }
    }
  }

  // MARK: Finding

  /// What there is at a path: the file itself, or everything in a directory and below.
  ///
  /// - Parameters:
  ///   - path: a file or a directory. Links to directories within it are not followed.
  ///   - format: whose it is; told by what is in each file when nil.
  /// - Returns: in the order of their names; none for a directory without transcripts.
  /// - Throws: ``StoreError`` `missing` or `permission`; ``SessionError`` `unreadable` for a file of which it cannot
  ///   be told whose it is, or that is not of the program named.
  public static func all(at path: String, _ format: TranscriptFormat? = nil) throws -> [TranscriptPlace] {
    guard FileManager.default.fileExists(atPath: path) else { throw LineReader.error(path, ENOENT) }
    if isDirectory(path) {
      var places: [TranscriptPlace] = []
      guard FileManager.default.isReadableFile(atPath: path) else { throw LineReader.error(path, EACCES) }
      walk(path, format, &places)
      return places
    }
    guard FileManager.default.isReadableFile(atPath: path) else { throw LineReader.error(path, EACCES) }
    let found = format.map { isPossible($0, path) ? $0 : nil } ?? self.format(of: path)
    guard let found else {
      throw SessionError(
        .unreadable,
        format.map { "\(path) is no transcript of \($0.rawValue)." }
          ?? "\(path) is no transcript of a program that is known; say whose it is with --from.")
    }
    return [TranscriptPlace(found, path)]
  }

  private static func walk(
    _ directory: String, _ format: TranscriptFormat?, _ places: inout [TranscriptPlace]
  ) {
    if format == nil || format == .opencode, isStorage(directory) {
      places.append(TranscriptPlace(.opencode, directory))
      return
    }
    for name in ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted() {
      let path = directory + "/" + name
      if isDirectory(path) {
        if (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) == nil {
          walk(path, format, &places)
        }
        continue
      }
      guard name.hasSuffix(".jsonl") || name.hasSuffix(".db") else { continue }
      guard let found = self.format(of: path), format == nil || found == format else { continue }
      places.append(TranscriptPlace(found, path))
    }
  }

  private static func isDirectory(_ path: String) -> Bool {
    var info = stat()
    return unsafe stat(path, &info) == 0 && info.st_mode & S_IFMT == S_IFDIR
  }

  /// Whether a directory has OpenCode's sessions and messages in it.
  private static func isStorage(_ path: String) -> Bool {
    isDirectory(path + "/session") && isDirectory(path + "/message")
  }

  private static let databaseMark = Array("SQLite format 3\u{0}".utf8)

  private static func isPossible(_ format: TranscriptFormat, _ path: String) -> Bool {
    let isDatabase = TextFile.beginning(path, most: 16) == databaseMark
    switch format {
    case .claudeCode, .codex: return !isDatabase
    case .hermes, .crush, .opencode: return self.format(of: path) == format
    }
  }

  /// Whether a file is an export of Holdfast's own, or empty; a pipe, which can only be read once, is taken for one.
  public static func isExport(_ path: String) -> Bool {
    var info = stat()
    guard unsafe stat(path, &info) == 0 else { return false }
    guard info.st_mode & S_IFMT == S_IFREG else { return info.st_mode & S_IFMT != S_IFDIR }
    guard let beginning = TextFile.beginning(path, most: 256 << 10) else { return info.st_size == 0 }
    guard !beginning.starts(with: databaseMark) else { return false }
    let found = firstAnswer(in: beginning) { line -> Bool? in
      guard line.members(0).count == 1 else { return nil }
      return line.kind(line.at("session")) == .object || line.kind(line.at("message")) == .object ? true : nil
    }
    return found ?? beginning.isEmpty
  }

  /// Whose file it is by what is in it; nil when that cannot be told.
  static func format(of path: String) -> TranscriptFormat? {
    guard let beginning = TextFile.beginning(path, most: 256 << 10) else { return nil }
    if beginning.starts(with: databaseMark) { return format(ofDatabase: path) }
    return firstAnswer(in: beginning) { line -> TranscriptFormat? in
      let type = line.kind(line.at("type"))
      if line.kind(line.at("payload")) == .object, type == .string { return .codex }
      if line.kind(line.at("record_type")) == .string { return .codex }
      if line.kind(line.at("sessionId")) == .string, type == .string { return .claudeCode }
      if line.has(line.at("type"), "summary"), line.kind(line.at("leafUuid")) == .string {
        return .claudeCode
      }
      if line.kind(line.at("uuid")) == .string, line.kind(line.at("message")) == .object {
        return .claudeCode
      }
      return nil
    }
  }

  /// The first answer that one of the first 50 lines gives.
  private static func firstAnswer<Answer>(in beginning: [UInt8], _ ask: (JSONTape) -> Answer?) -> Answer? {
    var tape = JSONTape()
    var start = 0
    for _ in 0..<50 where start < beginning.count {
      let end = beginning[start...].firstIndex(of: 0x0A) ?? beginning.count
      tape.bytes = Array(beginning[start..<end])
      if tape.scan(), tape.isObject, let answer = ask(tape) { return answer }
      start = end + 1
    }
    return nil
  }

  private static func format(ofDatabase path: String) -> TranscriptFormat? {
    let columns = try? ForeignTables(path).read { db -> [String: Set<String>] in
      var columns: [String: Set<String>] = [:]
      for table in ["sessions", "messages", "session", "message", "part"] where try db.tableExists(table) {
        columns[table] = Set(try db.columns(in: table).map(\.name))
      }
      return columns
    }
    guard let columns else { return nil }
    func has(_ table: String, _ names: String...) -> Bool { columns[table]?.isSuperset(of: names) ?? false }
    if has("sessions", "id", "source", "parent_session_id"),
      has("messages", "session_id", "tool_calls", "timestamp")
    {
      return .hermes
    }
    if has("sessions", "id", "parent_session_id"), has("messages", "session_id", "parts", "created_at") {
      return .crush
    }
    if has("session", "id", "directory"), has("message", "session_id", "data"),
      has("part", "message_id", "data")
    {
      return .opencode
    }
    return nil
  }

  // MARK: Where programs keep them

  /// The files and directories in which a program keeps its transcripts, those of them that are there.
  ///
  /// - Parameter directory: for Crush, which has a database in each project, the project to look in beside those
  ///   it knows.
  public static func usual(
    _ format: TranscriptFormat, environment: [String: String], directory: String
  ) -> [String] {
    let home = environment["HOME"] ?? ""
    func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    let data = variable("XDG_DATA_HOME") ?? home + "/.local/share"
    var places: [String]
    switch format {
    case .claudeCode:
      let configured = variable("CLAUDE_CONFIG_DIR")?.split(separator: ",").map { String($0) }
      places = (configured ?? [home + "/.config/claude", home + "/.claude"]).map { $0 + "/projects" }
    case .codex:
      let codex = variable("CODEX_HOME") ?? home + "/.codex"
      places = [codex + "/sessions", codex + "/archived_sessions"]
    case .hermes:
      let hermes = variable("HERMES_HOME") ?? home + "/.hermes"
      let profiles = (try? FileManager.default.contentsOfDirectory(atPath: hermes + "/profiles")) ?? []
      places = [hermes + "/state.db"] + profiles.sorted().map { "\(hermes)/profiles/\($0)/state.db" }
    case .crush:
      places = [directory + "/.crush/crush.db"]
      if let text = TextFile.contents(data + "/crush/projects.json", most: 16 << 20),
        let json = JSONTape(text)
      {
        for project in json.elements(json.at("projects")) {
          guard let root = json.words(json.at("path", project)) else { continue }
          let kept = json.words(json.at("data_dir", project)) ?? ".crush"
          places.append((kept.hasPrefix("/") ? kept : root + "/" + kept) + "/crush.db")
        }
      }
    case .opencode:
      let names = (try? FileManager.default.contentsOfDirectory(atPath: data + "/opencode")) ?? []
      places = names.sorted().filter { $0.hasPrefix("opencode") && $0.hasSuffix(".db") }
        .map { "\(data)/opencode/\($0)" }
      // What is in the database was moved there; with one, the files are old.
      if places.isEmpty { places = [data + "/opencode/storage"] }
    }
    var seen: Set<String> = []
    return places.filter { FileManager.default.fileExists(atPath: $0) && seen.insert($0).inserted }
  }
}
