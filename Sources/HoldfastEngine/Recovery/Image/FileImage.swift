// SPDX-License-Identifier: Apache-2.0

/// The committed state of a set of files, as SQLite would see it after recovery: computed, with nothing
/// written.
///
/// The database's pages, with the original pages of a hot rollback journal laid back, overlaid by the
/// committed frames of a -wal. Only where pages lie is kept in memory (eight bytes a page of the journal and
/// the -wal); pages are read when asked for. A first page whose header SQLite would refuse is mended in
/// memory as far as the rest of the files tells, and ``repairs`` says how.
///
/// Nobody may be writing the files: an image takes no lock. ``isCurrent`` tells afterwards whether somebody
/// did. The descriptors are handled so that no lock of this process is dropped (``ImageFile``).
package final class FileImage: PageSource {
  /// Where pages came from, other than the database itself.
  package struct Changes: Hashable, Sendable {
    /// Pages whose newest committed state is in the -wal, ascending.
    package var fromWAL: [UInt32] = []
    /// Pages whose state before the interrupted transaction is in the journal, ascending.
    package var fromJournal: [UInt32] = []
    /// Frames up to the last commit of the -wal.
    package var committedFrames = 0
    /// Whether the journal was found hot and undone.
    package var isRolledBack = false
  }

  /// The database's path as given.
  package let path: String
  package let pageSize: Int
  /// From the last commit in the -wal, else from the journal, else from the file's size; a last page that is
  /// not whole counts and is padded with zeros.
  package let pageCount: UInt32
  /// What the (mended) header fixes.
  package let layout: PageLayout
  /// What had to be made up, a sentence each; empty when the image is exactly what SQLite would recover.
  package let repairs: [String]
  /// Whether page 1's header was mended or rebuilt, beyond noting the right number of pages.
  package let isHeaderRebuilt: Bool
  package let changes: Changes

  private let database: ImageFile
  private let frames: CommittedFrames?
  private let journal: JournaledPages?
  private let firstPage: [UInt8]

  /// Reads the files' headers, checks every frame and journal record once, and mends page 1 if it must.
  /// Blocks.
  ///
  /// - Parameters:
  ///   - path: the database.
  ///   - wal: its -wal; nil, an absent or empty file and one without a valid header are the same.
  ///   - journal: its rollback journal; likewise, and one that is not hot counts for nothing. The caller has
  ///     made sure that its writer is dead.
  ///   - descriptor: the database's, kept open by the caller for longer than the image lives; nil to open it
  ///     here.
  /// - Throws: ``StoreError`` with code `permission`, `cannotOpen` or `io`; never for what the files hold.
  package init(
    path: String, wal: String? = nil, journal: String? = nil, through descriptor: Int32? = nil
  ) throws(StoreError) {
    let database = try ImageFile(path, through: descriptor)
    let start = try database.bytes(at: 0, count: 100)
    let ownLayout = PageLayout(header: start)
    var notes: [String] = []

    var rollback: JournaledPages?
    if let journal, let size = fileSize(journal), size > 0 {
      rollback = try JournaledPages(try ImageFile(journal), databasePageSize: ownLayout?.pageSize)
      // SQLite removes a journal beside an empty database unplayed.
      if database.size == 0 { rollback = nil }
    }
    var frames: CommittedFrames?
    if let wal, let size = fileSize(wal), size > 0 { frames = try CommittedFrames(try ImageFile(wal)) }
    let baseSize = rollback?.pageSize ?? ownLayout?.pageSize
    if let found = frames, found.count > 0, let baseSize, baseSize != found.pageSize, found.overlay[1] == nil
    {
      notes.append(
        """
        The -wal has pages of \(found.pageSize) bytes and the database of \(baseSize), so it is another \
        database's and was left out.
        """)
      frames = nil
    }

    let committed = frames.flatMap { $0.count > 0 ? $0 : nil }
    let known = committed?.pageSize ?? rollback?.pageSize
    let guess = PageSizeGuess(file: database, header: start)
    let pageSize: Int
    if let size = known ?? ownLayout?.pageSize ?? frames?.pageSize {
      pageSize = size
    } else {
      pageSize = try guess.pageSize(notes: &notes)
    }
    self.path = path
    self.pageSize = pageSize
    self.database = database
    self.frames = frames
    self.journal = rollback
    changes = Changes(
      fromWAL: committed?.overlay.pages ?? [], fromJournal: rollback?.overlay.pages ?? [],
      committedFrames: frames?.count ?? 0, isRolledBack: rollback != nil)

    let filePages = UInt32(clamping: (database.size + Int64(pageSize) - 1) / Int64(pageSize))
    let noted = committed?.pageCount ?? rollback?.initialPages ?? filePages
    let highest = max(filePages, committed?.overlay.highestPage ?? 0, rollback?.overlay.highestPage ?? 0)
    // A transaction may end on pages that were never written, but not on more than it could have had.
    let most = UInt32(clamping: Int64(highest) * 2 + 1024)
    pageCount = min(noted, most)
    if noted > most {
      notes.append("The journal notes \(noted) pages, far more than there ever were: \(most) were assumed.")
    }

    let reader = RawPages(
      database: database, frames: frames, journal: rollback, pageSize: pageSize, pageCount: pageCount)
    let mended = try FirstPage.mended(reader, guess: guess, notes: &notes)
    (firstPage, layout, isHeaderRebuilt) = (mended.bytes, mended.layout, mended.isRebuilt)
    repairs = notes
  }

  private var pages: RawPages {
    RawPages(database: database, frames: frames, journal: journal, pageSize: pageSize, pageCount: pageCount)
  }

  package func page(_ number: UInt32) throws -> [UInt8]? {
    guard number != 1 else { return pageCount > 0 ? firstPage : nil }
    return try pages.page(number)
  }

  /// Whether the database has not been written to or replaced since the image was made.
  package var isCurrent: Bool {
    database.isUnchanged && frames?.file.isUnchanged ?? true && journal?.file.isUnchanged ?? true
  }

  /// Bytes of the whole image.
  var byteCount: Int64 { Int64(pageCount) * Int64(pageSize) }

  /// The bytes SQLite gets to see: page 1 asks for a rollback journal, so that no -wal is looked for.
  func readPresented(into buffer: UnsafeMutableRawBufferPointer, at offset: Int64) throws(StoreError) {
    var done = 0
    while done < buffer.count {
      let at = offset + Int64(done)
      let number = UInt32(clamping: at / Int64(pageSize) + 1)
      let within = Int(at % Int64(pageSize))
      let length = min(pageSize - within, buffer.count - done)
      let part = unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[done..<(done + length)])
      if number == 1 {
        unsafe part.copyBytes(from: presentedFirstPage[within..<(within + length)])
      } else {
        try unsafe pages.read(number, from: within, into: part)
      }
      done += length
    }
  }

  /// Page 1 with the read and write version of a rollback-mode database.
  private var presentedFirstPage: [UInt8] {
    var page = firstPage
    page[18] = 1
    page[19] = 1
    return page
  }
}

