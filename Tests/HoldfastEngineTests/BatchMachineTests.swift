// SPDX-License-Identifier: Apache-2.0

import HoldfastTestKit
import Testing

@testable import HoldfastEngine

@Suite struct BatchMachineTests {
  @Test func theFirstCallerNeedsNoSavepoint() {
    var batch = BatchMachine<Int>()
    #expect(batch.admit(1) == .direct)
    #expect(batch.admit(2) == .savepoint)
    #expect(batch.bodyThrew(2) == .savepoint)
    #expect(batch.admit(3) == .savepoint)
    #expect(batch.committed().acknowledged == [1, 3])
    #expect(batch.isEmpty)
  }

  @Test func aSoleFailingCallerTakesTheTransactionWithIt() {
    var batch = BatchMachine<Int>()
    _ = batch.admit(1)
    #expect(batch.bodyThrew(1) == .transaction)
    #expect(batch.isEmpty)
  }

  @Test func whatSQLiteRolledBackIsReplayedForTheOthers() {
    var batch = BatchMachine<Int>()
    for id in 1...3 { _ = batch.admit(id) }
    let verdict = batch.transactionEnded(.rolledBack, during: 3)
    #expect(verdict == .init(replayed: [1, 2]))
  }

  @Test func whatABodyCommittedIsAcknowledgedForTheOthers() {
    var batch = BatchMachine<Int>()
    for id in 1...3 { _ = batch.admit(id) }
    #expect(batch.transactionEnded(.committed, during: 3) == .init(acknowledged: [1, 2]))
  }

  @Test(arguments: [ResultClass.constraint, .full])
  func aCommitRefusedForOneIsReplayedOneByOne(reason: ResultClass) {
    var batch = BatchMachine<Int>()
    for id in 1...3 { _ = batch.admit(id) }
    #expect(batch.commitFailed(reason) == .init(replayed: [1, 2, 3], replayAlone: true))
    _ = batch.admit(2)
    #expect(batch.commitFailed(reason) == .init(failed: [2]))
  }

  @Test(arguments: [
    (ResultClass.lock, StoreError.Outcome.notApplied), (.full, .notApplied), (.io, .unknown),
    (.damagedFile, .unknown),
  ])
  func aFailedCommitTellsWhatIsKnown(reason: ResultClass, outcome: StoreError.Outcome) {
    var batch = BatchMachine<Int>()
    _ = batch.admit(1)
    let verdict = batch.commitFailed(reason)
    #expect(verdict.failed == [1])
    #expect(verdict.outcome == outcome)
  }

  @Test func theLaneIsHeldLongerOnlyWhileNobodyWaits() {
    var batch = BatchMachine<Int>(
      limits: .init(contended: .milliseconds(5), alone: .milliseconds(20), members: 3))
    _ = batch.admit(1)
    #expect(!batch.isDue(after: .milliseconds(4), contended: true))
    #expect(batch.isDue(after: .milliseconds(5), contended: true))
    #expect(!batch.isDue(after: .milliseconds(5), contended: false))
    #expect(batch.isDue(after: .milliseconds(20), contended: false))
    _ = batch.admit(2)
    _ = batch.admit(3)
    #expect(batch.isDue(after: .zero, contended: false))
  }

  /// Whatever happens, a caller is told exactly one thing, in order, and only what a transaction made true.
  @Test(arguments: 0..<200)
  func everyCallerIsToldOnceAndTheTruth(seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var queue = Array(0..<40)
    var alone: Set<Int> = []
    var durable: Set<Int> = []
    var acknowledged: [Int] = []
    var failed: Set<Int> = []
    var batch = BatchMachine<Int>()
    var inTransaction: Set<Int> = []
    func settle(_ verdict: BatchMachine<Int>.Verdict) {
      acknowledged += verdict.acknowledged
      failed.formUnion(verdict.failed)
      queue = verdict.replayed + queue
      if verdict.replayAlone { alone.formUnion(verdict.replayed) }
      inTransaction = []
    }
    while !queue.isEmpty || !batch.isEmpty {
      if let next = queue.first,
        !batch.isEmpty ? !alone.contains(next) && Int.random(in: 0..<4, using: &random) > 0 : true
      {
        queue.removeFirst()
        _ = batch.admit(next)
        inTransaction.insert(next)
        switch Int.random(in: 0..<20, using: &random) {
        case 0, 1, 2:
          failed.insert(next)
          inTransaction.remove(next)
          if batch.bodyThrew(next) == .transaction { #expect(inTransaction.isEmpty) }
        case 3:
          failed.insert(next)
          inTransaction.remove(next)
          settle(batch.transactionEnded(.rolledBack, during: next))
        case 4:
          failed.insert(next)
          durable.formUnion(inTransaction)
          settle(batch.transactionEnded(.committed, during: next))
        default: break
        }
        if !alone.contains(next) { continue }
      }
      guard !batch.isEmpty else { continue }
      switch Int.random(in: 0..<10, using: &random) {
      case 0: settle(batch.commitFailed(.constraint))
      case 1: settle(batch.commitFailed(.lock))
      case 2: settle(batch.transactionLost())
      default:
        durable.formUnion(inTransaction)
        settle(batch.committed())
      }
    }
    #expect(Set(acknowledged).count == acknowledged.count)
    #expect(Set(acknowledged).isSubset(of: durable))
    #expect(failed.isDisjoint(with: acknowledged))
    #expect(failed.union(acknowledged) == Set(0..<40))
  }
}
