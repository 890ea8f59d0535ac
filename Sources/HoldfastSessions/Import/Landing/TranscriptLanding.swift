// SPDX-License-Identifier: Apache-2.0

import GRDB

/// What became of a piece of an import.
struct TranscriptCounts: Sendable, Hashable {
  var sessions = 0
  var sessionsKnown = 0
  var messages = 0
  var messagesKnown = 0
  var messagesUpdated = 0
  /// Sessions that could not be put below the one they came from.
  var cycles: [String] = []
  /// Sessions that were resumed here, so that calls in them have made-up results.
  var resumed: [String] = []
}

/// Writes pieces of transcripts, inside a write transaction of the caller's. Doing it again changes nothing.
///
/// A session that an import made is marked in its metadata (`import`). Where another writer has a session of the
/// same id with messages in it, the gateway's capture say, the two are kept apart: the import's gets the program's
/// name before its id.
struct TranscriptLanding {
  let format: TranscriptFormat
  private var counts = TranscriptCounts()
  /// Keys of this transaction.
  private var keys: [String: Int64] = [:]
  private var insertion: Statement?
  private var resumed: Set<String>

  /// - Parameter resumed: what earlier pieces have found to be ``TranscriptCounts/resumed``.
  init(_ format: TranscriptFormat, resumed: Set<String> = []) {
    (self.format, self.resumed) = (format, resumed)
  }

  /// Writes items in their order.
  mutating func land(_ items: ArraySlice<TranscriptBatch.Item>, _ db: Database) throws -> TranscriptCounts {
    for item in items {
      switch item {
      case .session(let session):
        if try land(session, db) { counts.sessions += 1 } else { counts.sessionsKnown += 1 }
      case .more(let session): try land(session, db)
      case .message(let message): try land(message, db)
      }
    }
    return counts
  }

  // MARK: Sessions

  /// A session as it is in the store.
  struct Found {
    var key: Int64
    var metadata: JSONValue?
    var isOurs: Bool
  }

  private static let mark = "import"

  /// The session that is meant by an id, and what it is called in the store.
  static func find(_ id: String, _ format: TranscriptFormat, _ db: Database) throws -> (
    id: String, found: Found?
  ) {
    let statement = try db.cachedStatement(sql: "SELECT key, metadata, messages FROM session WHERE id = ?")
    var name = id
    var attempt = 1
    while let row = try Row.fetchOne(statement, arguments: [name]) {
      let text: String? = row[1]
      let metadata = text.flatMap { try? JSONValue(json: $0) }
      let isOurs = metadata?[mark] == .string(format.rawValue)
      let found = Found(key: row[0], metadata: metadata, isOurs: isOurs)
      // One without messages was made as somebody's parent, or is waiting for just these.
      if isOurs || row[2] as Int64 == 0 { return (name, found) }
      name = attempt == 1 ? "\(format.source):\(id)" : "\(format.source):\(id):\(attempt)"
      attempt += 1
    }
    return (name, nil)
  }

