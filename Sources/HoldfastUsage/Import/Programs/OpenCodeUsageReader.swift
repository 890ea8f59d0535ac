// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
package import HoldfastEngine

/// Reads what OpenCode says of an answer: the JSON in `message.data`.
package enum OpenCodeUsage {
  /// The session a message is in.
  package struct Session: Sendable, Hashable {
    var id: String
    /// The session that started it, and so on up.
    var root: String?
    var parent: String?
    var directory: String?

    package init(id: String, root: String? = nil, parent: String? = nil, directory: String? = nil) {
      (self.id, self.root, self.parent, self.directory) = (id, root, parent, directory)
    }
  }

  /// What a message is.
  package enum Found {
    /// No answer of a model's.
    case nothing
    /// An answer that is being written.
    case unfinished
    /// An answer; it was put into the batch, or refused.
    case answer
  }

  /// Takes a message. A fork's copies of a message have other ids, but its times.
  package static func take(
    _ data: JSONTape, of session: Session, into batch: inout UsageLogBatch
  ) -> Found {
    guard data.isObject, data.has(data.at("role"), "assistant") else { return .nothing }
    let times = data.at("time")
    guard let done = data.milliseconds(data.at("completed", times)) else { return .unfinished }
    guard let time = data.milliseconds(data.at("created", times)) else {
      batch.refuse("The answer has no time.")
      return .answer
    }
    let tokens = data.at("tokens")
    guard data.kind(tokens) == .object else { return .nothing }
    var row = UsageRow(
      provider: data.kept(data.at("providerID")) ?? "unknown",
      model: data.kept(data.at("modelID")) ?? "unknown")
    row.origin = .log
    row.time = time
    row.source = "opencode"
    row.session = session.root ?? session.id
    if session.root != nil, session.root != session.id {
      row.agent = session.id
      row.parentAgent = session.parent == session.root ? nil : session.parent
    }
    row.project = LogProject.name(
      ofDirectory: data.text(data.at("cwd", data.at("path"))) ?? session.directory)
    row.stopReason = data.kept(data.at("finish"))
    var counts = LogCounts(data)
    let cache = data.at("cache", tokens)
    let written = counts.count("write", cache)
    let output = counts.count("output", tokens)
    let reasoning = counts.count("reasoning", tokens)
    let total = counts.count("total", tokens)
    row.inputTokens = counts.count("input", tokens)
    row.cacheReadTokens = counts.count("read", cache)
    row.cacheWrite5mTokens = written
    row.cacheWrite1hTokens = written.map { _ in 0 }
    row.reasoningTokens = reasoning
    row.costMicrodollars = counts.microdollars("cost", 0)
    if let problem = counts.problem {
      batch.refuse("An answer of \(session.id.prefix(60)): \(problem)")
      return .answer
    }
    // New versions count reasoning beside the output, which shows in the total; old ones within it.
    let prompt = (row.inputTokens ?? 0) + (row.cacheReadTokens ?? 0) + (written ?? 0)
    let isBeside =
      total.map { $0 == prompt + (output ?? 0) + (reasoning ?? 0) } ?? ((reasoning ?? 0) > (output ?? 0))
    row.outputTokens = output.map { isBeside ? $0 + (reasoning ?? 0) : $0 }
    if data.kind(data.at("error")) == .object {
      row.errorType = data.kept(data.at("name", data.at("error")))
      row.outcome = row.errorType == "MessageAbortedError" ? .clientLeft : .streamError
      // It failed before it used anything.
      if prompt + (row.outputTokens ?? 0) == 0 { return .nothing }
    }
    let print = "\(row.provider)/\(row.model)/\(data.raw(tokens))".fingerprint
    row.uid = "opencode:\(time.milliseconds)-\(done.milliseconds)-\(print)"
    batch.add(row)
    return .answer
  }
}

/// A database of OpenCode's, read message by message in the order in which they were begun.
final class OpenCodeUsageReader: UsageLogReadable {
  /// Where reading goes on.
  private struct Cursor: Codable {
    var time: Int64 = .min
    var id = ""
    /// When the first answer that was being written was begun; reading begins there the next time.
    var open: Int64?
  }

  /// How many messages a piece has at most; as long as it takes to read them, a writer in rollback mode waits.
  private static let pieceLength = 400
  /// An answer that has not ended for so long never does: its program was killed.
  private static let longestAnswer: Int64 = 24 * 3_600_000

