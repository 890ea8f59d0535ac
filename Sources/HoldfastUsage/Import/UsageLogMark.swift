// SPDX-License-Identifier: Apache-2.0

/// How far a program's log has been read: kept by the ledger, in the transaction that lands what was read.
public struct UsageLogMark: Sendable, Hashable {
  /// The file, absolute.
  public var path: String
  /// Whose it is.
  public var format: UsageLogFormat
  /// The device and the number of the file that was read: another file at the path is read from its beginning.
  public var device: Int64 = 0
  /// The file's number on its device.
  public var inode: Int64 = 0
  /// How often reading has begun at the beginning: the last beginning counts, however far another got.
  public var generation: Int64 = 0
  /// The first byte that was not read; it begins a line.
  public var offset: Int64 = 0
  /// The number of the line before ``offset``.
  public var line = 0
  /// A checksum of the bytes right before ``offset``: a file that was written anew has others there.
  public var tail: Int64 = 0
  /// How long the file was. With ``modified`` it tells that nobody has written to it since.
  public var size: Int64 = 0
  /// When the file was last written, in nanoseconds since 1970; 0 when reading was not at its end.
  public var modified: Int64 = 0
  /// How many requests were read from it.
  public var rows: Int64 = 0
  /// What the parser carries over to the next line, as JSON.
  public var state = ""

  /// A mark at the beginning of a file.
  public init(path: String, format: UsageLogFormat) { (self.path, self.format) = (path, format) }
}

/// A piece of a program's log: what was read, and how far that is.
public struct UsageLogPiece: Sendable, Hashable {
  /// Requests, each with a uid that is the same at every reading, a time, and the origin `log`.
  public var rows: [UsageRow]
  /// Where reading goes on; nil when nothing is to be remembered.
  public var mark: UsageLogMark?

  /// A piece.
  public init(rows: [UsageRow], mark: UsageLogMark?) { (self.rows, self.mark) = (rows, mark) }
}

/// What landing pieces of logs came to.
public struct UsageLogLanding: Sendable, Hashable {
  /// What became of the rows.
  public var counts = UsageLogCounts()
  /// How long the ledger was held.
  public var held: Duration = .zero
  /// Marks of others who have read further, by path.
  public var ahead: [String: UsageLogMark] = [:]

  /// Nothing yet.
  public init() {}
}

/// What became of rows from logs.
public struct UsageLogCounts: Sendable, Hashable {
  /// Requests the ledger did not have.
  public var new = 0
  /// Requests it had, of which something more is known now.
  public var merged = 0
  /// Requests it had, just so.
  public var unchanged = 0
  /// Requests older than the ledger keeps rows, of which nobody can say any more whether they are counted.
  public var expired = 0

  /// Nothing yet.
  public init() {}
}