  /// - Returns: whether it is new.
  @discardableResult
  private mutating func land(_ session: TranscriptSession, _ db: Database) throws -> Bool {
    let (id, found) = try Self.find(session.id, format, db)
    let key = try found?.key ?? SessionWriter.keyMaking(id, db)
    keys[session.id] = key
    // Looked for once, where the session is met: it is a search through its messages.
    if found?.isOurs == true, !resumed.contains(session.id),
      try Bool.fetchOne(
        db.cachedStatement(
          sql: "SELECT EXISTS (SELECT 1 FROM message WHERE session = ? AND synthetic = 1 AND state = 'live')"),
        arguments: [key]) == true
    {
      resumed.insert(session.id)
      counts.resumed.append(session.id)
    }
    let isNew = found?.isOurs != true
    var metadata: [String: JSONValue] = [:]
    if case .object(let fields) = found?.metadata { metadata = fields }
    let before = metadata
    metadata.merge(session.metadata) { now, _ in now }
    metadata[Self.mark] = .string(format.rawValue)
    try db.cachedStatement(
      sql: """
        UPDATE session SET source = coalesce(source, ?1), model = coalesce(model, ?2), cwd = coalesce(cwd, ?3),
          git_branch = coalesce(git_branch, ?4), metadata = coalesce(?5, metadata),
          ended_ms = coalesce(ended_ms, ?6), ended_reason = coalesce(ended_reason, ?7)
        WHERE key = ?8 AND (?5 IS NOT NULL OR source IS NULL OR (model IS NULL AND ?2 IS NOT NULL)
          OR (cwd IS NULL AND ?3 IS NOT NULL) OR (git_branch IS NULL AND ?4 IS NOT NULL)
          OR (ended_ms IS NULL AND ?6 IS NOT NULL))
        """
    ).execute(arguments: [
      format.source, session.model, session.cwd, session.gitBranch,
      metadata == before ? nil : JSONValue.object(metadata).json, session.ended, session.endedReason, key,
    ])
    if isNew {
      try db.cachedStatement(
        sql: """
          UPDATE session SET started_ms = coalesce(?1, started_ms), last_active_ms = coalesce(?1, last_active_ms),
            archived = ?2, pinned = ?3 WHERE key = ?4
          """
      ).execute(arguments: [session.started, session.isArchived, session.isPinned, key])
    }
    if let title = session.title { try name(key, title, session.titleFrom, db) }
    if let parent = session.parent, TranscriptSession.isID(parent) {
      let above = try Self.find(parent, format, db)
      let parentKey = try above.found?.key ?? SessionWriter.keyMaking(above.id, db)
      do {
        try SessionWriter.link(key, to: parentKey, as: session.edge, db)
      } catch let error as SessionError {
        guard error.code == .cycle else { throw error }
        counts.cycles.append(session.id)
      }
    }
    return isNew
  }

  /// Gives a title, or a better one: what a person called it stands, and so does a number that was added.
  private func name(_ key: Int64, _ title: String, _ source: TitleSource, _ db: Database) throws {
    let row = try Row.fetchOne(
      db.cachedStatement(sql: "SELECT title, title_from FROM session WHERE key = ?"), arguments: [key])
    if let now = row?[0] as String? {
      let owner: String? = row?[1]
      guard owner != TitleSource.user.rawValue else { return }
      // A title derived from the first message gives way to any other, and nothing gives way to it.
      guard source != .derived, now != title, !now.hasPrefix(title + " (") else { return }
    }
    try SessionWriter.rename(key, to: title, from: source, db)
  }

  private mutating func key(of id: String, _ db: Database) throws -> Int64 {
    if let key = keys[id] { return key }
    // From an earlier piece; or deleted since, and then what follows makes it anew.
    let (_, found) = try Self.find(id, format, db)
    guard let found, found.isOurs else {
      try land(TranscriptSession(id: id, format: format), db)
      return keys[id] ?? 0
    }
    keys[id] = found.key
    return found.key
  }

  // MARK: Messages

  private static let columns = """
    role, content, content_kind, tool_calls, tool_call_id, model, finish_reason, time_ms, state, \
    \(SessionSchema.measures.joined(separator: ", "))
    """

  private static let insertion = """
    INSERT INTO message(session, seq, uid, \(columns))
    VALUES (?1, (SELECT last_seq + 1 FROM session WHERE key = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
      ?13, ?14, ?15, ?16)
    ON CONFLICT(session, uid) DO NOTHING
    """

  private static let same = """
    content, content_kind, tool_calls, model, finish_reason, \(SessionSchema.measures.joined(separator: ", "))
    """

  /// Whether a message that is there is as the transcript has it. What a person took back stays so.
  private static let changed = """
    session = ?1 AND uid = ?2 AND (
      (\(same)) IS NOT (?4, ?5, ?6, ?8, ?9, ?12, ?13, ?14, ?15, ?16)
      OR state = 'live' AND ?11 <> 'live')
    """

  private static let update = """
    UPDATE message SET (\(same)) = (?4, ?5, ?6, ?8, ?9, ?12, ?13, ?14, ?15, ?16),
      state = CASE WHEN state = 'live' THEN ?11 ELSE state END
    WHERE \(changed) AND ?3 IS NOT NULL AND (?7 IS NULL OR 1) AND ?10 IS NOT NULL
    """

