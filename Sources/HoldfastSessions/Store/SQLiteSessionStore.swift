// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
public import HoldfastEngine

/// The session store of a home: `sessions.db`, and `spool/` for what is accepted to land later.
///
/// Any number of processes may have it open at once, and other programs may read and write the file (its schema
/// is in docs/schema.md).
///
/// ```swift
/// let store = try await SQLiteSessionStore.open(home: "/home/me/.holdfast")
/// try await store.append(NewMessage(role: "user", "Hello"), to: "session-1")
/// let transcript = try await store.resume("session-1")
/// await store.close()
/// ```
public final class SQLiteSessionStore: SessionStore {
  private let home: String
  private let spool: Spool
  private let opening: StoreFile
  private let made = ContinuousClock.now

  /// Opens the store of a home; returns at once, the database is opened in the background and tried again for as
  /// long as it takes. Calls that need it wait, with the configuration's patience.
  ///
  /// - Parameters:
  ///   - home: the directory of `sessions.db` and `spool/`; made with mode 0700 when it is missing.
  ///   - configuration: how the database is opened.
  ///   - spoolBytes: the most that may wait to land, in bytes. A message must fit into a sixteenth of it.
  /// - Throws: `StoreError` when the home or its spool cannot be made.
  public static func open(
    home: String, configuration: StateFileConfiguration = .init(), spoolBytes: Int = 64 << 20
  ) async throws -> SQLiteSessionStore {
    try StoreFile.makeHome(home)
    let segment = max(spoolBytes / 16 / 4096 * 4096, 16 << 10)
    let spool = try Spool.open(
      .init(directory: home + "/spool", stream: "sessions", capacity: spoolBytes, segmentBytes: segment))
    let opening = StoreFile(
      "session store", at: home + "/sessions.db", configuration: configuration,
      migrations: SessionSchema.migrations, spool: (spool, MessageWriter.land))
    await opening.keepTrying()
    return SQLiteSessionStore(home: home, spool: spool, opening: opening)
  }

  private init(home: String, spool: Spool, opening: StoreFile) {
    (self.home, self.spool, self.opening) = (home, spool, opening)
  }

  /// A search over the store's messages, with its index in `search.db` beside them; nothing is opened yet.
  public func makeSearch() -> MessageSearch {
    MessageSearch(index: home + "/search.db", feed: SessionFeed { try await self.file() })
  }

  /// The database, once it is open.
  func file() async throws -> StateFile { try await opening.file() }

  /// An id for a session that was given none.
  static func mintedID() -> String { UUID().uuidString.lowercased() }

  func write<T: Sendable>(_ body: @escaping @Sendable (Database) throws -> T) async throws -> T {
    try await file().write(body)
  }

  /// Makes a session, or fills in what one that is there lacks.
  @discardableResult
  public func create(_ session: NewSession) async throws -> SessionAcknowledgement {
    let (new, repaired) = session.storable()
    let id = new.id ?? Self.mintedID()
    let created = try await write { db in try SessionWriter.create(new, id: id, db) }
    return SessionAcknowledgement(id: id, created: created, repaired: repaired.isEmpty ? nil : repaired)
  }

  /// Appends messages in one atomic, durable step.
  @discardableResult
  public func append(_ messages: [NewMessage], to session: String) async throws -> [MessageAcknowledgement] {
    let prepared = try messages.map { try $0.storable() }
    return try await write { db in
      let key = try SessionWriter.keyMaking(session, db)
      return try prepared.map { message, repaired in
        var acknowledgement = try MessageWriter.append(message, to: key, db)
        if !repaired.isEmpty { acknowledgement.repaired = repaired }
        return acknowledgement
      }
    }
  }

  /// Takes a message at memory speed, to land exactly once.
  @discardableResult
  public func accept(
    _ message: NewMessage, for session: String, making new: NewSession?
  ) throws -> MessageAcknowledgement {
    let (prepared, repaired) = try message.storable()
    try NewSession.check(id: session)
    let record = try JSONEncoder().encode(
      MessageWriter.Accepted(session: session, new: new.map { $0.storable().session }, message: prepared))
    do {
      try spool.append(Array(record))
    } catch {
      throw SessionError(
        error.code == .closed ? .closed : .spoolRefused, "The message was not accepted: \(error.message)",
        underlying: error)
    }
    return MessageAcknowledgement(
      uid: prepared.uid ?? "", seq: 0, repaired: repaired.isEmpty ? nil : repaired)
  }

  /// Waits until what was accepted before the call is settled; the database must be open for it.
  public func flush(within: Duration?) async throws {
    _ = try await file()
    try await spool.flush(within: within, includingLeftovers: true)
  }

  /// The one session whose id is `id` or begins with it.
  public func session(_ id: String) async throws -> SessionRecord {
    try await file().read { db in try SessionReader.session(SessionWriter.resolve(id, db), db) }
  }

  /// The sessions that pass a filter.
  public func list(_ filter: SessionFilter) async throws -> SessionList {
    try await file().read { db in try SessionReader.list(filter, db) }
  }

  /// The messages of a session in their order.
  public func transcript(of id: String, states: Set<MessageState>) async throws -> SessionTranscript {
    try await file().read { db in
      try SessionReader.transcript(SessionWriter.resolve(id, db), states: states, db)
    }
  }

