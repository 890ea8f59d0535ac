// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// The one name of a file: absolute, without symbolic links, `.` or `..`.
///
/// All ways to spell a path must lead to the same writer (row A09), also before the file exists, when only
/// its directory can be resolved.
enum CanonicalPath {
  /// Resolves `path`; its directory must exist.
  /// - Throws: ``StoreError`` with code `cannotOpen` or `permission`.
  static func of(_ path: String) throws(StoreError) -> String {
    guard !path.isEmpty, !path.utf8.contains(0) else {
      throw StoreError(
        .cannotOpen, "A state file needs a path that is not empty and has no NUL in it.", path: path)
    }
    if let resolved = resolve(path) { return resolved }
    let failure = errno
    guard failure == ENOENT else { throw .opening(path, errno: failure) }
    let parts = path.split(separator: "/", omittingEmptySubsequences: true)
    guard let name = parts.last, name != ".", name != "..", path.last != "/" else {
      throw StoreError(.cannotOpen, "\(path) is a directory's name; give the file's.", path: path)
    }
    let parent = path.dropLast(name.count)
    guard let directory = resolve(parent.isEmpty ? "." : String(parent)) else {
      throw .opening(path, errno: errno)
    }
    return directory == "/" ? "/" + name : directory + "/" + name
  }

  private static func resolve(_ path: String) -> String? {
    guard let resolved = unsafe realpath(path, nil) else { return nil }
    defer { unsafe free(resolved) }
    return unsafe String(cString: resolved)
  }
}

extension String {
  /// The last part of a path, for messages: the directory is in the error's `path`.
  var fileName: String { split(separator: "/").last.map(String.init) ?? self }
}
