// SPDX-License-Identifier: Apache-2.0

import CHoldfast

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// One segment file that this process owns: mapped, and locked for as long as this object is open.
///
/// The owner is whoever holds a kernel lock (OFD, whole file) on it: the process that appends to it, later
/// the one that adopted it. The kernel drops the lock with its owner, however that dies.
///
/// `@unchecked Sendable`: every stored property is constant but `isOpen`, which only the one thread that ends
/// the segment's life touches (the drain's, or `open` before there is one). Who may store into the mapping is
/// the append state's business (its mutex); readers go by the release store of a record's word.
@safe final class SpoolSegment: @unchecked Sendable {
  let id: SegmentID
  let path: String
  let base: UnsafeMutableRawPointer
  let size: Int
  private let descriptor: Int32
  private var isOpen = true

  private init(id: SegmentID, path: String, descriptor: Int32, base: UnsafeMutableRawPointer, size: Int) {
    self.id = id
    self.path = path
    self.descriptor = descriptor
    unsafe self.base = unsafe base
    self.size = size
  }

  deinit { close() }

  /// When it was made, as its header says: a process fills its segments in the order it made them.
  var created: Int64 { unsafe base.load(fromByteOffset: SegmentFormat.createdOffset, as: Int64.self) }

  /// The segment's bytes up to `limit`, to be read while the segment is open.
  func reader(upTo limit: Int, ownerLives: Bool) -> SegmentReader {
    let bytes = unsafe UnsafeRawBufferPointer(start: base, count: min(limit, size))
    return unsafe SegmentReader(bytes, id: id, ownerLives: ownerLives)
  }

  /// Faults the pages from `offset` on in for writing.
  func populate(from offset: Int = 0) {
    let first = offset & ~0xffff
    if first < size { unsafe chf_populate(base + first, size - first) }
  }

  /// Whether the file is still where it was made: somebody may have removed or replaced it, or its directory.
  var isInPlace: Bool { isOpen && Self.names(path, descriptor) }

  /// Removes the file, then lets go of the lock: nobody can adopt it in between.
  func delete() {
    // Not what somebody else may have put in its place.
    if isInPlace { _ = unsafe unlink(path) }
    close()
  }

  /// Gives the file another name beside it, out of the way of every drain, and lets go of it.
  func setAside() {
    if isInPlace { _ = unsafe rename(path, path + ".damaged") }
    close()
  }

  /// Lets go of the file and leaves it for adoption.
  func close() {
    guard isOpen else { return }
    isOpen = false
    unsafe munmap(base, size)
    // Closing drops the lock with it: an OFD lock belongs to this descriptor alone.
    _ = systemClose(descriptor)
  }
}

// MARK: Making one

extension SpoolSegment {
  /// Makes a segment of `size` bytes of real blocks, locked and mapped.
  ///
  /// - Throws: ``StoreError`` `.diskFull` when there is no room for all of it (nothing is left behind),
  ///   `.permission`, `.cannotOpen` or `.io`.
  static func create(in directory: String, stream: String, size: Int) throws(StoreError) -> SpoolSegment {
    // An adopter may take the file in the instant between its creation and the lock, find it empty and remove
    // it. Then this one is lost, another is made. Twice in a row is next to impossible; the bound is for a
    // filesystem on which locks do not work at all.
    for _ in 0..<8 {
      let id = SegmentID.random()
      let path = SegmentName(stream: stream, id: id).path(in: directory)
      let descriptor = unsafe open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
      guard descriptor >= 0 else { throw .spool("cannot make a segment file", path: path, errno: errno) }
      guard chf_ofd_lock(descriptor, Int16(F_WRLCK), 0, 0) == 0, names(path, descriptor) else {
        _ = systemClose(descriptor)
        continue
      }
      // A umask can only take bits away; 0600 is what is wanted whatever it was.
      fchmod(descriptor, 0o600)
      let failure = chf_reserve(descriptor, Int64(size))
      guard failure == 0 else {
        _ = unsafe unlink(path)
        _ = systemClose(descriptor)
        throw .spool("cannot set \(size) bytes aside for a segment file", path: path, errno: failure)
      }
      guard let base = unsafe map(descriptor, size, PROT_READ | PROT_WRITE) else {
        let failure = errno
        _ = unsafe unlink(path)
        _ = systemClose(descriptor)
        throw .spool("cannot map a segment file", path: path, errno: failure)
      }
      unsafe SegmentFormat.writeHeader(at: base, size: size, id: id, created: UnixTime.now().nanoseconds)
      return unsafe SpoolSegment(id: id, path: path, descriptor: descriptor, base: base, size: size)
    }
    throw StoreError(
      .io,
      "The spool's files in \(directory) cannot be locked: put the spool on a filesystem with working locks.",
      path: directory)
  }

