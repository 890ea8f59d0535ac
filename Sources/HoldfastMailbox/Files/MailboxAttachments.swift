// SPDX-License-Identifier: Apache-2.0

public import Foundation
import HoldfastEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The files that belong to a mailbox's messages: those below its `attachments/`, and no others (row E14).
///
/// A worker names them in its messages and may make what it likes in there, so a name is never handed to the system
/// as a path: it is followed one part at a time, from the descriptor of the directory before, and a link anywhere is
/// refused, as is whatever is no plain file with this one name. Everything blocks: call it from a thread that may.
public struct MailboxAttachments: Sendable {
  /// The most bytes an attachment is read with unless more are asked for.
  public static let usualMost = 64 << 20

  private let root: String

  /// The attachments of a mailbox; nothing is looked at.
  public init(_ directory: MailboxDirectory) { root = directory.attachments }

  /// Those below another directory.
  init(root: String) { self.root = root }

  /// An attachment as it was read.
  struct File: Sendable {
    var data: Data
    /// When it was last written, in seconds since 1970.
    var modified: Int64
  }

  /// The names of all, sorted. What is no plain file with one name is left out, and so is what is nested too deep to be
  /// named.
  func names() throws(MailboxError) -> [String] {
    let directory = unsafe openat(AT_FDCWD, root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
    guard directory >= 0 else {
      if errno == ENOENT { return [] }
      throw Self.leads("", errno)
    }
    var names: [String] = []
    try Self.list(directory, prefix: "", depth: 1, &names)
    return names.sorted()
  }

  /// Lists what is in a directory, and closes its descriptor.
  private static func list(
    _ directory: Int32, prefix: String, depth: Int, _ names: inout [String]
  ) throws(MailboxError) {
    guard let stream = unsafe fdopendir(directory) else {
      _ = close(directory)
      throw failed("cannot be listed", prefix, errno)
    }
    defer { unsafe closedir(stream) }
    while let entry = unsafe readdir(stream) {
      let bytes = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { raw in
        unsafe Array(raw.prefix { $0 != 0 })
      }
      guard let name = String(validating: bytes, as: UTF8.self), name != ".", name != ".." else { continue }
      var info = stat()
      guard unsafe fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) == 0 else { continue }
      switch info.st_mode & S_IFMT {
      case S_IFREG where info.st_nlink == 1 && !name.hasPrefix(unfinished): names.append(prefix + name)
      case S_IFDIR where depth < deepest:
        let next = unsafe openat(directory, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
        if next >= 0 { try list(next, prefix: prefix + name + "/", depth: depth + 1, &names) }
      default: break
      }
    }
  }

  /// Reads an attachment.
  ///
  /// - Parameters:
  ///   - name: its path below `attachments/`, with slashes.
  ///   - most: a larger one is refused.
  /// - Throws: ``MailboxError`` `refused` for a name that leads elsewhere, a link, a device, a file with other names;
  ///   `notFound`; `invalid` when it is too large; `unreadable` when reading failed.
  public func data(of name: String, most: Int = usualMost) throws(MailboxError) -> Data {
    try file(name, most: most).data
  }

  func file(_ name: String, most: Int) throws(MailboxError) -> File {
    let parts = try Self.parts(name)
    let directory = try open(directoriesOf: parts, of: name)
    defer { _ = close(directory) }
    let file = try open(parts[parts.count - 1], in: directory, of: name)
    defer { _ = close(file.descriptor) }
    guard file.size <= most else {
      throw MailboxError(
        .invalid, "The attachment “\(name)” has \(file.size) bytes; at most \(most) are taken.")
    }
    var data = Data()
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes { bytes in
        unsafe read(file.descriptor, bytes.baseAddress, bytes.count)
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw Self.failed("cannot be read", name, errno) }
      if count == 0 { return File(data: data, modified: file.modified) }
      data.append(contentsOf: buffer[..<count])
      // It may grow while it is read.
      guard data.count <= most else {
        throw MailboxError(.invalid, "The attachment “\(name)” is more than \(most) bytes.")
      }
    }
  }

  /// An attachment, or nil when it is gone.
  func fileIfThere(_ name: String, most: Int) throws(MailboxError) -> File? {
    do throws(MailboxError) {
      return try file(name, most: most)
    } catch {
      guard error.code == .notFound else { throw error }
      return nil
    }
  }

  /// Keeps bytes as an attachment, for the worker to read; one of that name that is there is never written over.
  ///
  /// The file is whole and on the disk before it has its name.
  /// - Parameter name: one part, without a slash.
  /// - Throws: ``MailboxError`` `refused` for a name that leads elsewhere or is taken; `unreadable` when it could not
  ///   be written.
  public func put(_ data: Data, as name: String) throws(MailboxError) {
    let parts = try Self.parts(name)
    guard parts.count == 1 else { throw Self.refusal(name, "has a slash in it") }
    try keep(data, parts, as: name)
  }

  /// Keeps bytes under any name an attachment may have, and makes the directories on the way.
  func restore(_ data: Data, as name: String) throws(MailboxError) {
    try keep(data, try Self.parts(name), as: name, making: true)
  }

