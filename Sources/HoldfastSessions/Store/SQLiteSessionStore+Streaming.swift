// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

extension SQLiteSessionStore {
  /// Begins a message that is written while it is being said; makes the session when it is missing.
  ///
  /// - Parameter message: what is known at the beginning; a text, which pieces are added to.
  /// - Throws: ``SessionError`` `invalid` when its content is no text or there is a message with its uid.
  public func appendStreaming(_ message: NewMessage, to session: String) async throws -> any MessageStream {
    try await appendStreaming(message, to: session, through: self, clock: ContinuousClock())
  }

  /// Begins a message whose pieces go through `sink`, gathered by `clock`.
  func appendStreaming(
    _ message: NewMessage, to session: String, through sink: any MessageStreamSink, clock: any Clock<Duration>
  ) async throws -> SQLiteMessageStream {
    guard case .text = message.content else {
      throw SessionError(.invalid, "A message that is streamed has a text; append one of parts as a whole.")
    }
    let (prepared, repaired) = try message.storable()
    var made = try await write { db in
      let key = try SessionWriter.keyMaking(session, db)
      let made = try MessageWriter.append(prepared, to: key, db)
      guard made.duplicate != true, made.wantedUID == nil else {
        throw SessionError(.invalid, "There is a message with the uid “\(prepared.uid ?? "")” already.")
      }
      try db.execute(
        sql: "UPDATE message SET streaming = 1 WHERE session = ? AND uid = ?", arguments: [key, made.uid])
      return made
    }
    made.repaired = repaired
    let written = MessageWriter.column(prepared.content).0.utf8.count
    return SQLiteMessageStream(sink, clock: clock, session: session, made, written: written)
  }
}

extension SQLiteSessionStore: MessageStreamSink {
  func extend(_ uid: String, of session: String, from length: Int, with piece: String) async throws {
    try await write { db in try Self.extend(uid, session, length, piece, db) }
  }

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
    let id: Int64 = state[0]
    var rest = piece
    // A commit may have been told as failed and be there.
    let there = state[2] as Int - length
    if there != 0 {
      let tail = try Data.fetchOne(
        db, sql: "SELECT substr(CAST(content AS BLOB), ?) FROM message WHERE id = ?",
        arguments: [length + 1, id])
      guard (1...max(piece.utf8.count, 1)).contains(there),
        let tail, tail.elementsEqual(piece.utf8.prefix(there))
      else {
        throw SessionError(.invalid, "The message “\(uid)” was changed by another while it was streamed.")
      }
      rest = String(decoding: piece.utf8.dropFirst(there), as: UTF8.self)
    }
    guard !rest.isEmpty else { return }
    try db.cachedStatement(sql: "UPDATE message SET content = content || ? WHERE id = ?")
      .execute(arguments: [rest, id])
  }

  func finishStreaming(
    _ uid: String, of session: String, from length: Int, adding piece: String, _ end: NewMessage?,
    mayBeEnded: Bool
  ) async throws {
    try await write { db in
      if mayBeEnded {
        let isEnded = try Bool.fetchOne(
          db,
          sql: """
            SELECT NOT streaming FROM message WHERE session = (SELECT key FROM session WHERE id = ?) AND uid = ?
            """, arguments: [session, uid])
        if isEnded == true { return }
      }
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
            input_tokens = coalesce(?, input_tokens), cache_read_tokens = coalesce(?, cache_read_tokens),
            cache_write_tokens = coalesce(?, cache_write_tokens),
            output_tokens = coalesce(?, output_tokens), cost_microusd = coalesce(?, cost_microusd)
          WHERE session = (SELECT key FROM session WHERE id = ?) AND uid = ?
          """,
        arguments: [
          content, kind, end?.toolCalls?.json, end?.model, end?.finishReason, end?.inputTokens,
          end?.cacheReadTokens, end?.cacheWriteTokens, end?.outputTokens, end?.costMicrodollars, session, uid,
        ])
    }
  }
}
