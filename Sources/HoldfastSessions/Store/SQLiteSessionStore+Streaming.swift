// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

extension SQLiteSessionStore {
  /// Begins a message that is written while it is being said; makes the session when it is missing.
  ///
  /// - Parameter message: what is known at the beginning; a text, which pieces are added to.
  /// - Throws: ``SessionError`` `invalid` when its content is no text or its uid is another message's.
  public func appendStreaming(_ message: NewMessage, to session: String) async throws -> MessageStream {
    guard case .text = message.content else {
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
    return MessageStream(self, session: session, made)
  }

  /// Adds a piece to a message that is streamed.
  func extend(_ uid: String, of session: String, with piece: String) async throws {
    try await write { db in try Self.extend(uid, session, piece, db) }
  }

  private static func extend(_ uid: String, _ session: String, _ piece: String, _ db: Database) throws {
    let statement = try db.cachedStatement(
      sql: """
        UPDATE message SET content = content || ?
        WHERE session = (SELECT key FROM session WHERE id = ?) AND uid = ? AND streaming = 1
        """)
    try statement.execute(arguments: [piece, session, uid])
    guard db.changesCount == 1 else {
      throw SessionError(.notFound, "The message “\(uid)” is gone, or was ended by another.")
    }
  }

  /// Ends a message that is streamed.
  func finishStreaming(
    _ uid: String, of session: String, adding piece: String, _ end: NewMessage?
  ) async throws {
    let end = try end.map { try MessageWriter.prepare($0).0 }
    try await write { db in
      try Self.extend(uid, session, piece, db)
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
