// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastTestKit

/// What befalls a database file while nobody has it open.
enum StoreDamage: CaseIterable {
  /// Cut to nothing.
  case emptied
  /// Every byte NUL.
  case zeroed
  /// The first 100 bytes are anything.
  case headerOverwritten
  /// Half of its pages are gone, and the header is sound.
  case truncated
  /// The header is sound and the schema behind it is not.
  case schemaOverwritten
  /// No such file.
  case deleted

  /// Those after which nothing of the database can be read without its -wal.
  static let losses: [StoreDamage] = [.emptied, .zeroed, .headerOverwritten]

  func strike(_ path: String) throws {
    if self == .deleted { return try FileManager.default.removeItem(atPath: path) }
    let handle = try FileHandle(forUpdating: URL(fileURLWithPath: path))
    let size = try handle.seekToEnd()
    try handle.seek(toOffset: 0)
    switch self {
    case .emptied: try handle.truncate(atOffset: 0)
    case .zeroed: try handle.write(contentsOf: Data(count: Int(size)))
    case .headerOverwritten: try handle.write(contentsOf: Data(repeating: 0xa5, count: 100))
    case .truncated: try handle.truncate(atOffset: size / 8192 * 4096)
    case .schemaOverwritten:
      try handle.seek(toOffset: 100)
      try handle.write(contentsOf: Data(repeating: 0xa5, count: 3996))
    case .deleted: break
    }
    try handle.close()
  }
}

/// The bytes of a database and its sidecars, by name.
func storeSet(of database: String, in directory: String? = nil) throws -> [String: [UInt8]] {
  var found: [String: [UInt8]] = [:]
  let name = (database as NSString).lastPathComponent
  for suffix in ["", "-wal", "-shm", "-journal"] {
    let path = (directory ?? (database as NSString).deletingLastPathComponent) + "/" + name + suffix
    if FileManager.default.fileExists(atPath: path) { found[name + suffix] = try [UInt8](contentsOf: path) }
  }
  return found
}
