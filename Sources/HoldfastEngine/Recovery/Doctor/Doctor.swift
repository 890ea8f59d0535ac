// SPDX-License-Identifier: Apache-2.0

/// Says what is the matter with any SQLite file, and changes nothing.
///
/// What lies beside the file and how its first bytes read is judged before SQLite is involved: given a bad
/// first page it deletes the -wal that could help (row C06). A database nobody has a lock of is then read
/// through an image of its set, in which a -wal or a journal is laid over the pages as they are asked for: no
/// copy, no lock, nothing written anywhere. One that somebody has a lock of is read where it is, read-only,
/// since only SQLite's own locks give a consistent view of it then.
package enum Doctor {
  /// How thoroughly to look.
  package struct Options: Sendable {
    /// Whether to look at everything there is, however large the file.
    package var isDeep: Bool
    /// Told the share that is done, 0 … 1, and what is being looked at; from any thread.
    package var progress: (@Sendable (Double, String) -> Void)?
    /// The names of the migrations this program knows, one list for each kind of store: a store of ours that
    /// has others was written by a newer program.
    package var knownMigrations: [[String]]

    /// Makes options.
    package init(
      isDeep: Bool = false, progress: (@Sendable (Double, String) -> Void)? = nil,
      knownMigrations: [[String]] = []
    ) {
      self.isDeep = isDeep
      self.progress = progress
      self.knownMigrations = knownMigrations
    }
  }

  /// How often a file that changes while it is read is begun anew.
  private static let attempts = 4

  /// Examines a database.
  ///
  /// - Throws: ``StoreError`` with code `cannotOpen` where there is nothing at all; `permission` or `io` when
  ///   its directory cannot be looked at or the device fails.
  package static func examine(
    _ subject: DoctorSubject, options: Options = Options()
  ) async throws -> Diagnosis {
    try await BlockingThread.run(named: "hf-doctor") {
      var doubt: ContentReport?
      for attempt in 1...attempts {
        let examination = try Examination(subject, options, isLast: attempt == attempts)
        switch try examination.run(doubting: doubt) {
        case .settled(let diagnosis): return diagnosis
        case .changed: doubt = nil
        case .doubtful(let report): doubt = report
        }
      }
      // It changed under every attempt, so somebody writes who takes no lock that shows.
      var diagnosis = Diagnosis(path: subject.path, verdict: .busy)
      diagnosis.isCertain = false
      diagnosis.findings = [
        .init(
          "changing", .warning,
          "The file changed \(attempts) times while it was read, by somebody who cannot be seen here.",
          remedy: "Try again when its program is idle.")
      ]
      return diagnosis
    }
  }

  /// Examines the database at a path.
  ///
  /// - Throws: as ``examine(_:options:)``.
  package static func examine(_ path: String) async throws -> Diagnosis {
    try await examine(DoctorSubject(path: CanonicalPath.of(path)))
  }
}
