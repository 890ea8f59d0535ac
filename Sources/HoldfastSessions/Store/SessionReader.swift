// SPDX-License-Identifier: Apache-2.0

import GRDB

/// Reads rows of `sessions.db`; one that cannot be read is told as a fault and costs the others nothing.
enum SessionReader {
  private static let selection = """
    SELECT s.*, p.id AS parent_id FROM session AS s LEFT JOIN session AS p ON p.key = s.parent
    """

  /// One session by its key.
  static func session(_ key: Int64, _ db: Database) throws -> SessionRecord {
    guard let row = try Row.fetchOne(db, sql: selection + " WHERE s.key = ?", arguments: [key]) else {
      throw SessionError(.notFound, "The session is gone.")
    }
    return try record(row)
  }

  /// The sessions that pass the filter, those last active first.
  static func list(_ filter: SessionFilter, _ db: Database) throws -> SessionList {
    var conditions: [String] = []
    var arguments = StatementArguments()
    if let ids = filter.ids {
      // One parameter, whatever their number (row D09).
      conditions.append("s.id IN (SELECT value FROM json_each(?))")
      arguments += [JSONValue.array(ids.map(JSONValue.string)).json]
    }
    if let source = filter.source {
      conditions.append("s.source = ?")
      arguments += [source]
    }
    if let parent = filter.parent {
      conditions.append("s.parent = (SELECT key FROM session WHERE id = ?)")
      arguments += [parent]
    }
    if let archived = filter.archived {
      conditions.append("s.archived = ?")
      arguments += [archived]
    }
    if filter.isRoot == true { conditions.append("s.parent IS NULL") }
    if filter.isRoot == false { conditions.append("s.parent IS NOT NULL") }
    if let text = filter.text, !text.isEmpty {
      let fields = ["id", "title", "source", "model", "cwd"].map { "s.\($0) LIKE ? ESCAPE '\\'" }
      conditions.append("(" + fields.joined(separator: " OR ") + ")")
      let pattern = "%" + text.replacing(/[%_\\]/) { "\\" + $0.output } + "%"
      for _ in fields { arguments += [pattern] }
    }
    if let place = filter.after {
      conditions.append("(s.last_active_ms, s.key) < (?, ?)")
      arguments += [place.lastActive, place.key]
    }
    let place = conditions.isEmpty ? "" : " WHERE " + conditions.joined(separator: " AND ")
    // One more than wanted tells whether there are more.
    arguments += [filter.limit.map { min($0, .max - 1) + 1 } ?? -1]
    let rows = try Row.fetchCursor(
      db, sql: selection + place + " ORDER BY s.last_active_ms DESC, s.key DESC LIMIT ?", arguments: arguments
    )
    var list = SessionList()
    var last: SessionPlace?
    var count = 0
    while let row = try rows.next() {
      count += 1
      if let limit = filter.limit, count > limit {
        list.next = last
        break
      }
      last = SessionPlace(lastActive: row["last_active_ms"], key: row["key"])
      do {
        list.sessions.append(try record(row))
      } catch {
        list.faults.append(RowFault(table: "session", row: row["id"], reason: error.message))
      }
    }
    return list
  }

  static func record(_ row: Row) throws(SessionError) -> SessionRecord {
    guard let edge = SessionEdge(rawValue: row["edge"]) else {
      throw SessionError(.unreadable, "Its edge, “\(row["edge"] as String)”, is none this version knows.")
    }
    let metadata: String? = row["metadata"]
    var value: JSONValue?
    if let metadata { value = try JSONValue(json: metadata) }
    let total = sums("total", row)
    return SessionRecord(
      id: row["id"], source: row["source"], title: row["title"], titleFrom: row["title_from"],
      parent: row["parent_id"], edge: edge, model: row["model"], cwd: row["cwd"],
      gitBranch: row["git_branch"],
      started: SessionTime.text(row["started_ms"]), lastActive: SessionTime.text(row["last_active_ms"]),
      ended: (row["ended_ms"] as Int64?).map(SessionTime.text), endedReason: row["ended_reason"],
      failed: row["failed"], archived: row["archived"], pinned: row["pinned"], metadata: value,
      messages: row["messages"], failedChildren: row["failed_children"], own: sums("own", row), total: total,
      costMicrodollars: total.costMicrodollars)
  }

  private static func sums(_ prefix: String, _ row: Row) -> SessionSums {
    var sums = SessionSums()
    sums.inputTokens = row["\(prefix)_input_tokens"]
    sums.cacheReadTokens = row["\(prefix)_cache_read_tokens"]
    sums.cacheWriteTokens = row["\(prefix)_cache_write_tokens"]
    sums.outputTokens = row["\(prefix)_output_tokens"]
    sums.costMicrodollars = row["\(prefix)_cost_microusd"]
    return sums
  }

  /// A session and its messages of the states wanted, in the order they are read.
  static func transcript(_ key: Int64, states: Set<MessageState>, _ db: Database) throws -> SessionTranscript
  {
    var transcript = SessionTranscript(session: try session(key, db))
    let rows = try Row.fetchCursor(
      db,
      sql: """
        SELECT * FROM message WHERE session = ?
        ORDER BY coalesce(placed_after, seq), placed_after IS NOT NULL, seq
        """, arguments: [key])
    while let row = try rows.next() {
      do {
        let message = try message(row)
        if states.contains(message.state) { transcript.messages.append(message) }
      } catch {
        transcript.faults.append(RowFault(table: "message", row: row["uid"], reason: error.message))
      }
    }
    return transcript
  }

