// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// A row of another program's table, whatever its columns hold: SQLite lets them hold anything, and versions of a
/// program differ in which there are.
struct ForeignRow {
  let row: Row

  init(_ row: Row) { self.row = row }

  private func value(_ column: String) -> DatabaseValue.Storage {
    row.hasColumn(column) ? (row[column] as DatabaseValue).storage : .null
  }

  /// A text; numbers as their digits, bytes as UTF-8 with U+FFFD where they are none.
  func text(_ column: String) -> String? {
    let text: String
    switch value(column) {
    case .null: return nil
    case .string(let string): text = string
    case .blob(let data): text = String(decoding: data, as: UTF8.self)
    case .int64(let number): text = String(number)
    case .double(let number): text = String(number)
    }
    return TextRepair.withoutNUL(text) ?? text
  }

  /// A text that is not empty.
  func words(_ column: String) -> String? { text(column).flatMap { $0.isEmpty ? nil : $0 } }

  /// The bytes of a text: of one with a NUL in it SQLite's drivers see only the beginning.
  func bytes(_ column: String) -> [UInt8]? {
    switch value(column) {
    case .blob(let data): Array(data)
    case .string(let text): Array(text.utf8)
    default: nil
    }
  }

  /// A number.
  func number(_ column: String) -> Double? {
    switch value(column) {
    case .int64(let number): Double(number)
    case .double(let number): number
    case .string(let text): Double(text)
    default: nil
    }
  }

  /// A whole number.
  func integer(_ column: String) -> Int64? {
    if case .int64(let number) = value(column) { return number }
    return number(column).flatMap { abs($0) < 9e15 ? Int64($0) : nil }
  }

  /// JSON; nil for what is none.
  func json(_ column: String) -> JSONTape? { text(column).flatMap { JSONTape($0) } }

  /// A count above zero.
  func count(_ column: String) -> Int64? { integer(column).flatMap { $0 > 0 ? $0 : nil } }
}

/// A program's database, read session by session and in each message by message.
///
/// What a program has is told by three things: its sessions from a row on, the messages of one of them from a row
/// on, and what both become.
final class ForeignTranscripts<Program: ForeignProgram>: TranscriptReading {
  private let tables: ForeignTables
  private var program: Program
  private var cursor = Cursor()

  /// Where reading is.
  struct Cursor {
    /// The rowid of the session read last.
    var session: Int64 = 0
    /// The session whose messages are being read.
    var current: Program.Session?
  }

  /// How many messages a piece has at most; as long as it takes to read them, a writer in rollback mode waits.
  private static var pieceLength: Int { 400 }

  /// - Throws: ``StoreError`` when the files cannot be looked at.
  init(_ path: String, _ program: Program) throws(StoreError) {
    tables = try ForeignTables(path)
    self.program = program
  }

  func read(into batch: inout TranscriptBatch) throws -> Bool {
    while !batch.isFull {
      // The piece may be read again, from the same place.
      let (start, program) = (cursor, self.program)
      let (piece, end, isLast) = try tables.read { db in
        var piece = TranscriptBatch()
        var cursor = start
        let isLast = try Self.piece(program, &cursor, &piece, db)
        return (piece, cursor, isLast)
      }
      cursor = end
      batch.items += piece.items
      batch.size += piece.size
      batch.skipped += piece.skipped
      batch.faults += piece.faults
      if isLast {
        batch.files += 1
        return false
      }
    }
    return true
  }

  private static func piece(
    _ program: Program, _ cursor: inout Cursor, _ piece: inout TranscriptBatch, _ db: Database
  ) throws -> Bool {
    while piece.items.count < pieceLength, !piece.isFull {
      if var session = cursor.current {
        let hasMore = try program.messages(of: &session, most: pieceLength, into: &piece, db)
        cursor.current = hasMore ? session : nil
        continue
      }
      guard
        let row = try Row.fetchOne(
          db.cachedStatement(
            sql:
              "SELECT rowid AS row_id, * FROM \(Program.sessionTable) WHERE rowid > ? ORDER BY rowid LIMIT 1"),
          arguments: [cursor.session])
      else { return true }
      cursor.session = row["row_id"]
      if let (session, state) = try program.session(ForeignRow(row), db) {
        piece.add(session)
        cursor.current = state
      } else {
        piece.faults.append(TranscriptFault("", "A session has no id, or one longer than an id can be."))
      }
    }
    return false
  }
}

/// How one program keeps its sessions and messages.
protocol ForeignProgram {
  /// What is needed to read a session's messages, and where that is.
  associatedtype Session

  static var sessionTable: String { get }

  /// A session; nil when it cannot be one.
  func session(_ row: ForeignRow, _ db: Database) throws -> (TranscriptSession, Session)?

  /// Adds the next messages of a session.
  /// - Returns: whether there are more.
  func messages(
    of session: inout Session, most: Int, into piece: inout TranscriptBatch, _ db: Database
  ) throws -> Bool
}
