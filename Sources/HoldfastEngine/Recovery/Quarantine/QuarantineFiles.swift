// SPDX-License-Identifier: Apache-2.0

import Crypto

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The system calls of ``Quarantine``: durable renames and manifests, and SHA-256 of whole files.
enum QuarantineFiles {
  private static let manifestName = "manifest.json"

  /// The names of a database's files, in the order in which they are set aside.
  static func names(of path: String) -> [String] {
    ["-wal", "-shm", "-journal", ""].map { path.fileName + $0 }
  }

  /// The directory of a canonical path.
  static func parent(of path: String) -> String {
    guard let cut = path.lastIndex(of: "/"), cut != path.startIndex else { return "" }
    return String(path[..<cut])
  }

  /// Whether there is such a name, whatever it stands for.
  static func exists(_ path: String) -> Bool {
    var info = stat()
    return unsafe lstat(path, &info) == 0
  }

  /// Reads a file for its size and SHA-256.
  ///
  /// - Parameter fileGuard: the database's, through which it is read: closing another descriptor of it would
  ///   drop locks. The others carry none while nobody has the database open.
  /// - Throws: ``StoreError`` with code `permission`, `cannotOpen` or `io`.
  static func describe(
    _ path: String, through fileGuard: FileGuard?
  ) throws(StoreError) -> QuarantineManifest.File {
    if let fileGuard { return try describe(path, descriptor: fileGuard.file.descriptor) }
    let descriptor = unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { throw .opening(path, errno: errno) }
    defer { _ = close(descriptor) }
    return try describe(path, descriptor: descriptor)
  }

  private static func describe(
    _ path: String, descriptor: Int32
  ) throws(StoreError) -> QuarantineManifest.File {
    try describe(path, descriptor: descriptor, copyingTo: nil)
  }

  /// Copies a file into a directory, durably and with mode 0600; holes stay holes.
  ///
  /// - Parameter fileGuard: as of ``describe(_:through:)``.
  /// - Throws: ``StoreError`` with code `permission`, `diskFull` or `io`.
  static func copy(
    _ path: String, through fileGuard: FileGuard?, into directory: String
  ) throws(StoreError) -> QuarantineManifest.File {
    let opened = fileGuard == nil ? unsafe open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW) : -1
    let source = fileGuard?.file.descriptor ?? opened
    guard source >= 0 else { throw .opening(path, errno: errno) }
    defer { if opened >= 0 { _ = close(opened) } }
    let target = directory + "/" + path.fileName
    let copy = unsafe open(target, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard copy >= 0 else { throw .opening(target, errno: errno) }
    defer { _ = close(copy) }
    let file = try describe(path, descriptor: source, copyingTo: copy)
    guard ftruncate(copy, off_t(file.bytes)) == 0, fsync(copy) == 0 else { throw failure("write", target) }
    return file
  }

