// SPDX-License-Identifier: Apache-2.0

/// What `doctor --repair` would do with one file, before anything is done: shown, asked about, carried out.
package struct RepairPlan: Hashable, Sendable {
  /// The one thing that is to be done.
  package enum Action: Hashable, Sendable {
    /// The file is well.
    case nothing
    /// The file is well, and what a repair that was killed left beside it is removed.
    case clear
    /// It is not repaired, and why.
    case refuse(Refusal)
    /// An interrupted setting aside is completed; what is found then is planned anew.
    case completeMove
    /// The transaction of a dead writer is undone, by SQLite.
    case rollBack
    /// Indexes are built anew from their tables.
    case reindex
    /// A new database is made from the old set of files and takes the place of the old one.
    case rebuild
  }

  /// Why a file is left as it is.
  package struct Refusal: Hashable, Sendable {
    /// `transient` while somebody uses the file, `permission`, `newerSchema`, `damaged`.
    package var code: StoreError.Code
    /// One sentence: why, and what to do instead.
    package var message: String
    /// Who is in the way.
    package var holders: [FileUser] = []
  }

  /// The database, and the files it is to be repaired from.
  package var subject: DoctorSubject
  /// What it was found to be.
  package var verdict: FileVerdict
  package var action: Action
  /// What will happen, a plain sentence each, in order; none where nothing will.
  package var steps: [String] = []
  /// What was seen when the plan was made; the files must still be these when it is carried out.
  package var facts: RepairFacts

  /// Decides what is to be done about a file. Pure: reads nothing.
  ///
  /// - Parameters:
  ///   - users: who has the file open, of the diagnosis.
  ///   - isForbidden: whether the file could not be read for want of permission.
  package static func make(
    for subject: DoctorSubject, verdict: FileVerdict, users: [FileUser], isForbidden: Bool, facts: RepairFacts
  ) -> RepairPlan {
    var plan = RepairPlan(subject: subject, verdict: verdict, action: .nothing, facts: facts)
    let path = subject.path
    if let refusal = refusal(subject, verdict, users, isForbidden: isForbidden, facts) {
      plan.action = .refuse(refusal)
      return plan
    }
    if facts.hasBegunMove {
      plan.action = .completeMove
      plan.steps = [
        "Complete the setting aside of \(path.fileName) and its sidecars, which was interrupted.",
        "Then look again, and rebuild the database from them.",
      ]
      return plan
    }
    plan.action =
      switch verdict {
      case .healthy, .fresh:
        if subject.quarantine != nil { .rebuild } else { facts.hasLeftovers ? .clear : .nothing }
      case .hotJournal where subject.quarantine == nil: .rollBack
      case .indexDamaged where subject.quarantine == nil: .reindex
      default: .rebuild
      }
    plan.steps = plan.sentences
    return plan
  }

  private static func refusal(
    _ subject: DoctorSubject, _ verdict: FileVerdict, _ users: [FileUser], isForbidden: Bool,
    _ facts: RepairFacts
  ) -> Refusal? {
    let name = subject.path.fileName
    if let entry = subject.quarantine, facts.isTaken {
      return Refusal(
        code: .damaged,
        message: """
          A database is at \(subject.path), so the set in \(entry.directory) was not put there: move that one away \
          first if this is the one you want.
          """)
    }
    switch verdict {
    case .healthy, .fresh:
      guard subject.quarantine != nil else { return nil }
    case .busy:
      return Refusal(
        code: .transient,
        message: "\(name) is in use, so nothing was changed: stop who has it and try again.",
        holders: users)
    case .newerSchema:
      return Refusal(
        code: .newerSchema,
        message: "\(name) is not damaged but of a later format, so nothing was changed: use a newer SQLite.")
    case .unreadable:
      return isForbidden
        ? Refusal(
          code: .permission,
          message: "\(name) may not be read by this user, so nothing was changed: run this as its owner.")
        : Refusal(
          code: .cannotOpen, message: "\(name) is not a regular file, so there is nothing to repair.")
    case .hotJournal, .walOrphan, .zeroed, .notADatabase, .truncated, .damaged, .indexDamaged:
      break
    }
    guard users.isEmpty else {
      return Refusal(
        code: .transient,
        message: "\(name) is open in another program, so nothing was changed: stop it and try again.",
        holders: users)
    }
    if let obstacle = facts.obstacle { return Refusal(code: .permission, message: obstacle) }
    // What is being set aside is not all here, so what is here says nothing yet.
    guard facts.hasContent || facts.hasBegunMove else { return nothingLeft(name, facts) }
    return nil
  }

  private static func nothingLeft(_ name: String, _ facts: RepairFacts) -> Refusal {
    let remedy =
      if let backup = facts.backups.last {
        "restore a backup, such as the newest, \(backup): `holdfast restore`"
      } else {
        "restore it from a backup of your own; there is none in \(facts.backupDirectory)"
      }
    return Refusal(
      code: .damaged,
      message: """
        Nothing of a database was found in \(name) or its sidecars, so there is nothing to repair and nothing was \
        changed: \(remedy).
        """)
  }

  private var sentences: [String] {
    let name = subject.path.fileName
    switch action {
    case .nothing, .refuse, .completeMove: return []
    case .clear: return ["Remove what an interrupted repair left beside \(name), which is well."]
    case .rollBack:
      return [
        "Copy \(name) and its -journal to \(facts.quarantineDirectory).",
        "Have SQLite roll back the transaction its writer did not finish.",
        "Check the whole file.",
      ]
    case .reindex:
      return [
        "Copy \(name) and its sidecars to \(facts.quarantineDirectory).",
        "Build the damaged indexes anew from their tables, and keep the result only if the whole file is sound.",
      ]
    case .rebuild:
      let source =
        subject.quarantine.map { "the set that was put aside in \($0.directory)" }
        ?? "\(name) and its sidecars"
      var steps = [
        "Make a new database beside it from \(source): every committed row where that is sound, else every row "
          + "that can be salvaged.",
        "Check it, and that no table has fewer rows than can be read now.",
      ]
      if subject.quarantine == nil {
        steps.append("Move \(name) and its sidecars, as they are, to \(facts.quarantineDirectory).")
      }
      steps.append("Put the new database in place as \(name) and check it again.")
      return steps
    }
  }
}
