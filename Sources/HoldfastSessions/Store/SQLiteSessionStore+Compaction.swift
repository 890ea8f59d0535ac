// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

extension SQLiteSessionStore {
  /// Lets a summary stand for the live messages up to `seq`; they stay, as `compacted`.
  ///
  /// The summary is read where they were. Sending the same one again, by its uid, changes nothing.
  @discardableResult
  public func compact(
    _ id: String, upTo seq: Int64, summary: NewMessage
  ) async throws -> MessageAcknowledgement {
    let (prepared, repaired) = try summary.storable()
    return try await write { db in
      let key = try SessionWriter.resolve(id, db)
      var made = try MessageWriter.append(prepared, to: key, after: seq, db)
      if !repaired.isEmpty { made.repaired = repaired }
      guard made.duplicate != true else { return made }
      try db.execute(
        sql: """
          UPDATE message SET state = 'compacted'
          WHERE session = ? AND state = 'live' AND coalesce(placed_after, seq) <= ? AND seq <> ?
          """, arguments: [key, seq, made.seq])
      return made
    }
  }

  /// Makes the session that goes on where `id` was compacted: its first message is the summary, and `id` ends.
  ///
  /// Asked again for the same new id it changes nothing.
  @discardableResult
  public func continuation(
    of id: String, summary: NewMessage, as new: NewSession
  ) async throws -> SessionAcknowledgement {
    let (prepared, mended) = try summary.storable()
    var (new, repaired) = new.storable()
    repaired += mended.map { "summary." + $0 }
    let name = new.id ?? Self.mintedID()
    new.id = name
    (new.parent, new.edge) = (nil, nil)
    return try await write { [new, repaired] db in
      let origin = try SessionWriter.resolve(id, db)
      guard try SessionWriter.key(of: name, db) == nil else {
        return SessionAcknowledgement(id: name, created: false)
      }
      _ = try SessionWriter.create(new, id: name, db)
      let key = try SessionWriter.keyMaking(name, db)
      // What it does not say itself it takes over.
      try db.execute(
        sql: """
          UPDATE session SET (source, model, cwd, git_branch) = (
            SELECT coalesce(session.source, o.source), coalesce(session.model, o.model),
              coalesce(session.cwd, o.cwd), coalesce(session.git_branch, o.git_branch)
            FROM session AS o WHERE o.key = ?1)
          WHERE key = ?2
          """, arguments: [origin, key])
      try SessionWriter.link(key, to: origin, as: .continuation, db)
      _ = try MessageWriter.append(prepared, to: key, db)
      try db.execute(
        sql: "UPDATE session SET ended_ms = ?, ended_reason = 'continued' WHERE key = ? AND ended_ms IS NULL",
        arguments: [SessionTime.now(), origin])
      return SessionAcknowledgement(id: name, created: true, repaired: repaired.isEmpty ? nil : repaired)
    }
  }
}