/// The pages as the files have them, before page 1 is mended.
struct RawPages: PageSource {
  let database: ImageFile
  let frames: CommittedFrames?
  let journal: JournaledPages?
  let pageSize: Int
  let pageCount: UInt32

  func page(_ number: UInt32) throws(StoreError) -> [UInt8]? {
    guard number >= 1, number <= pageCount else { return nil }
    var bytes = [UInt8](repeating: 0, count: pageSize)
    let outcome = unsafe bytes.withUnsafeMutableBytes { buffer in
      Result { () throws(StoreError) in try unsafe read(number, from: 0, into: buffer) }
    }
    try outcome.get()
    return bytes
  }

  /// Part of a page; what no file holds is zeros.
  func read(
    _ number: UInt32, from start: Int, into buffer: UnsafeMutableRawBufferPointer
  ) throws(StoreError) {
    let file: ImageFile
    let offset: Int64
    if let frames, let frame = frames.overlay[number] {
      file = frames.file
      offset = frames.offset(ofFrame: frame) + Int64(CommittedFrames.frameHeaderSize)
    } else if let journal, let place = journal.overlay[number] {
      file = journal.file
      offset = journal.offset(ofPlace: place)
    } else if let journal, number > journal.initialPages {
      // Cut off by the rollback.
      unsafe buffer.initializeMemory(as: UInt8.self, repeating: 0)
      return
    } else {
      file = database
      offset = Int64(number - 1) * Int64(pageSize)
    }
    let got = try unsafe file.read(into: buffer, at: offset + Int64(start))
    if got < buffer.count {
      unsafe UnsafeMutableRawBufferPointer(rebasing: buffer[got...]).initializeMemory(
        as: UInt8.self, repeating: 0)
    }
  }
}