  private func keep(
    _ data: Data, _ parts: [String], as name: String, making: Bool = false
  ) throws(MailboxError) {
    let directory = try open(directoriesOf: parts, of: name, making: making)
    defer { _ = close(directory) }
    let last = parts[parts.count - 1]
    let temporary = Self.unfinished + UUID().uuidString
    let file = unsafe openat(
      directory, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0o600)
    guard file >= 0 else { throw Self.failed("cannot be kept", name, errno) }
    defer {
      _ = close(file)
      _ = unsafe unlinkat(directory, temporary, 0)
    }
    var rest = data[...]
    while !rest.isEmpty {
      let count = unsafe rest.withUnsafeBytes { bytes in unsafe write(file, bytes.baseAddress, bytes.count) }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { throw Self.failed("cannot be kept", name, errno) }
      rest = rest.dropFirst(count)
    }
    guard fsync(file) == 0 else { throw Self.failed("cannot be kept", name, errno) }
    // Unlike rename(2), link(2) leaves what is there alone.
    guard unsafe linkat(directory, temporary, directory, last, 0) == 0 else {
      if errno == EEXIST { throw Self.refusal(name, "is there already") }
      throw Self.failed("cannot be kept", name, errno)
    }
    _ = fsync(directory)
  }

  /// What the name of a file begins with that is being written.
  private static let unfinished = ".holdfast-"
  /// The most parts of a name.
  private static let deepest = 16

  /// The parts of a name, each of which stays where it is.
  private static func parts(_ name: String) throws(MailboxError) -> [String] {
    guard !name.utf8.contains(0) else { throw refusal(name, "has a NUL in it") }
    guard !name.hasPrefix("/") else { throw refusal(name, "begins at the root of the file system") }
    let parts = name.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
      .map { String(Substring($0)) }
    guard parts.count <= deepest else { throw refusal(name, "is nested too deep") }
    for part in parts {
      guard !part.isEmpty, part != ".", part != "..", part.utf8.count <= 255 else {
        throw refusal(name, "leads to another place than it says")
      }
    }
    return parts
  }

  /// The descriptor of the directory a name's last part is in; the caller closes it.
  private func open(
    directoriesOf parts: [String], of name: String, making: Bool = false
  ) throws(MailboxError) -> Int32 {
    let flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC
    var directory = unsafe openat(AT_FDCWD, root, flags)
    guard directory >= 0 else { throw Self.leads(name, errno) }
    for part in parts.dropLast() {
      if making { _ = unsafe mkdirat(directory, part, 0o700) }
      let next = unsafe openat(directory, part, flags)
      let code = errno
      _ = close(directory)
      guard next >= 0 else { throw Self.leads(name, code) }
      directory = next
    }
    return directory
  }

  /// A plain file with one name; the caller closes its descriptor.
  private func open(
    _ part: String, in directory: Int32, of name: String
  ) throws(MailboxError) -> (descriptor: Int32, size: Int64, modified: Int64) {
    var before = stat()
    // Before it is opened: opening alone sets a device or a pipe going.
    guard unsafe fstatat(directory, part, &before, AT_SYMLINK_NOFOLLOW) == 0 else {
      throw Self.leads(name, errno)
    }
    try Self.check(before, name)
    let file = unsafe openat(directory, part, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC)
    guard file >= 0 else { throw Self.leads(name, errno) }
    do throws(MailboxError) {
      #if canImport(Darwin)
        let modified = Int64(before.st_mtimespec.tv_sec)
      #else
        let modified = Int64(before.st_mtim.tv_sec)
      #endif
      return (file, try Self.size(of: file, ifStill: before, name), modified)
    } catch {
      _ = close(file)
      throw error
    }
  }

  private static func size(
    of file: Int32, ifStill before: stat, _ name: String
  ) throws(MailboxError) -> Int64 {
    var now = stat()
    guard unsafe fstat(file, &now) == 0 else { throw failed("cannot be read", name, errno) }
    guard now.st_dev == before.st_dev, now.st_ino == before.st_ino else {
      throw refusal(name, "was replaced while it was opened")
    }
    try check(now, name)
    return Int64(now.st_size)
  }

  private static func check(_ info: stat, _ name: String) throws(MailboxError) {
    switch info.st_mode & S_IFMT {
    case S_IFREG: break
    case S_IFLNK: throw refusal(name, "is a symbolic link")
    case S_IFDIR: throw refusal(name, "is a directory")
    default: throw refusal(name, "is a device, a pipe or a socket")
    }
    // Its other name may be that of any file of this user's.
    guard info.st_nlink == 1 else { throw refusal(name, "is a file with several names") }
  }

  private static func leads(_ name: String, _ code: Int32) -> MailboxError {
    switch code {
    case ENOENT: MailboxError(.notFound, "There is no attachment \(shown(name)).")
    case ELOOP, ENOTDIR: refusal(name, "leads through a link, or through what is no directory")
    default: failed("cannot be read", name, code)
    }
  }

  private static func refusal(_ name: String, _ why: String) -> MailboxError {
    MailboxError(.refused, "The attachment \(shown(name)) \(why), so it was not touched.")
  }

  private static func failed(_ what: String, _ name: String, _ code: Int32) -> MailboxError {
    MailboxError(
      .unreadable, "The attachment \(shown(name)) \(what) (\(unsafe String(cString: strerror(code)))).")
  }

  private static func shown(_ name: String) -> String {
    "“" + name.unicodeScalars.prefix(200).map { $0.value < 0x20 ? "·" : String($0) }.joined() + "”"
  }
}