  /// A piece of a session's messages, with the places around it.
  static func page(_ key: Int64, _ page: TranscriptPage, _ db: Database) throws -> SessionTranscript {
    var transcript = SessionTranscript(session: try session(key, db))
    let piece = try messages(key, page, db)
    (transcript.messages, transcript.faults) = (piece.messages, piece.faults)
    (transcript.previous, transcript.next) = (piece.previous, piece.next)
    return transcript
  }

  /// Messages in the order they are read, from one place on, forwards or backwards.
  ///
  /// - Returns: the messages, and where those before and behind them end and begin; nil where there are none.
  static func messages(_ key: Int64, _ page: TranscriptPage, _ db: Database) throws -> (
    messages: [MessageRecord], faults: [RowFault], previous: MessagePlace?, next: MessagePlace?
  ) {
    let place: MessagePlace
    var isBackwards = false
    switch page.place {
    case .start: place = .start
    case .after(let after): place = after
    case .from(let seq): place = MessagePlace(after: seq - 1, isPlaced: true, seq: .max)
    case .end: (place, isBackwards) = (.end, true)
    case .before(let before): (place, isBackwards) = (before, true)
    }
    func rows(_ compared: String, _ order: String, from place: MessagePlace, limit: Int) throws -> RowCursor {
      // Sorted by their numbers alone: contents may be long.
      try Row.fetchCursor(
        db,
        sql: """
          SELECT message.* FROM message JOIN (
            SELECT id AS picked FROM message WHERE session = ?1
              AND (coalesce(placed_after, seq), placed_after IS NOT NULL, seq) \(compared) (?2, ?3, ?4)
              AND state NOT IN (SELECT value FROM json_each(?5))
            ORDER BY coalesce(placed_after, seq) \(order), placed_after IS NOT NULL \(order), seq \(order) LIMIT ?6
          ) ON id = picked
          ORDER BY coalesce(placed_after, seq) \(order), placed_after IS NOT NULL \(order), seq \(order)
          """,
        arguments: [
          key, place.after, place.isPlaced, place.seq,
          JSONValue.array(
            MessageState.allCases.filter { !page.states.contains($0) }.map { .string($0.rawValue) }
          ).json, limit,
        ])
    }
    var messages: [MessageRecord] = []
    var faults: [RowFault] = []
    var (first, last): (MessagePlace?, MessagePlace?)
    var isMore = false
    var bytes = 0
    let found = try rows(
      isBackwards ? "<" : ">", isBackwards ? "DESC" : "ASC", from: place, limit: page.limit + 1)
    var count = 0
    while let row = try found.next() {
      guard count < page.limit, bytes < page.maximumBytes || count == 0 else {
        isMore = true
        break
      }
      count += 1
      let after: Int64? = row["placed_after"]
      let seq: Int64 = row["seq"]
      last = MessagePlace(after: after ?? seq, isPlaced: after != nil, seq: seq)
      first = first ?? last
      bytes += (row["content"] as String).utf8.count + ((row["tool_calls"] as String?)?.utf8.count ?? 0)
      do {
        messages.append(try message(row))
      } catch {
        faults.append(RowFault(table: "message", row: row["uid"], reason: error.message))
      }
    }
    // Whether there are any on the side it came from.
    var isBehind = false
    if let first, page.place != .start, page.place != .end {
      isBehind =
        try rows(isBackwards ? ">" : "<", isBackwards ? "ASC" : "DESC", from: first, limit: 1).next() != nil
    }
    if isBackwards {
      messages.reverse()
      return (messages, faults, isMore ? last : nil, isBehind ? first : nil)
    }
    return (messages, faults, isBehind ? first : nil, isMore ? last : nil)
  }

  private static func message(_ row: Row) throws(SessionError) -> MessageRecord {
    guard let state = MessageState(rawValue: row["state"]) else {
      throw SessionError(.unreadable, "Its state, “\(row["state"] as String)”, is none this version knows.")
    }
    let content: String = row["content"]
    let isJSON = row["content_kind"] as String == "json"
    var message = NewMessage(
      uid: row["uid"], role: row["role"],
      content: isJSON ? .json(try JSONValue(json: content)) : .text(content))
    let calls: String? = row["tool_calls"]
    if let calls { message.toolCalls = try JSONValue(json: calls) }
    message.toolCallID = row["tool_call_id"]
    message.model = row["model"]
    message.finishReason = row["finish_reason"]
    message.time = SessionTime.text(row["time_ms"])
    message.inputTokens = row["input_tokens"]
    message.cacheReadTokens = row["cache_read_tokens"]
    message.cacheWriteTokens = row["cache_write_tokens"]
    message.outputTokens = row["output_tokens"]
    message.costMicrodollars = row["cost_microusd"]
    return MessageRecord(
      seq: row["seq"], state: state, synthetic: row["synthetic"], streaming: row["streaming"],
      message: message)
  }
}