  private static func describe(
    _ path: String, descriptor: Int32, copyingTo copy: Int32?
  ) throws(StoreError) -> QuarantineManifest.File {
    var hash = SHA256()
    var size: Int64 = 0
    var buffer = [UInt8](repeating: 0, count: 1 << 20)
    while true {
      let count = unsafe buffer.withUnsafeMutableBytes {
        unsafe pread(descriptor, $0.baseAddress, $0.count, off_t(size))
      }
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw failure("read", path) }
      if count == 0 { break }
      unsafe buffer.withUnsafeBytes { unsafe hash.update(bufferPointer: .init(rebasing: $0[..<count])) }
      if let copy, buffer[..<count].contains(where: { $0 != 0 }) {
        var written = 0
        while written < count {
          let part = unsafe buffer.withUnsafeBytes { all in
            unsafe pwrite(copy, all.baseAddress! + written, count - written, off_t(size + Int64(written)))
          }
          if part < 0, errno == EINTR { continue }
          guard part > 0 else { throw failure("copy", path) }
          written += part
        }
      }
      size += Int64(count)
    }
    let digits = Array("0123456789abcdef".utf8)
    let text = hash.finalize().flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }
    return .init(name: path.fileName, bytes: size, sha256: String(decoding: text, as: UTF8.self))
  }

  /// Makes a directory of mode 0700 that survives a power loss; one that is there will do, a link will not.
  static func makeDirectory(_ path: String) throws(StoreError) {
    if unsafe mkdir(path, 0o700) == 0 {
      // The mode is what is wanted, whatever the umask took away.
      _ = unsafe chmod(path, 0o700)
      return try synchronize(parent(of: path))
    }
    guard errno == EEXIST else { throw failure("make", path) }
    var info = stat()
    guard unsafe lstat(path, &info) == 0, info.st_mode & S_IFMT == S_IFDIR else {
      throw StoreError(
        .permission, "\(path) is in the way: a directory of that name is needed; remove it.", path: path)
    }
  }

  /// Removes a directory of copies: the files named and the manifest, and nothing else.
  static func removeCopies(_ names: [String], in directory: String) {
    for name in names { _ = unsafe unlink(directory + "/" + name) }
    _ = unsafe unlink(directory + "/" + manifestName)
    removeEmpty(directory)
  }

  /// Removes a directory in which nothing but an unfinished manifest can be.
  static func removeEmpty(_ directory: String) {
    _ = unsafe unlink(directory + "/" + manifestName + ".new")
    _ = unsafe rmdir(directory)
  }

  /// The names in a directory; none when it cannot be read.
  static func list(_ directory: String) -> [String] {
    guard let handle = unsafe opendir(directory) else { return [] }
    defer { unsafe closedir(handle) }
    var names: [String] = []
    while let entry = unsafe readdir(handle) {
      let name = unsafe withUnsafeBytes(of: &entry.pointee.d_name) { bytes in
        unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names
  }

  /// The manifest of a directory; nil when there is none that can be understood.
  static func manifest(in directory: String) -> QuarantineManifest? {
    let descriptor = unsafe open(directory + "/" + manifestName, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
    guard descriptor >= 0 else { return nil }
    defer { _ = close(descriptor) }
    // A few hundred bytes; whatever is larger is not ours.
    var bytes = [UInt8](repeating: 0, count: 64 << 10)
    let count = unsafe bytes.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
    return try? JSONDecoder().decode(QuarantineManifest.self, from: Data(bytes[..<max(0, count)]))
  }

  /// Puts the manifest in place in one step that survives a power loss.
  static func write(_ manifest: QuarantineManifest, into directory: String) throws(StoreError) {
    let path = directory + "/" + manifestName
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let bytes: [UInt8]
    do {
      bytes = try Array(encoder.encode(manifest))
    } catch {
      throw StoreError(.io, "\(path) could not be put into words.", path: path, underlying: error)
    }
    let descriptor = unsafe open(
      path + ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0o600)
    guard descriptor >= 0 else { throw .opening(path, errno: errno) }
    var written = 0
    while written < bytes.count {
      let count = unsafe bytes.withUnsafeBytes { all in
        unsafe pwrite(descriptor, all.baseAddress! + written, bytes.count - written, off_t(written))
      }
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { break }
      written += count
    }
    let isDurable = written == bytes.count && fsync(descriptor) == 0
    let code = errno
    _ = close(descriptor)
    guard isDurable else { throw failure("write", path, errno: code) }
    try rename(path + ".new", to: path)
    try synchronize(directory)
  }

  /// Gives a file or directory another name on the same filesystem.
  static func rename(_ path: String, to name: String) throws(StoreError) {
    #if canImport(Glibc)
      let code = unsafe Glibc.rename(path, name)
    #elseif canImport(Musl)
      let code = unsafe Musl.rename(path, name)
    #else
      let code = unsafe Darwin.rename(path, name)
    #endif
    guard code == 0 else { throw failure("move", path) }
  }

  /// Makes the names in a directory durable.
  static func synchronize(_ directory: String) throws(StoreError) {
    let path = directory.isEmpty ? "/" : directory
    let descriptor = unsafe open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .opening(path, errno: errno) }
    defer { _ = close(descriptor) }
    guard fsync(descriptor) == 0 else { throw failure("write", path) }
  }

  private static func failure(_ what: String, _ path: String, errno code: Int32 = errno) -> StoreError {
    let (kind, advice): (StoreError.Code, String) =
      switch code {
      case ENOSPC, EDQUOT: (.diskFull, "free some space")
      case EACCES, EPERM: (.permission, "give this user write access to the directory")
      case EROFS: (.readOnly, "make the filesystem writable")
      default: (.io, "check the disk and the kernel's log")
      }
    let reason = unsafe String(cString: strerror(code))
    return StoreError(kind, "It was not possible to \(what) \(path) (\(reason)): \(advice).", path: path)
  }
}