  private let tables: ForeignTables
  private let place: UsageLogPlace
  private var mark: UsageLogMark
  private var cursor = Cursor()
  private let stamp: FileWriteStamp
  let carried: Int64

  /// - Throws: `StoreError` when there is no such file.
  init(_ place: UsageLogPlace, _ known: UsageLogMark?) throws {
    self.place = place
    guard let stamp = Self.stamp(place.path) else { throw LineReader.error(place.path, ENOENT) }
    self.stamp = stamp
    tables = try ForeignTables(place.path)
    mark = UsageLogMark(path: place.path, format: place.format)
    mark.generation = (known?.generation ?? -1) + 1
    if let known, known.device == stamp.device, known.inode == stamp.inode,
      let cursor = try? JSONDecoder().decode(Cursor.self, from: Data(known.state.utf8))
    {
      (mark, self.cursor) = (known, cursor)
      if let open = cursor.open, open <= cursor.time { self.cursor = Cursor(time: open - 1) }
      self.cursor.open = nil
    }
    carried = mark.rows
    (mark.device, mark.inode, mark.size, mark.modified) = (stamp.device, stamp.inode, stamp.size, 0)
  }

  /// The database and its -wal as one: what is written goes into the latter first.
  static func stamp(_ path: String) -> FileWriteStamp? {
    guard var stamp = FileWriteStamp(path: path) else { return nil }
    if let log = FileWriteStamp(path: path + "-wal") {
      stamp.size += log.size
      stamp.modified = max(stamp.modified, log.modified)
    }
    return stamp
  }

  func next(most rows: Int) throws -> UsageLogFile.Read {
    let (start, most) = (cursor, min(max(rows, 1), Self.pieceLength))
    // The piece may be read again, from the same place.
    let (batch, end, count) = try tables.read { db in try Self.piece(from: start, most: most, db) }
    cursor = end
    let isLast = count < most
    mark.rows += Int64(batch.rows.count)
    mark.offset += 1
    mark.modified = isLast ? stamp.modified : 0
    mark.state = String(decoding: try JSONEncoder().encode(cursor), as: UTF8.self)
    return UsageLogFile.read(batch, mark, isLast: isLast, file: place.path)
  }

  private static func piece(
    from start: Cursor, most: Int, _ db: Database
  ) throws -> (UsageLogBatch, Cursor, Int) {
    var batch = UsageLogBatch()
    var cursor = start
    var sessions: [String: OpenCodeUsage.Session] = [:]
    let rows = try Row.fetchAll(
      db.cachedStatement(
        sql: """
          SELECT CAST(id AS TEXT), CAST(session_id AS TEXT), CAST(time_created AS INTEGER), CAST(data AS TEXT)
          FROM message WHERE (time_created, id) > (?1, ?2) ORDER BY time_created, id LIMIT ?3
          """), arguments: [start.time, start.id, most])
    let now = UTCInstant.now.milliseconds
    for row in rows {
      guard let id = row[0] as String?, let time = row[2] as Int64? else { continue }
      (cursor.time, cursor.id) = (time, id)
      guard let text = row[3] as String?, let data = JSONTape(text) else {
        batch.refuse("The message \(id.prefix(60)) is no JSON.")
        continue
      }
      let session = row[1] as String? ?? ""
      let known = try sessions[session] ?? Self.session(session, db)
      sessions[session] = known
      if OpenCodeUsage.take(data, of: known, into: &batch) == .unfinished, now - time < longestAnswer {
        cursor.open = min(cursor.open ?? .max, time)
      }
    }
    return (batch, cursor, rows.count)
  }

  private static func session(_ id: String, _ db: Database) throws -> OpenCodeUsage.Session {
    let columns = Set(try db.columns(in: "session").map(\.name))
    guard columns.isSuperset(of: ["id", "parent_id", "directory"]) else { return .init(id: id) }
    let statement = try db.cachedStatement(
      sql: "SELECT CAST(parent_id AS TEXT), CAST(directory AS TEXT) FROM session WHERE id = ?")
    var session = OpenCodeUsage.Session(id: WireText.kept(id, maximumBytes: 256))
    var above: String? = id
    for step in 0..<16 {
      guard let current = above, let row = try Row.fetchOne(statement, arguments: [current]) else { break }
      above = (row[0] as String?).flatMap { $0.isEmpty || $0 == current ? nil : $0 }
      if step == 0 { (session.parent, session.directory) = (above, row[1]) }
      if let above { session.root = WireText.kept(above, maximumBytes: 256) }
    }
    return session
  }
}
