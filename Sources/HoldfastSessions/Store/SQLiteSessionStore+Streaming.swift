// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

extension SQLiteSessionStore {
  /// Begins a message that is written while it is being said; makes the session when it is missing.
  ///
  /// - Parameter message: what is known at the beginning; a text, which pieces are added to.
  /// - Throws: ``SessionError`` `invalid` when its content is no text or there is a message with its uid.
  public func appendStreaming(_ message: NewMessage, to session: String) async throws -> any MessageStream {
    guard case .text(let beginning) = message.content else {
      throw SessionError(.invalid, "A message that is streamed has a text; append one of parts as a whole.")
    }
    let (prepared, _) = try MessageWriter.prepare(message)
    let made = try await write { db in
      let key = try SessionWriter.keyMaking(session, db)
      let made = try MessageWriter.append(prepared, to: key, db)
      guard made.duplicate != true, made.wantedUID == nil else {
        throw SessionError(.invalid, "There is a message with the uid “\(prepared.uid ?? "")” already.")
      }
      try db.execute(
        sql: "UPDATE message SET streaming = 1 WHERE session = ? AND uid = ?", arguments: [key, made.uid])
      return made
    }
    let written = (TextRepair.withoutNUL(beginning) ?? beginning).utf8.count
    return SQLiteMessageStream(self, session: session, made, written: written)
  }

  /// Adds a piece to a message that is streamed, behind its first `length` bytes.
  func extend(_ uid: String, of session: String, from length: Int, with piece: String) async throws {
    try await write { db in try Self.extend(uid, session, length, piece, db) }
  }

  /// A piece that is there already changes nothing: a commit may have been told as failed and be there.
  private static func extend(
    _ uid: String, _ session: String, _ length: Int, _ piece: String, _ db: Database
  ) throws {
    let state = try Row.fetchOne(
      db.cachedStatement(
        sql: """
          SELECT id, streaming, length(CAST(content AS BLOB)) FROM message
          WHERE session = (SELECT key FROM session WHERE id = ?) AND uid = ?
          """), arguments: [session, uid])
    guard let state, state[1] as Bool else {
      throw SessionError(.notFound, "The message “\(uid)” is gone, or was ended already.")
    }
    let now: Int = state[2]
    if now == length + piece.utf8.count { return }
    guard now == length else {
      throw SessionError(.invalid, "The message “\(uid)” was changed by another while it was streamed.")
    }
    try db.cachedStatement(sql: "UPDATE message SET content = content || ? WHERE id = ?")
      .execute(arguments: [piece, state[0] as Int64])
  }

  /// Ends a message that is streamed.
  func finishStreaming(
    _ uid: String, of session: String, from length: Int, adding piece: String, _ end: NewMessage?
  ) async throws {
    let end = try end.map { try MessageWriter.prepare($0).0 }
    try await write { db in
      try Self.extend(uid, session, length, piece, db)
      var content: String?
      var kind: String?
      switch end?.content {
      case .text(let text) where !text.isEmpty: (content, kind) = (text, "text")
      case .json(let value): (content, kind) = (value.json, "json")
      default: break
      }
      try db.execute(
        sql: """
          UPDATE message SET streaming = 0, content = coalesce(?, content),
            content_kind = coalesce(?, content_kind), tool_calls = coalesce(?, tool_calls),
            model = coalesce(?, model), finish_reason = coalesce(?, finish_reason),
            input_tokens = ?, cache_read_tokens = ?, cache_write_tokens = ?, output_tokens = ?,
            cost_microusd = ?
          WHERE session = (SELECT key FROM session WHERE id = ?) AND uid = ?
          """,
        arguments: [
          content, kind, end?.toolCalls?.json, end?.model, end?.finishReason, end?.inputTokens,
          end?.cacheReadTokens, end?.cacheWriteTokens, end?.outputTokens, end?.costMicrodollars, session, uid,
        ])
    }
  }
}
