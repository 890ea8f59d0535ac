// SPDX-License-Identifier: Apache-2.0

import Testing

@testable import HoldfastEngine

/// What is done about each verdict: a table, with no file anywhere.
@Suite struct RepairPlanTests {
  private let place = DoctorSubject(path: "/data/a.db")
  private let writer = FileUser(pid: 7, command: "python3 hold.py", locks: ["a RESERVED lock"])

  private func plan(
    _ verdict: FileVerdict, of subject: DoctorSubject? = nil, users: [FileUser] = [],
    isForbidden: Bool = false,
    _ change: (inout RepairFacts) -> Void = { _ in }
  ) -> RepairPlan {
    let subject = subject ?? place
    var facts = RepairFacts(path: subject.path)
    change(&facts)
    return RepairPlan.make(
      for: subject, verdict: verdict, users: users, isForbidden: isForbidden, facts: facts)
  }

  private func refusal(_ plan: RepairPlan) -> RepairPlan.Refusal? {
    if case .refuse(let refusal) = plan.action { refusal } else { nil }
  }

  private var setAside: DoctorSubject {
    let manifest = QuarantineManifest(
      path: "/data/a.db", name: "a.db", verdict: .notADatabase, reason: "It was overwritten.", time: "",
      pid: 1,
      files: [])
    return DoctorSubject(QuarantineEntry(directory: "/data/quarantine/a.db-x", manifest: manifest))
  }

  @Test(
    arguments: [
      (.healthy, .nothing), (.fresh, .nothing), (.hotJournal, .rollBack), (.indexDamaged, .reindex),
      (.walOrphan, .rebuild), (.zeroed, .rebuild), (.notADatabase, .rebuild), (.truncated, .rebuild),
      (.damaged, .rebuild),
    ] as [(FileVerdict, RepairPlan.Action)])
  func aFileNobodyUsesIsRepairedAsItsVerdictSays(_ verdict: FileVerdict, _ action: RepairPlan.Action) {
    let plan = plan(verdict)
    #expect(plan.action == action)
    #expect(plan.steps.isEmpty == (action == .nothing))
    #expect(plan.steps.allSatisfy { $0.hasSuffix(".") })
  }

  @Test func whatAKilledRepairLeftIsRemovedAlsoBesideASoundFile_C06() {
    #expect(plan(.healthy) { $0.hasLeftovers = true }.action == .clear)
    #expect(plan(.healthy, users: [writer]) { $0.hasLeftovers = true }.action == .clear)
  }

  @Test func whatIsNotDamageIsRefusedWithItsRemedy() {
    #expect(refusal(plan(.busy, users: [writer]))?.code == .transient)
    #expect(refusal(plan(.busy, users: [writer]))?.holders == [writer])
    #expect(refusal(plan(.newerSchema))?.code == .newerSchema)
    #expect(refusal(plan(.unreadable, isForbidden: true))?.code == .permission)
    #expect(refusal(plan(.unreadable))?.code == .cannotOpen)
    for verdict in FileVerdict.allCases {
      let message = refusal(plan(verdict, users: [writer]))?.message
      #expect(message?.contains("nothing") ?? true, "\(verdict): \(message ?? "")")
    }
  }

  @Test func aDamagedFileThatSomebodyHasOpenIsLeftAlone_C02() {
    for verdict in FileVerdict.allCases where verdict != .healthy && verdict != .fresh {
      let reader = FileUser(pid: 8, command: "less", locks: [FileUser.openWithoutLock])
      let refusal = refusal(plan(verdict, users: [reader]))
      #expect(refusal != nil, "\(verdict)")
      if verdict != .newerSchema, verdict != .unreadable {
        #expect(refusal?.holders == [reader], "\(verdict)")
      }
    }
  }

  @Test func whereNothingIsLeftTheNewestBackupIsNamed_C05() {
    let without = refusal(plan(.zeroed) { $0.hasContent = false })
    #expect(without?.code == .damaged)
    #expect(without?.message.contains("/data/backups") == true)
    let with = refusal(
      plan(.zeroed) {
        $0.hasContent = false
        $0.backups = ["a-1.db", "a-2.db"]
      })
    #expect(with?.message.contains("a-2.db") == true)
    #expect(with?.message.contains("holdfast restore") == true)
  }

  @Test func anInterruptedMoveIsCompletedBeforeAnythingIsSaidOfWhatIsLeft_C06() {
    let plan = plan(.notADatabase) {
      $0.hasBegunMove = true
      $0.hasContent = false
    }
    #expect(plan.action == .completeMove)
  }

  @Test func whatCannotBeReplacedByThisUserIsNotTouched_C11() {
    let refusal = refusal(plan(.damaged) { $0.obstacle = "a.db belongs to user 5, so nothing was changed." })
    #expect(refusal?.code == .permission)
  }

  @Test(arguments: FileVerdict.allCases.filter { ![.busy, .newerSchema, .unreadable].contains($0) })
  func aSetThatWasPutAsideIsRebuiltToItsPathWhateverIsWrongWithIt_C06(verdict: FileVerdict) {
    #expect(plan(verdict, of: setAside) { $0.isTaken = false }.action == .rebuild)
    let refusal = refusal(plan(verdict, of: setAside))
    #expect(refusal?.message.contains("A database is at /data/a.db") == true)
  }

  @Test func thePlanSaysWhereTheOldFilesGo() {
    #expect(plan(.damaged).steps.contains { $0.contains("/data/quarantine") })
    #expect(plan(.hotJournal).steps.first?.contains("/data/quarantine") == true)
    let again = plan(.damaged, of: setAside) { $0.isTaken = false }.steps
    #expect(again.first?.contains("/data/quarantine/a.db-x") == true)
    #expect(!again.contains { $0.hasPrefix("Move") })
  }
}
