// SPDX-License-Identifier: Apache-2.0

/// One thing that happened to a disk, in the order it happened.
public enum DiskEvent: Hashable, Sendable {
  /// A file, whatever its name is or becomes.
  public typealias File = Int

  /// A new, empty file got this name.
  case create(File, name: String)
  /// Bytes were written at an offset; a gap before them reads as zeros.
  case write(File, offset: Int, bytes: [UInt8])
  /// The file was cut or extended (with zeros) to a size in bytes.
  case truncate(File, size: Int)
  /// Everything written to the file so far is on the platter.
  case sync(File)
  /// The name is gone; the file stays for those who have it open.
  case delete(name: String)
  /// The names of a directory are on the platter as they are.
  case syncDirectory(String)
  /// Something the test wants to find again: an acknowledgement, say.
  case note(UInt64)

  /// Whether the event changes what a power cut could leave. A cut between two that do not is no new cut.
  public var matters: Bool {
    if case .note = self { false } else { true }
  }
}
