// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// A file in which a program logs what its requests used.
public struct UsageLogPlace: Sendable, Hashable {
  /// Whose it is.
  public var format: UsageLogFormat
  /// The file, absolute.
  public var path: String

  /// A file whose program is known.
  public init(_ format: UsageLogFormat, _ path: String) { (self.format, self.path) = (format, path) }

  // MARK: Finding

  /// What there is at a path: the file itself, or everything in a directory and below.
  ///
  /// - Parameter path: a file or a directory, absolute. Links to directories within it are not followed.
  /// - Returns: in the order in which the files were last written; whose each is is told by what is in it.
  /// - Throws: `StoreError` `missing` or `permission`; ``UsageError`` `unreadable` for a file of which it cannot be
  ///   told whose it is.
  public static func all(at path: String) throws -> [UsageLogPlace] {
    guard FileManager.default.fileExists(atPath: path) else { throw LineReader.error(path, ENOENT) }
    guard FileManager.default.isReadableFile(atPath: path) else { throw LineReader.error(path, EACCES) }
    if isDirectory(path) {
      var places: [UsageLogPlace] = []
      walk(path, depth: 32) { file in
        guard isCandidate(file), let format = format(of: file) else { return }
        places.append(UsageLogPlace(format, file))
      }
      return inOrder(places)
    }
    guard let format = format(of: path) else {
      throw UsageError(
        .unreadable,
        "\(path) is no log of a program that is known: claude-code, codex, opencode, gemini or cline.")
    }
    return [UsageLogPlace(format, path)]
  }

  /// The logs of a program where it keeps them.
  public static func usual(_ format: UsageLogFormat, environment: [String: String]) -> [UsageLogPlace] {
    inOrder(UsageLogRoot.usual(format, environment: environment).flatMap(\.places))
  }

  /// The oldest first: of two files with the same request in both the earlier one is its own, and the later a copy.
  public static func inOrder(_ places: [UsageLogPlace]) -> [UsageLogPlace] {
    var seen: Set<UsageLogPlace> = []
    let dated = places.filter { seen.insert($0).inserted }.map { place in
      (FileWriteStamp(path: place.path)?.modified ?? .max, place)
    }
    return dated.sorted { ($0.0, $0.1.path) < ($1.0, $1.1.path) }.map(\.1)
  }

  static func isDirectory(_ path: String) -> Bool {
    var isDirectory: ObjCBool = false
    return unsafe FileManager.default.fileExists(atPath: path, isDirectory: &isDirectory)
      && isDirectory.boolValue
  }

  /// Calls `body` with each file below a directory.
  static func walk(_ directory: String, depth: Int, _ body: (String) -> Void) {
    for name in ((try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []).sorted() {
      let path = directory + "/" + name
      if isDirectory(path) {
        if depth > 0, (try? FileManager.default.destinationOfSymbolicLink(atPath: path)) == nil {
          walk(path, depth: depth - 1, body)
        }
      } else {
        body(path)
      }
    }
  }

  private static func isCandidate(_ path: String) -> Bool {
    let name = path.split(separator: "/").last ?? ""
    return name.hasSuffix(".jsonl") || name.hasSuffix(".db") || name == "ui_messages.json"
      || name.hasPrefix("session-") && name.hasSuffix(".json")
  }

  // MARK: Telling whose it is

  private static let databaseMark = Array("SQLite format 3\u{0}".utf8)

  /// Whose file it is by what is in it; nil when that cannot be told.
  static func format(of path: String) -> UsageLogFormat? {
    guard let beginning = TextBeside.beginning(path, most: 256 << 10) else { return nil }
    if beginning.starts(with: databaseMark) { return isOpenCode(path) ? .opencode : nil }
    if let format = format(ofLines: beginning) { return format }
    guard path.hasSuffix(".json"), let document = TextBeside.json(path, most: UsageLogFile.longestDocument)
    else { return nil }
    if document.kind(0) == .array {
      let isTask = document.elements(0).prefix(50).contains {
        document.kind(document.at("say", $0)) == .string || document.kind(document.at("ask", $0)) == .string
      }
      return isTask ? .cline : nil
    }
    let isChat =
      document.kind(document.at("sessionId")) == .string && document.kind(document.at("messages")) == .array
    return isChat ? .gemini : nil
  }

  private static func format(ofLines beginning: [UInt8]) -> UsageLogFormat? {
    var tape = JSONTape()
    var start = 0
    for _ in 0..<50 where start < beginning.count {
      let end = beginning[start...].firstIndex(of: 0x0A) ?? beginning.count
      tape.bytes = Array(beginning[start..<end])
      if tape.scan(), tape.isObject, let format = format(of: tape) { return format }
      start = end + 1
    }
    return nil
  }

  private static func format(of line: JSONTape) -> UsageLogFormat? {
    let type = line.kind(line.at("type"))
    if line.kind(line.at("payload")) == .object, type == .string { return .codex }
    if line.kind(line.at("record_type")) == .string { return .codex }
    if line.kind(line.at("projectHash")) == .string || line.kind(line.at("$set")) == .object {
      return .gemini
    }
    if line.kind(line.at("messages")) == .array { return nil }
    if line.kind(line.at("sessionId")) == .string, type == .string { return .claudeCode }
    if line.has(line.at("type"), "summary"), line.kind(line.at("leafUuid")) == .string { return .claudeCode }
    if line.kind(line.at("message")) == .object, type == .string, line.kind(line.at("uuid")) == .string {
      return .claudeCode
    }
    return nil
  }

  private static func isOpenCode(_ path: String) -> Bool {
    let isIt = try? ForeignTables(path).read { db in
      guard try db.tableExists("message"), try db.tableExists("session") else { return false }
      let columns = Set(try db.columns(in: "message").map(\.name))
      return columns.isSuperset(of: ["id", "session_id", "time_created", "data"])
    }
    return isIt ?? false
  }
}

/// A directory below which a program keeps its logs: what is looked through, and what is watched.
struct UsageLogRoot: Sendable, Hashable {
  var format: UsageLogFormat
  var path: String
  /// How many directories below it are looked into.
  var depth: Int

