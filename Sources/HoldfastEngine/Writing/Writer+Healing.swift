// SPDX-License-Identifier: Apache-2.0

import GRDB
import Logging

/// Staying on the right file: what the writer does when the names no longer stand for what it has open.
extension Writer {
  /// The session for the files that are at the path now; opens it anew after a breach.
  ///
  /// The caller has the turn and no open transaction.
  func wholeSession(
    _ session: inout WriterSession?, _ lastGuard: inout FileGuard
  ) throws -> WriterSession {
    if let session {
      guard let breach = session.opened.breach() else { return session }
      _ = try heal(session, after: breach)
      // Other contents have come to the path; should they be damaged too, that is found out anew.
      if breach != .walLost, breach != .walCut { latch.open() }
    }
    session?.close()
    session = nil
    let opened = try OpenedFile(
      path: path, lane: lane, configuration: configuration, migrations: migrations.withLock { $0 },
      patience: patience, deadline: .now + configuration.patience, replacing: lastGuard)
    lastGuard = opened.fileGuard
    let fresh = try WriterSession(opened, path: path, lane: lane, configuration: configuration)
    session = fresh
    reopened.withLock { $0 }?()
    return fresh
  }

  /// A batch was committed, and then the files turned out not to be those at the path: nobody has been told
  /// yet. What was saved into the database is acknowledged; what nobody will ever see is run again.
  func confirm(
    _ turn: inout Turn, after breach: Generation.Breach, _ session: inout WriterSession?,
    _ lastGuard: inout FileGuard
  ) {
    guard let broken = session else { return }
    let committed = turn.succeeded
    do {
      let saved = try heal(broken, after: breach)
      if breach != .walLost, breach != .walCut { latch.open() }
      broken.close()
      session = nil
      if !saved {
        turn.succeeded = []
        jobs.putBack(committed, as: nil)
      }
      // At once, so that the readers leave the old files too. Should it fail, the next turn says why.
      _ = try? wholeSession(&session, &lastGuard)
    } catch {
      turn.succeeded = []
      // It is committed in files that may yet come back.
      var described = describe(error, outcome: .unknown)
      if var store = described as? StoreError {
        store.outcome = .unknown
        described = store
      }
      turn.failed += committed.map { ($0, described) }
    }
  }

  /// Saves what only this session still reaches.
  /// - Returns: whether everything it committed is in the database at the path.
  private func heal(_ session: WriterSession, after breach: Generation.Breach) throws -> Bool {
    // What is folded meanwhile is folded into files that are not those at the path.
    session.backlog.stop()
    let rescue = WALRescue(path: path, generation: session.opened.generation)
    switch breach {
    case .databaseGone:
      throw StoreError(
        .replaced,
        """
        \(path.fileName) is no longer where it was opened; it was not created anew: put it back, or stop this \
        program and start it again with the right home.
        """, path: path)
    case .databaseReplaced:
      rescue.setAsideSidecars()
      return false
    case .databaseOverwritten:
      guard session.opened.isWhole else {
        throw StoreError(
          .replaced,
          """
          \(path.fileName) was overwritten or cut short while it was open, and is no whole database now; nothing more \
          is written to it: put it back, or stop every program that has it open and restore a backup.
          """, path: path)
      }
      rescue.setAsideSidecars()
      return false
    case .walLost:
      session.checkpointer.close()
      let outcome = try rescue.run(
        through: session.database, recorded: lane.recordedGeneration, deadline: .now + .seconds(5))
      return outcome == .folded
    case .walCut:
      session.checkpointer.close()
      do {
        try rescue.rebuild(from: session.database)
      } catch {
        engineLog.error(
          "a -wal was cut short or overwritten while it was open, and what it held is not all known",
          metadata: ["file": "\(path.fileName)", "error": "\(error)"])
        throw StoreError(
          .damaged,
          """
          \(path.fileName)-wal was cut short or overwritten while it was open, and what it held is not all known any \
          more, so nothing is written on: stop every program that uses \(path.fileName) and run \
          `holdfast doctor \(path)` or `holdfast restore`.
          """, path: path, underlying: error)
      }
      return true
    }
  }

  /// The connection is about to go, and with it the last way to a -wal that lost its name.
  func saveBeforeClosing(_ session: inout WriterSession?) {
    guard let open = session, let breach = open.opened.breach(), breach.losesCommits else { return }
    do {
      try lane.enter()
      defer { lane.leave() }
      if let breach = open.opened.breach(), breach.losesCommits { _ = try heal(open, after: breach) }
    } catch {
      // Nobody waits any more who could be told; the frames go with the descriptor.
      return
    }
  }
}

extension Generation.Breach {
  /// Whether commits are reachable only through what this process still has.
  var losesCommits: Bool { self == .walLost || self == .walCut }
}