  /// What became of an attempt to adopt.
  enum Adoption {
    /// The owner was dead; it is this process's now.
    case adopted(SpoolSegment)
    /// Its owner lives, or another process is draining it.
    case owned
    /// It is gone: drained by someone else, or never filled (then it was removed).
    case gone
    /// Not for this build or this user; the reason.
    case unusable(String)
  }

  /// Takes a segment whose owner is dead.
  static func adopt(_ name: SegmentName, in directory: String) -> Adoption {
    let path = name.path(in: directory)
    let descriptor = unsafe open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK)
    guard descriptor >= 0 else {
      return errno == ENOENT ? .gone : .unusable("\(path): \(describe(errno: errno))")
    }
    guard chf_ofd_lock(descriptor, Int16(F_WRLCK), 0, 0) == 0 else {
      _ = systemClose(descriptor)
      return .owned
    }
    // The lock may have been got on a file that another adopter has drained and removed meanwhile.
    guard names(path, descriptor) else {
      _ = systemClose(descriptor)
      return .gone
    }
    var status = stat()
    let known = unsafe fstat(descriptor, &status) == 0
    guard known, status.st_mode & S_IFMT == S_IFREG, status.st_uid == geteuid() else {
      _ = systemClose(descriptor)
      return .unusable("\(path): not a regular file of this user")
    }
    let size = Int(status.st_size)
    guard size >= SegmentFormat.headerBytes else {
      // Its maker died before it had any room to append to.
      _ = unsafe unlink(path)
      _ = systemClose(descriptor)
      return .gone
    }
    guard let base = unsafe map(descriptor, size, PROT_READ) else {
      let reason = describe(errno: errno)
      _ = systemClose(descriptor)
      return .unusable("\(path): \(reason)")
    }
    let segment = unsafe SpoolSegment(
      id: name.id, path: path, descriptor: descriptor, base: base, size: size)
    let bytes = unsafe UnsafeRawBufferPointer(start: base, count: size)
    if case .newer(let version) = unsafe SegmentFormat.judgeHeader(bytes, id: name.id) {
      segment.close()
      return .unusable("\(path): written in version \(version) of the format by a newer build")
    }
    return .adopted(segment)
  }

  private static func map(
    _ descriptor: Int32, _ size: Int, _ protection: Int32
  ) -> UnsafeMutableRawPointer? {
    let address = unsafe mmap(nil, size, protection, MAP_SHARED, descriptor, 0)
    return unsafe address == MAP_FAILED ? nil : address
  }

  /// Whether the path still names the file this descriptor has open.
  private static func names(_ path: String, _ descriptor: Int32) -> Bool {
    var byPath = stat()
    var byDescriptor = stat()
    guard unsafe lstat(path, &byPath) == 0, unsafe fstat(descriptor, &byDescriptor) == 0 else { return false }
    return byPath.st_dev == byDescriptor.st_dev && byPath.st_ino == byDescriptor.st_ino
  }
}

/// `close(2)`, which a method of the same name hides.
private func systemClose(_ descriptor: Int32) -> Int32 {
  close(descriptor)
}