  /// What a file is, going by its name; nil for what is none of the logs.
  func place(_ file: String) -> UsageLogPlace? {
    let name = file.split(separator: "/").last ?? ""
    switch format {
    case .claudeCode, .codex: return name.hasSuffix(".jsonl") ? UsageLogPlace(format, file) : nil
    case .gemini:
      guard file.contains("/chats/"), name.hasSuffix(".jsonl") || name.hasSuffix(".json") else { return nil }
      return UsageLogPlace(format, file)
    case .cline: return name == "ui_messages.json" ? UsageLogPlace(format, file) : nil
    case .opencode:
      guard name.hasPrefix("opencode") else { return nil }
      // What is written goes into the -wal first.
      let database = file.hasSuffix("-wal") ? String(file.dropLast(4)) : file
      return database.hasSuffix(".db") ? UsageLogPlace(format, database) : nil
    }
  }

  /// The logs in it.
  var places: [UsageLogPlace] {
    var found: [UsageLogPlace] = []
    UsageLogPlace.walk(path, depth: depth) { file in
      if !file.hasSuffix("-wal"), let place = place(file) { found.append(place) }
    }
    return found
  }

  /// The directories in which a program keeps its logs, those of them that are there.
  static func usual(_ format: UsageLogFormat, environment: [String: String]) -> [UsageLogRoot] {
    let home = environment["HOME"] ?? ""
    func variable(_ name: String) -> String? { environment[name].flatMap { $0.isEmpty ? nil : $0 } }
    func roots(_ paths: [String], depth: Int) -> [UsageLogRoot] {
      var seen: Set<String> = []
      return paths.filter { UsageLogPlace.isDirectory($0) && seen.insert($0).inserted }
        .map { UsageLogRoot(format: format, path: $0, depth: depth) }
    }
    switch format {
    case .claudeCode:
      let configured = variable("CLAUDE_CONFIG_DIR")?.split(separator: ",").map {
        $0.trimmingCharacters(in: .whitespaces)
      }
      let places = configured ?? [home + "/.config/claude", home + "/.claude"]
      // Some name the directory of the projects itself.
      return roots(
        places.map { $0.hasSuffix("/projects") || $0 == "projects" ? $0 : $0 + "/projects" }, depth: 16)
    case .codex:
      let codex = variable("CODEX_HOME") ?? home + "/.codex"
      return roots([codex + "/sessions", codex + "/archived_sessions"], depth: 8)
    case .opencode:
      let data = variable("XDG_DATA_HOME") ?? home + "/.local/share"
      return roots([data + "/opencode"], depth: 0)
    case .gemini: return roots([(variable("GEMINI_CLI_HOME") ?? home) + "/.gemini/tmp"], depth: 4)
    case .cline: return roots(clineStorage(home), depth: 1)
    }
  }

  private static func clineStorage(_ home: String) -> [String] {
    let extensions = ["saoudrizwan.claude-dev", "rooveterinaryinc.roo-cline", "kilocode.kilo-code"]
    #if canImport(Darwin)
      let settings = home + "/Library/Application Support"
    #else
      let settings = home + "/.config"
    #endif
    let editors = ["Code", "Code - Insiders", "VSCodium", "Cursor", "Windsurf"].map { settings + "/" + $0 }
    let servers = [".vscode-server/data", ".cursor-server/data", ".windsurf-server/data"].map {
      home + "/" + $0
    }
    let stored = (editors + servers).flatMap { place in
      extensions.map { "\(place)/User/globalStorage/\($0)/tasks" }
    }
    return stored + [home + "/.cline/data/tasks"]
  }
}
