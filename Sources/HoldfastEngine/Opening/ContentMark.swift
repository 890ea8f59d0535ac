// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What a database in WAL mode last said of itself, to notice that it was overwritten in place (row B03).
///
/// `cp` onto it, `>` and a restore by hand keep the inode, so identity does not tell; the next checkpoint
/// would lay frames of the old contents over the new. But in WAL mode the header in the file is only ever
/// replaced by a checkpoint, with a later one of the same database: the page size stays, the change counter
/// (<https://www.sqlite.org/fileformat.html#file_change_counter>) never goes back, and while it stands still,
/// as it does for as long as one connection writes alone, pages only become more unless somebody vacuums.
/// A copy that is ahead in all of this is not told apart: this is a net under those who copy by hand, not a
/// promise to them.
struct ContentMark: Equatable {
  private var header: [UInt8]
  private var size: Int64

  /// What the file says now, read through a descriptor that stays open.
  init(descriptor: Int32) {
    self.init(header: DatabaseHeader.bytes(of: descriptor), size: fileSize(of: descriptor) ?? 0)
  }

  init(header: [UInt8], size: Int64) {
    self.header = header
    self.size = size
  }

  /// Whether a file with this mark may have come to say `later` by what SQLite does to it.
  func mayBecome(_ later: ContentMark) -> Bool {
    // A new database may live in its -wal alone until the first checkpoint.
    guard DatabaseHeader(bytes: header) == .wal else { return true }
    guard DatabaseHeader(bytes: later.header) == .wal, header[16...17] == later.header[16...17] else {
      return false
    }
    if header == later.header { return later.size >= size }
    // The counter wraps around at 32 bits.
    let progress = Int32(bitPattern: later.changeCounter &- changeCounter)
    guard progress == 0 else { return progress > 0 }
    // VACUUM steps the schema cookie; an auto-vacuum database has a largest root page.
    let cookies = Int32(bitPattern: later.word(at: 40) &- word(at: 40))
    guard cookies == 0, word(at: 52) == 0 else { return cookies >= 0 }
    return later.word(at: 28) >= word(at: 28)
  }

  /// Whether this is a database in WAL mode with all the pages its header counts: a copy that is finished.
  var isWhole: Bool {
    guard DatabaseHeader(bytes: header) == .wal else { return false }
    // 1 stands for 65,536, which does not fit.
    let noted = Int64(header[16]) << 8 | Int64(header[17])
    return size >= Int64(word(at: 28)) * (noted == 1 ? 65_536 : noted)
  }

  private var changeCounter: UInt32 { word(at: 24) }

  private func word(at offset: Int) -> UInt32 {
    header[offset..<(offset + 4)].reduce(0) { $0 << 8 | UInt32($1) }
  }
}
