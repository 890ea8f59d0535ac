// SPDX-License-Identifier: Apache-2.0

/// The header of a rollback journal, as read; nothing here decides whether the journal is hot.
///
/// Source: <https://www.sqlite.org/fileformat.html#the_rollback_journal>.
package struct JournalHeader: Hashable, Sendable {
  /// Pages that follow; -1 for all to the end of the file, 0 when nothing was synced yet.
  package var pageCount: Int32
  /// What the pages' checksums begin with.
  package var nonce: UInt32
  /// The database's size in pages when the transaction began.
  package var initialPages: UInt32
  /// The size of a sector, to which the header is padded.
  package var sectorSize: UInt32
  /// The size of a page.
  package var pageSize: UInt32

  /// Reads the first 28 bytes; nil when there are fewer or the magic is wrong.
  package init?(bytes: [UInt8]) {
    guard bytes.count >= 28, bytes[..<8] == [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7] else {
      return nil
    }
    func word(_ at: Int) -> UInt32 { bytes[at..<(at + 4)].reduce(0) { $0 << 8 | UInt32($1) } }
    pageCount = Int32(bitPattern: word(8))
    nonce = word(12)
    initialPages = word(16)
    sectorSize = word(20)
    pageSize = word(24)
  }
}