  /// Built without boxes: these are most of what a message costs beside SQLite itself.
  private static func arguments(_ key: Int64, _ message: TranscriptMessage) -> StatementArguments {
    let counts = message.counts
    let values: [DatabaseValue] = [
      key.databaseValue, message.uid.databaseValue, message.role.databaseValue, message.content.databaseValue,
      (message.isJSON ? "json" : "text").databaseValue, message.toolCalls.databaseValue,
      message.toolCallID.databaseValue, message.model.databaseValue, message.finishReason.databaseValue,
      message.time.databaseValue, message.state.rawValue.databaseValue, counts.input.databaseValue,
      counts.cacheRead.databaseValue, counts.cacheWrite.databaseValue, counts.output.databaseValue,
      counts.cost.databaseValue,
    ]
    return StatementArguments(values)
  }

  private mutating func land(_ message: TranscriptMessage, _ db: Database) throws {
    let arguments = Self.arguments(try key(of: message.session, db), message)
    let insertion = try self.insertion ?? db.cachedStatement(sql: Self.insertion)
    self.insertion = insertion
    insertion.setUncheckedArguments(arguments)
    try insertion.execute()
    if db.changesCount > 0 {
      counts.messages += 1
      if let call = message.toolCallID, resumed.contains(message.session) {
        try takeOver(call, message, db)
      }
      return
    }
    try db.cachedStatement(sql: Self.update).execute(arguments: arguments)
    if db.changesCount > 0 { counts.messagesUpdated += 1 } else { counts.messagesKnown += 1 }
  }

  /// A real result takes the place of the one that resuming made up for its call (row D06).
  private mutating func takeOver(_ call: String, _ message: TranscriptMessage, _ db: Database) throws {
    let key = try key(of: message.session, db)
    let row = try Row.fetchOne(
      db.cachedStatement(
        sql: """
          SELECT id, placed_after FROM message
          WHERE session = ? AND synthetic = 1 AND state = 'live' AND tool_call_id = ?
          """), arguments: [key, call])
    guard let row else { return }
    try db.execute(sql: "UPDATE message SET state = 'undone' WHERE id = ?", arguments: [row[0] as Int64])
    try db.execute(
      sql: "UPDATE message SET placed_after = ? WHERE session = ? AND uid = ?",
      arguments: [row[1] as Int64?, key, message.uid])
  }

  // MARK: Looking only

  /// What ``land(_:_:)`` would do, from what is in the store; without one everything is new.
  static func preview(
    _ items: ArraySlice<TranscriptBatch.Item>, _ format: TranscriptFormat, _ db: Database?
  ) throws -> TranscriptCounts {
    var counts = TranscriptCounts()
    var keys: [String: Int64?] = [:]
    func key(_ id: String) throws -> Int64? {
      if let known = keys[id] { return known }
      let found = try db.flatMap { try find(id, format, $0).found }
      let key = found.flatMap { $0.isOurs ? $0.key : nil }
      keys[id] = .some(key)
      return key
    }
    for item in items {
      switch item {
      case .session(let session):
        if try key(session.id) == nil { counts.sessions += 1 } else { counts.sessionsKnown += 1 }
      case .more: break
      case .message(let message):
        guard let db, let key = try key(message.session),
          try Bool.fetchOne(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM message WHERE session = ? AND uid = ?)"),
            arguments: [key, message.uid]) == true
        else {
          counts.messages += 1
          continue
        }
        let isChanged = try Bool.fetchOne(
          db.cachedStatement(
            sql: """
              SELECT EXISTS (SELECT 1 FROM message WHERE \(changed)
                AND ?3 IS NOT NULL AND (?7 IS NULL OR 1) AND ?10 IS NOT NULL)
              """), arguments: arguments(key, message))
        if isChanged == true { counts.messagesUpdated += 1 } else { counts.messagesKnown += 1 }
      }
    }
    return counts
  }
}
