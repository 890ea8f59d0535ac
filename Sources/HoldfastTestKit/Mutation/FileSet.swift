// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A database with its sidecars, as bytes: what is mutated, laid down, and compared with afterwards.
public struct FileSet: Hashable, Sendable {
  /// The files SQLite keeps under one name.
  public enum Part: String, CaseIterable, Hashable, Sendable {
    /// The database itself.
    case database = ""
    /// The write-ahead log.
    case wal = "-wal"
    /// The index of the write-ahead log.
    case sharedMemory = "-shm"
    /// The rollback journal.
    case journal = "-journal"
  }

  /// The files that are there.
  public var files: [Part: [UInt8]]

  /// A set of these files.
  public init(files: [Part: [UInt8]] = [:]) { self.files = files }

  /// Reads the set at `path`. For files no connection of this process uses: closing drops locks (row B01).
  public init(at path: String) {
    files = [:]
    for part in Part.allCases {
      if let data = FileManager.default.contents(atPath: path + part.rawValue) { files[part] = Array(data) }
    }
  }

  /// Writes the set under `path`; parts it lacks are not removed.
  public func write(to path: String) throws {
    for (part, bytes) in files {
      try Data(bytes).write(to: URL(fileURLWithPath: path + part.rawValue))
    }
  }

  /// The page size the database's header states, or 4096 where it states none.
  public var pageSize: Int {
    guard let header = files[.database], header.count >= 18 else { return 4096 }
    let stated = Int(header[16]) << 8 | Int(header[17])
    if stated == 1 { return 65536 }
    return stated >= 512 && stated & (stated - 1) == 0 ? stated : 4096
  }
}
