// SPDX-License-Identifier: Apache-2.0

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// What a sound SQLite file was found to hold.
public struct BackupContents: Hashable, Sendable {
  /// The file's size, in bytes; for a live database that of all its pages.
  public var bytes: Int64
  /// Its pages.
  public var pageCount: Int64
  /// Rows by table; SQLite's own tables and virtual ones left out, but not what a virtual table stores.
  public var rows: [String: Int64]
}

/// What was made.
public struct BackupReport: Hashable, Sendable {
  /// The backup's path.
  public var path: String
  /// How often the copy was begun anew because somebody had committed; 0 for a source in WAL mode.
  public var restarts: Int
  /// What lies beside it.
  public var manifest: BackupManifest
}

/// What was put back.
public struct RestoreReport: Hashable, Sendable {
  /// The database's canonical path.
  public var path: String
  /// What is in it now.
  public var contents: BackupContents
  /// The directory with the files that were there before; nil where there were none.
  public var quarantine: String?
}

/// The description beside a backup, `NAME.json`: written only when the backup was found whole.
public struct BackupManifest: Hashable, Sendable {
  /// What is added to the backup's name for the manifest's.
  static let suffix = ".json"

  /// The backup's file name.
  public var name: String
  /// The database's file name, as in `usage.db`.
  public var database: String
  /// The database's canonical path at the time.
  public var source: String
  /// When the copy began, by the wall clock; to the millisecond in the file.
  public var time: UnixTime
  /// The database's size, in bytes; that of the backup too, unless it is compressed.
  public var bytes: Int64
  /// The size of the backup's file, in bytes.
  public var fileBytes: Int64
  /// SHA-256 of the backup's file, in hexadecimal; nil in manifests of before it was taken.
  public var sha256: String?
  /// How the backup is compressed: `gzip`; nil when it is not.
  public var compression: String?
  /// SHA-256 of what is in a compressed backup, in hexadecimal.
  public var contentSHA256: String?
  /// Its pages.
  public var pageCount: Int64
  /// Its rows by table.
  public var rows: [String: Int64]
  /// The SQLite version that made it.
  public var sqlite: String

  init(
    name: String, database: String, source: String, time: UnixTime, contents: BackupContents, sha256: String
  ) {
    self.name = name
    self.database = database
    self.source = source
    self.time = time
    bytes = contents.bytes
    fileBytes = contents.bytes
    self.sha256 = sha256
    pageCount = contents.pageCount
    rows = contents.rows
    sqlite = BackupSource.sqliteVersion
  }

  /// The manifest beside a backup; nil when there is none.
  ///
  /// - Throws: ``StoreError`` with code `damaged` when there is one that cannot be read as one.
  static func read(besideBackupAt path: String) throws(StoreError) -> BackupManifest? {
    guard let data = FileManager.default.contents(atPath: path + suffix) else { return nil }
    do {
      return try JSONDecoder().decode(BackupManifest.self, from: data)
    } catch {
      throw StoreError(
        .damaged,
        """
        \(path.fileName)\(suffix) is not a backup's manifest, so what should be in the backup is not known: use another \
        backup, or move the manifest away to have the file judged by itself.
        """, path: path, underlying: error)
    }
  }

  /// What is in the backup.
  public var contents: BackupContents { BackupContents(bytes: bytes, pageCount: pageCount, rows: rows) }

