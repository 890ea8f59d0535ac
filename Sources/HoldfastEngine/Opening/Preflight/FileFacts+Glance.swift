// SPDX-License-Identifier: Apache-2.0

extension FileFacts {
  /// As much as tells a whole database, or a place where none ever was, from all else: the header and the sizes.
  ///
  /// For every opening, so the kernel's tables and the -wal are not read. What ``Preflight`` does not call healthy
  /// or fresh by these facts may still be so by all of them (``gather(_:through:scansWAL:)``); what it does, is.
  ///
  /// - Parameters:
  ///   - path: canonical.
  ///   - descriptor: one of the database, which stays open; nil when there is no database.
  static func glance(_ path: String, through descriptor: Int32?, marker: StoreMarker?) -> FileFacts {
    var facts = FileFacts(path: path)
    facts.marker = marker
    if let descriptor {
      facts.header = DatabaseHeader.bytes(of: descriptor)
      // After the header: a file that grew meanwhile is not one cut short.
      facts.database = fileSize(of: descriptor).map { Entry(size: $0) }
    }
    guard facts.database?.size ?? 0 == 0 else { return facts }
    // Nothing of the database: what is beside it says whether there ever was one.
    facts.wal = Entry(path: path + "-wal")
    facts.journal = Entry(path: path + "-journal")
    if facts.journal?.kind == .regular { facts.readJournal() }
    return facts
  }
}
