// SPDX-License-Identifier: Apache-2.0

/// What was found by reading a database's contents.
struct ContentReport: Hashable, Sendable {
  /// How much was read.
  enum Extent: Hashable, Sendable {
    /// Every page, and whose each is.
    case everything
    /// Every table with its indexes, not the free pages: others use the file.
    case tables
    /// The schema, and the first and last row of every table.
    case ends
  }

  /// A table whose rows refer to rows that are not there.
  struct DanglingRows: Hashable, Sendable {
    var table: String
    var parent: String
    var rows: Int64
  }

  /// What a full-text index said of itself.
  struct SearchIndex: Hashable, Sendable {
    enum State: Hashable, Sendable {
      case sound
      /// Its own structure is damaged.
      case damaged
      /// It is whole and does not fit the table it was made from.
      case stale
      case notChecked(why: String)
    }

    var name: String
    var state: State
  }

  var extent = Extent.everything
  /// What is wrong with the file's structure, and with indexes.
  var problems: [IntegrityCheck.Finding] = []
  /// The indexes that are wrong, if nothing else is.
  var damagedIndexes: Set<String> = []
  /// Tables SQLite could not check here, and why: a collation or function only their own program has.
  var unchecked: [String: String] = [:]
  /// The names of the tables, virtual ones too.
  var tables: Set<String> = []
  var applicationID: UInt32 = 0
  var freePages: Int64 = 0
  var pageCount: Int64 = 0
  /// What the table of migrations says was applied; empty where there is none.
  var migrations: [String] = []
  /// Columns that refer to other tables and that no index begins with, as in `message(session)`.
  var unindexedForeignKeys: [String] = []
  /// Rows by table; nil when they were not counted.
  var rows: [Diagnosis.Table]?
  var dangling: [DanglingRows] = []
  var searchIndexes: [SearchIndex] = []

  /// Whether something other than indexes is wrong.
  var isDamaged: Bool { problems.contains { $0.kind != .index } }
  var isSound: Bool { problems.isEmpty && !searchIndexes.contains { $0.state == .damaged } }
}
