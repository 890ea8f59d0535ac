// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// One run of backups at a time into a directory, whoever makes it: a person, a timer, the daemon.
///
/// A kernel lock on the directory itself (flock(2)), so nothing is left in it, and it dies with its process. Two runs at
/// once would do no harm but to the disk and to those who wait for it.
public final class BackupTurn: Sendable {
  private let descriptor: Int32

  private init(descriptor: Int32) { self.descriptor = descriptor }

  /// Takes the turn in a directory, which is made if need be.
  ///
  /// - Returns: nil while somebody else has it.
  /// - Throws: ``StoreError``: `permission`, `cannotOpen`, `io`.
  public static func take(in directory: String) throws(StoreError) -> BackupTurn? {
    let directory = try BackupDirectory.make(directory)
    let descriptor = unsafe open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .opening(directory, errno: errno) }
    guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else {
      let code = errno
      close(descriptor)
      if code == EWOULDBLOCK { return nil }
      throw .locking(directory, errno: code)
    }
    return BackupTurn(descriptor: descriptor)
  }

  /// Gives the turn back; so does the end of the last reference.
  public func end() { flock(descriptor, LOCK_UN) }

  deinit { close(descriptor) }
}
