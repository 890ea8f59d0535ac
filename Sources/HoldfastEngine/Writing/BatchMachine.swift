// SPDX-License-Identifier: Apache-2.0

/// Decides what happens to the callers of one shared transaction: a pure value, driven by the writer.
///
/// The first caller of a transaction needs no savepoint: if it fails, rolling back the whole transaction
/// costs nobody anything. Every later one runs under a savepoint of its own, so its failure costs the
/// others nothing either. What SQLite itself rolled back (a full disk, an I/O error) or a commit refused
/// is replayed for those who were not at fault, since none of them has been told anything yet.
struct BatchMachine<ID: Hashable & Sendable> {
  /// How long the lane may be held for one batch.
  struct Limits: Sendable {
    /// With others waiting in the lane.
    var contended: Duration = .milliseconds(5)
    /// With nobody else waiting.
    var alone: Duration = .milliseconds(20)
    /// Callers in one transaction, whatever the time.
    var members = 4096
  }

  /// How a caller's body is to be run.
  enum Admission: Equatable {
    /// It is the transaction's first: run it as it is.
    case direct
    /// Run it under a savepoint of the open transaction.
    case savepoint
  }

  /// What to undo after a caller's body failed.
  enum Undo: Equatable {
    case transaction
    case savepoint
  }

  /// Who is told what, after the transaction ended.
  struct Verdict: Equatable {
    /// Durable: tell them so.
    var acknowledged: [ID] = []
    /// Run them again, in this order, before anybody else.
    var replayed: [ID] = []
    /// Each replayed caller gets a transaction of its own: one of them is at fault and it is not known who.
    var replayAlone = false
    /// Tell them it failed.
    var failed: [ID] = []
    /// What is known of the failed ones' work.
    var outcome = StoreError.Outcome.notApplied
  }

  /// How SQLite ended the transaction while a body ran.
  enum Ending: Equatable {
    /// It was rolled back, by SQLite after a grave error or by the body itself.
    case rolledBack
    /// The body committed it, against the rules.
    case committed
  }

  private(set) var members: [ID] = []
  let limits: Limits

  init(limits: Limits = Limits()) {
    self.limits = limits
  }

  var isEmpty: Bool { members.isEmpty }

  /// A caller's turn has come.
  mutating func admit(_ id: ID) -> Admission {
    members.append(id)
    return members.count == 1 ? .direct : .savepoint
  }

  /// The body of the caller admitted last threw, and the transaction is still open.
  mutating func bodyThrew(_ id: ID) -> Undo {
    precondition(members.last == id, "only the caller admitted last can be running")
    members.removeLast()
    return members.isEmpty ? .transaction : .savepoint
  }

  /// The transaction was found ended after the body of the caller admitted last.
  ///
  /// That caller is told of it by its own error; the verdict is about the others.
  mutating func transactionEnded(_ ending: Ending, during id: ID) -> Verdict {
    precondition(members.last == id, "only the caller admitted last can be running")
    members.removeLast()
    defer { members = [] }
    switch ending {
    case .rolledBack: return Verdict(replayed: members)
    case .committed: return Verdict(acknowledged: members)
    }
  }

  /// The transaction was rolled back because a savepoint could not be; nobody still in it is at fault.
  mutating func transactionLost() -> Verdict {
    defer { members = [] }
    return Verdict(replayed: members)
  }

  /// Whether to commit now rather than take another caller in.
  func isDue(after held: Duration, contended: @autoclosure () -> Bool) -> Bool {
    if members.count >= limits.members || held >= limits.alone { return true }
    return held >= limits.contended && contended()
  }

  /// The commit succeeded.
  mutating func committed() -> Verdict {
    defer { members = [] }
    return Verdict(acknowledged: members)
  }

  /// The commit failed with an error of this class, and the transaction has been rolled back.
  mutating func commitFailed(_ reason: ResultClass) -> Verdict {
    defer { members = [] }
    switch reason {
    case .constraint, .full:
      // A deferred constraint, or one caller too big for the space left. Nothing was written: the commit
      // frame or the journal's end comes last.
      return members.count == 1
        ? Verdict(failed: members) : Verdict(replayed: members, replayAlone: true)
    case .lock, .staleSnapshot, .readOnlyTransient, .interrupted, .statement, .readOnly, .permission:
      return Verdict(failed: members)
    case .io, .damagedFile, .damagedIndex, .notADatabase, .cannotOpen:
      // The commit frame may have reached the disk before its sync failed; a recovery would find it.
      return Verdict(failed: members, outcome: .unknown)
    }
  }
}