  /// A piece of a session's messages, in their order.
  public func page(of id: String, _ page: TranscriptPage) async throws -> SessionTranscript {
    try await file().read { db in try SessionReader.page(SessionWriter.resolve(id, db), page, db) }
  }

  /// A session and all that came from it.
  public func tree(of id: String, limit: Int) async throws -> SessionTree {
    try await file().read { db in
      try SessionReader.tree(SessionWriter.resolve(id, db), limit: max(limit, 0), db)
    }
  }

  /// The live messages, with every open tool call closed for good.
  public func resume(_ id: String) async throws -> SessionTranscript {
    let transcript = try await transcript(of: id, states: [.live])
    guard !DanglingCalls.results(for: transcript.messages).isEmpty else { return transcript }
    // Looked at once more where nobody else writes: another process may have repaired it, or the tool answered.
    return try await write { db in
      let key = try SessionWriter.resolve(id, db)
      let messages = try SessionReader.transcript(key, states: [.live], db).messages
      for (place, result) in DanglingCalls.results(for: messages) {
        _ = try MessageWriter.append(result, to: key, after: place, synthetic: true, db)
      }
      return try SessionReader.transcript(key, states: [.live], db)
    }
  }

  /// A copy of the live messages that goes its own way.
  public func fork(_ id: String, upTo seq: Int64?, as new: NewSession) async throws -> SessionAcknowledgement
  {
    let (storable, repaired) = new.storable()
    var new = storable
    let name = new.id ?? Self.mintedID()
    (new.id, new.parent, new.edge) = (name, nil, nil)
    return try await write { [new] db in
      let origin = try SessionWriter.resolve(id, db)
      guard try SessionWriter.key(of: name, db) == nil else {
        // Asked again after an answer that was lost: what there is stays as it is.
        return SessionAcknowledgement(id: name, created: false)
      }
      _ = try SessionWriter.create(new, id: name, db)
      let key = try SessionWriter.keyMaking(name, db)
      try SessionWriter.link(key, to: origin, as: .fork, db)
      try db.execute(
        sql: """
          INSERT INTO message(session, seq, placed_after, uid, role, content, content_kind, tool_calls,
            tool_call_id, model, finish_reason, time_ms, synthetic, copied_from)
          SELECT ?, seq, placed_after, uid, role, content, content_kind, tool_calls, tool_call_id, model,
            finish_reason, time_ms, synthetic, id
          FROM message WHERE session = ? AND state = 'live' AND coalesce(placed_after, seq) <= ? ORDER BY seq
          """, arguments: [key, origin, seq ?? .max])
      return SessionAcknowledgement(id: name, created: true, repaired: repaired.isEmpty ? nil : repaired)
    }
  }

  /// Takes back the live messages after `seq`.
  @discardableResult
  public func rewind(_ id: String, after seq: Int64) async throws -> Int {
    try await write { db in
      let key = try SessionWriter.resolve(id, db)
      try db.execute(
        sql: """
          UPDATE message SET state = 'undone'
          WHERE session = ? AND coalesce(placed_after, seq) > ? AND state = 'live'
          """, arguments: [key, seq])
      return db.changesCount
    }
  }

  /// Gives a session a title of its own.
  @discardableResult
  public func rename(_ id: String, to title: String, from: TitleSource) async throws -> String {
    try await write { db in try SessionWriter.rename(SessionWriter.resolve(id, db), to: title, from: from, db)
    }
  }

  /// Marks a session as ended, once.
  public func end(_ id: String, reason: String, failed: Bool) async throws {
    let reason = TextRepair.withoutNUL(reason) ?? reason
    try await write { db in
      try db.execute(
        sql: """
          UPDATE session SET ended_ms = ?, ended_reason = ?, failed = ? WHERE key = ? AND ended_ms IS NULL
          """, arguments: [SessionTime.now(), reason, failed, SessionWriter.resolve(id, db)])
    }
  }

  /// Puts a session away, or back.
  public func archive(_ id: String, _ isArchived: Bool) async throws {
    try await write { db in
      try db.execute(
        sql: "UPDATE session SET archived = ? WHERE key = ?",
        arguments: [isArchived, SessionWriter.resolve(id, db)])
    }
  }

  /// Deletes a session with the sub-agents below it.
  @discardableResult
  public func delete(_ id: String) async throws -> Int {
    try await write { db in try SessionWriter.delete(SessionWriter.resolve(id, db), db) }
  }

  /// What the store holds and what it refused.
  public func status() async -> SessionStoreStatus {
    var status = SessionStoreStatus()
    let spooled = spool.status()
    status.depth = spooled.depth
    status.spool = spooled
    status.file = await opening.status
    status.fault = await opening.fault ?? spooled.lastError
    let isHeld: Bool
    if let file = status.file {
      let wait = spooled.oldest.map { UnixTime.now().milliseconds - $0.milliseconds } ?? 0
      isHeld = file.waitingWrites > 0 && wait >= 1000
    } else {
      isHeld = made.duration(to: .now) >= .seconds(1)
    }
    if isHeld {
      let path = status.file?.path ?? home + "/sessions.db"
      status.holders = LockTable.holders(ofDatabaseAt: path).filter { $0.pid != getpid() }
    }
    return status
  }

  /// Refuses further work, lands what it can, and lets go of its files.
  public func close() async { await opening.close() }
}