  func write(to path: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes, .prettyPrinted]
    try BackupDirectory.write([UInt8](encoder.encode(self)) + [0x0a], to: path)
  }

  /// - Throws: ``StoreError`` with code `damaged` where the file is not the one that was written.
  func compare(withFile sha256: String, path: String) throws(StoreError) {
    guard let expected = self.sha256, expected != sha256 else { return }
    throw StoreError(
      .damaged,
      """
      \(path.fileName) is not the file that was written (its SHA-256 is another), so it was changed or damaged after it \
      was made: use another backup.
      """, path: path)
  }

  /// - Throws: ``StoreError`` with code `damaged` where the file is not what was backed up.
  func compare(with contents: BackupContents, path: String) throws(StoreError) {
    guard contents.rows != rows || contents.pageCount != pageCount else { return }
    let table = Set(rows.keys).union(contents.rows.keys).sorted().first { rows[$0] != contents.rows[$0] }
    let what =
      table.map {
        "\(contents.rows[$0].map(String.init) ?? "no table with") rows of \($0) where its manifest has "
          + (rows[$0].map(String.init) ?? "no such table")
      } ?? "\(contents.pageCount) pages where its manifest has \(pageCount)"
    throw StoreError(
      .damaged,
      "\(path.fileName) has \(what), so it was changed after it was made: use another backup.", path: path)
  }
}

extension BackupManifest: Codable {
  private enum CodingKeys: String, CodingKey {
    case version, name, database, source, time, bytes, rows, sqlite, sha256, compression
    case fileBytes = "file_bytes"
    case contentSHA256 = "content_sha256"
    case timeInMilliseconds = "time_ms"
    case pageCount = "page_count"
  }

  /// Reads version 1.
  public init(from decoder: any Decoder) throws {
    let container = try decoder.container(keyedBy: CodingKeys.self)
    guard try container.decode(Int.self, forKey: .version) == 1 else {
      throw DecodingError.dataCorruptedError(
        forKey: .version, in: container, debugDescription: "a version this program does not know")
    }
    name = try container.decode(String.self, forKey: .name)
    database = try container.decode(String.self, forKey: .database)
    source = try container.decode(String.self, forKey: .source)
    let milliseconds = try container.decode(Int64.self, forKey: .timeInMilliseconds)
    let (nanoseconds, isTooLarge) = milliseconds.multipliedReportingOverflow(by: 1_000_000)
    guard !isTooLarge else {
      throw DecodingError.dataCorruptedError(
        forKey: .timeInMilliseconds, in: container, debugDescription: "no time of this age")
    }
    time = UnixTime(nanoseconds: nanoseconds)
    bytes = try container.decode(Int64.self, forKey: .bytes)
    fileBytes = try container.decodeIfPresent(Int64.self, forKey: .fileBytes) ?? bytes
    sha256 = try container.decodeIfPresent(String.self, forKey: .sha256)
    compression = try container.decodeIfPresent(String.self, forKey: .compression)
    contentSHA256 = try container.decodeIfPresent(String.self, forKey: .contentSHA256)
    guard compression == nil || compression == "gzip" else {
      throw DecodingError.dataCorruptedError(
        forKey: .compression, in: container, debugDescription: "a compression this program does not know")
    }
    pageCount = try container.decode(Int64.self, forKey: .pageCount)
    rows = try container.decode([String: Int64].self, forKey: .rows)
    sqlite = try container.decode(String.self, forKey: .sqlite)
  }

  /// Writes version 1; the time for people and in milliseconds since 1970 for programs.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.container(keyedBy: CodingKeys.self)
    try container.encode(1, forKey: .version)
    try container.encode(name, forKey: .name)
    try container.encode(database, forKey: .database)
    try container.encode(source, forKey: .source)
    try container.encode(time.description, forKey: .time)
    try container.encode(time.milliseconds, forKey: .timeInMilliseconds)
    try container.encode(bytes, forKey: .bytes)
    try container.encodeIfPresent(sha256, forKey: .sha256)
    if compression != nil {
      try container.encode(compression, forKey: .compression)
      try container.encode(fileBytes, forKey: .fileBytes)
      try container.encodeIfPresent(contentSHA256, forKey: .contentSHA256)
    }
    try container.encode(pageCount, forKey: .pageCount)
    try container.encode(rows, forKey: .rows)
    try container.encode(sqlite, forKey: .sqlite)
  }
}
