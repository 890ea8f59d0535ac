// SPDX-License-Identifier: Apache-2.0

/// What lies in a quarantine directory and why: the directory's `manifest.json`.
package struct QuarantineManifest: Hashable, Sendable, Codable {
  /// One file that was set aside.
  package struct File: Hashable, Sendable, Codable {
    /// Its name, which it keeps.
    package var name: String
    /// Its size.
    package var bytes: Int64
    /// Its SHA-256 in lower-case hexadecimal, taken before it was moved.
    package var sha256: String
  }

  /// How far it has come.
  package enum State: String, Hashable, Sendable, Codable {
    /// Some files may still be at their old place; the next opener moves them.
    case moving
    /// Everything is here.
    case complete
    /// The files are copies, made before the originals were repaired where they are.
    case copied
    /// What was here has been repaired or restored and is in use again.
    case resolved
  }

  /// The version of this form.
  package var version = 1
  /// Where the database was when it was set aside.
  package var path: String
  /// The database's file name.
  package var name: String
  /// What it was found to be.
  package var verdict: FileVerdict
  /// Why, in one plain sentence.
  package var reason: String
  /// When, in RFC 3339.
  package var time: String
  /// The process that found it.
  package var pid: Int32
  /// The files, sidecars before the database: the order in which they are moved.
  package var files: [File]
  /// Files that had changed by the time an interrupted move was completed, and so stayed where they were.
  package var leftBehind: [String] = []
  /// How far it has come.
  package var state = State.moving
}

/// A set of files that was set aside.
package struct QuarantineEntry: Hashable, Sendable {
  /// Where the files and their manifest are.
  package var directory: String
  /// What its `manifest.json` says.
  package var manifest: QuarantineManifest
}
