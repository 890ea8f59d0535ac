// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// One line of an export: a session, or a message of the session named last.
///
/// Sessions come before their messages and after the session they came from, so a file is read from front to
/// back, whatever its size.
public enum SessionTransferLine: Sendable, Hashable, Codable {
  /// A session begins.
  case session(SessionRecord)
  /// A message of it, in the order they are read.
  case message(MessageRecord)

  private enum CodingKeys: String, CodingKey { case session, message }

  /// Reads `{"session": …}` or `{"message": …}`.
  public init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: CodingKeys.self)
    if let session = try fields.decodeIfPresent(SessionRecord.self, forKey: .session) {
      self = .session(session)
    } else {
      self = .message(try fields.decode(MessageRecord.self, forKey: .message))
    }
  }

  /// Writes `{"session": …}` or `{"message": …}`.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    switch self {
    case .session(let session): try fields.encode(session, forKey: .session)
    case .message(let message): try fields.encode(message, forKey: .message)
    }
  }
}

/// What a store took in of an export.
public struct SessionsTaken: Sendable, Hashable {
  /// Sessions that were new.
  public var sessions = 0
  /// Messages that were new.
  public var messages = 0
  /// The session named last: whose the next messages are.
  public var last: String?

  /// Nothing yet.
  ///
  /// - Parameter last: whose the first messages are.
  public init(last: String? = nil) { self.last = last }
}

extension SQLiteSessionStore {
  /// Hands out sessions with their messages of every state, a bounded piece at a time.
  ///
  /// - Parameters:
  ///   - ids: only these, by their whole ids; all when nil.
  ///   - take: called with each line in order.
  /// - Returns: rows that could not be read and were left out.
  public func export(
    _ ids: [String]?, _ take: (SessionTransferLine) throws -> Void
  ) async throws -> [RowFault] {
    let file = try await file()
    let wanted = ids.map { JSONValue.array($0.map(JSONValue.string)).json }
    // A session's key is higher than its parent's only as a rule: a parent may be named before it is made.
    let keys = try await file.read { db in
      try Int64.fetchAll(
        db,
        sql: """
          WITH RECURSIVE down(key, depth) AS (
            SELECT key, 0 FROM session WHERE parent IS NULL
            UNION SELECT session.key, down.depth + 1 FROM session JOIN down ON session.parent = down.key)
          SELECT down.key FROM down JOIN session USING (key)
          WHERE ?1 IS NULL OR session.id IN (SELECT value FROM json_each(?1))
          ORDER BY down.depth, down.key
          """, arguments: [wanted])
    }
    var faults: [RowFault] = []
    for key in keys {
      let session: SessionRecord
      do {
        session = try await file.read { db in try SessionReader.session(key, db) }
      } catch let error as SessionError {
        // Deleted meanwhile, or unreadable.
        if error.code == .unreadable {
          faults.append(RowFault(table: "session", row: String(key), reason: error.message))
        }
        continue
      }
      try take(.session(session))
      var place: MessagePlace? = .start
      while let from = place {
        let wanted = TranscriptPage(.after(from), limit: 500, states: Set(MessageState.allCases))
        let piece = try await file.read { db in try SessionReader.messages(key, wanted, db) }
        for message in piece.messages { try take(.message(message)) }
        faults += piece.faults
        place = piece.next
      }
    }
    return faults
  }

  /// Takes in lines of an export in one transaction; doing it again changes nothing.
  ///
  /// - Parameters:
  ///   - lines: in the order of the export.
  ///   - session: the id of the session the first messages belong to, when the lines begin with messages.
  /// - Throws: ``SessionError`` `invalid` when it is not known whose a message is.
  public func take(_ lines: [SessionTransferLine], into session: String?) async throws -> SessionsTaken {
    let prepared = try lines.map { line -> SessionTransferLine in
      guard case .message(var record) = line else { return line }
      record.message = try record.message.storable().message
      return .message(record)
    }
    return try await write { db in
      var counts = SessionsTaken(last: session)
      for line in prepared {
        switch line {
        case .session(let record):
          if try SessionWriter.take(record, db) { counts.sessions += 1 }
          counts.last = record.id
        case .message(let record):
          guard let id = counts.last else {
            throw SessionError(.invalid, "A message comes before any session: it is not known whose it is.")
          }
          let key = try SessionWriter.keyMaking(id, db)
          let made = try MessageWriter.append(record.message, to: key, synthetic: record.synthetic, db)
          guard made.duplicate != true else { continue }
          counts.messages += 1
          if record.state != .live || record.streaming {
            try db.execute(
              sql: "UPDATE message SET state = ?, streaming = ? WHERE session = ? AND uid = ?",
              arguments: [record.state.rawValue, record.streaming, key, made.uid])
          }
        }
      }
      return counts
    }
  }
}

extension SessionWriter {
  /// Makes a session as an export has it; one that is there gets what it lacks.
  /// - Returns: whether it is new.
  fileprivate static func take(_ record: SessionRecord, _ db: Database) throws -> Bool {
    var new = NewSession(id: record.id)
    (new.source, new.model, new.cwd, new.gitBranch) = (
      record.source, record.model, record.cwd, record.gitBranch
    )
    (new.metadata, new.parent) = (record.metadata, record.parent)
    new.edge = record.parent == nil ? nil : record.edge
    let isNew = try create(new, id: record.id, db)
    let key = try keyMaking(record.id, db)
    if let title = record.title {
      try rename(
        key, to: title, from: record.titleFrom.flatMap(TitleSource.init) ?? .imported, onlyIfUntitled: true,
        db)
    }
    guard isNew else { return false }
    try db.execute(
      sql: """
        UPDATE session SET started_ms = ?, last_active_ms = ?, ended_ms = ?, ended_reason = ?, failed = ?,
          archived = ?, pinned = ? WHERE key = ?
        """,
      arguments: [
        SessionTime.milliseconds(record.started), SessionTime.milliseconds(record.lastActive),
        record.ended.map(SessionTime.milliseconds), record.endedReason, record.failed, record.archived,
        record.pinned, key,
      ])
    return true
  }
}
