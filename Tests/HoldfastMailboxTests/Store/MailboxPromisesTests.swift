// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastMailbox

/// What every mailbox store promises, asked of the one on SQLite.
@Suite("Mailbox store: what it promises")
struct MailboxPromisesTests {
  private let home: MailboxHome
  private var promises: MailboxStoreConformance { home.promises() }

  init() throws { home = try MailboxHome() }

  @Test("the same message again is one message, another under its id is kept and told")
  func sameIDIsTheSameMessage_E12() async throws { try await promises.sameIDIsTheSameMessage() }

  @Test("of many that send one message at once, one sends it")
  func sendersAtOnce_E12() async throws { try await promises.sendersAtOnce() }

  @Test("what cannot be kept is refused, and leaves nothing")
  func absurdMessagesAreRefused() async throws { try await promises.absurdMessagesAreRefused() }

  @Test("of workers that reach for one message at once, one gets it")
  func claimsAreExclusive_E08() async throws { try await promises.claimsAreExclusive() }

  @Test("a live lease is not taken, a later worker takes over, and the replaced one's end is ignored")
  func replacedWorkersEndNothing_E08() async throws { try await promises.replacedWorkersEndNothing() }

  @Test("what a worker ends after it was given up counts for nothing")
  func lateEndsCountForNothing_E08() async throws { try await promises.lateEndsCountForNothing() }

  @Test("a message that only wakes is for a worker that starts after it was sent")
  func wakingMessagesWait_E09() async throws { try await promises.wakingMessagesWaitForALaterWorker() }

  @Test("a message that always fails is a dead letter in the end, holds nothing up, and can be put back")
  func failuresBecomeDeadLetters_E13() async throws { try await promises.failuresBecomeDeadLetters() }

  @Test("what was taken back is not worked on, and what is done with is not taken back")
  func cancelledIsNotWorkedOn() async throws { try await promises.cancelledIsNotWorkedOn() }

  @Test("looking for a mailbox makes none, and a closed store refuses")
  func lookingMakesNothing() async throws { try await promises.lookingMakesNothing() }

  @Test("what the worker says is received in its order until it is acknowledged")
  func saidIsReceivedUntilAcknowledged() async throws { try await promises.saidIsReceivedUntilAcknowledged() }

  @Test("drained twice, or by two at once, everything came over once")
  func drainingIsOnce_E07() async throws { try await promises.drainingIsOnce() }

  @Test("what may not be delivered yet is left out before anything is counted")
  func filterComesFirst_E11() async throws { try await promises.filterComesFirst() }

  @Test(
    "a delivery is written down before it is tried; given up, it is a dead letter, and the worker is told")
  func deliveriesAreWrittenDown_E04() async throws { try await promises.deliveriesAreWrittenDown() }

  @Test("a schedule is run at its time, once, and moves on")
  func schedulesAreRun_E10() async throws { try await promises.schedulesAreRunAtTheirTime() }

  @Test("of eight hosts that find a schedule due at once, one runs it")
  func oneHostRunsASchedule_E10() async throws { try await promises.oneHostRunsASchedule() }

  @Test("a message that still waits is joined by no other, unless every time is wanted")
  func waitingRunsAreNotJoined_E10() async throws { try await promises.waitingRunsAreNotJoined() }

  @Test("times at which no host was up are skipped, made up for once, or each")
  func missedTimesFollowTheRule_E10() async throws { try await promises.missedTimesFollowTheRule() }

  @Test("a clock that jumps makes no schedule run twice, and puts none off")
  func clocksMayJump_E10() async throws { try await promises.clocksMayJump() }

  @Test("times are meant in the schedule's zone, where clocks change")
  func zonesAreFollowed_E10() async throws { try await promises.zonesAreFollowed() }

  @Test("replaced by one with the same rule, a schedule is due when it was")
  func replacingPutsNothingOff_E10() async throws { try await promises.replacingPutsNothingOff() }

  @Test("paused it sends nothing and misses nothing, ended nothing, and asked to at once")
  func schedulesArePausedAndEnded_E10() async throws { try await promises.schedulesArePausedAndEnded() }

  @Test("what can never be run is refused and leaves nothing")
  func absurdSchedulesAreRefused_E10() async throws { try await promises.absurdSchedulesAreRefused() }
}

/// A home of mailboxes, and the workers on their other side.
struct MailboxHome: Sendable {
  private let directory: TemporaryDirectory
  private var home: String { directory.file("home") }
  // The close of one drops the locks of the whole process (row B01): they stay to the end.
  private let workers = Monitor<[ForeignConnection]>([])

  init() throws { directory = try TemporaryDirectory() }

  func open() -> SQLiteMailboxStore {
    var configuration = MailboxConfiguration()
    configuration.firstPause = .zero
    return SQLiteMailboxStore(home: home, configuration: configuration)
  }

  /// The promises, to be asked of stores on this home.
  func promises(
    _ change: @escaping @Sendable (SQLiteMailboxStore) -> any MailboxStore = { $0 }
  ) -> MailboxStoreConformance {
    MailboxStoreConformance {
      change(open())
    } worker: { address, incarnation, name in
      let worker = try SQLiteMailboxWorker(home: home, address, incarnation: incarnation, name: name)
      workers.withLock { $0.append(worker.connection) }
      return worker
    } count: { address, incarnation in
      let store = open()
      try await store.with(address) { mailbox in
        try await mailbox.write { db in
          try db.execute(sql: "UPDATE worker SET incarnation = ?", arguments: [incarnation])
        }
      }
      await store.close()
    }
  }
}
