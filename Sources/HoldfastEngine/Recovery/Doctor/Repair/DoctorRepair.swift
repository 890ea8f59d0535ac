// SPDX-License-Identifier: Apache-2.0

/// Repairs what the doctor found, so that the file is never worse than before.
///
/// A plan is made and shown first. What replaces or changes files holds the lane's turn and SQLite's own
/// exclusive lock and refuses while anybody uses the file; the old files are kept; and each step leaves a state
/// from which the next run goes on, however it was ended.
package enum DoctorRepair {
  /// What would be done with what was examined. Changes nothing.
  package static func plan(for subject: DoctorSubject, _ diagnosis: Diagnosis) async throws -> RepairPlan {
    try await BlockingThread.run(named: "hf-doctor") {
      RepairPlan.make(
        for: subject, verdict: diagnosis.verdict, users: diagnosis.holders,
        isForbidden: diagnosis.findings.contains { $0.code == "permission" }, facts: .gather(subject))
    }
  }

  /// Examines a subject and plans its repair. Changes nothing.
  ///
  /// A set whose move into quarantine was interrupted lies in two places; what is found of it at its path says
  /// nothing, and perhaps nothing is left there. That is found first, and not by the doctor.
  /// - Throws: as ``Doctor/examine(_:options:)``.
  package static func examine(
    _ subject: DoctorSubject, options: Doctor.Options = .init()
  ) async throws -> (diagnosis: Diagnosis, plan: RepairPlan) {
    var diagnosis: Diagnosis
    if subject.quarantine == nil, Quarantine.hasBegun(of: subject.path) {
      diagnosis = Diagnosis(path: subject.path, verdict: .damaged)
      diagnosis.findings = [
        .init(
          "interrupted-move", .error,
          "Setting \(subject.path.fileName) and its sidecars aside was interrupted, so the set is in two places.",
          remedy: "Run `holdfast doctor --repair \(subject.path)`.")
      ]
      diagnosis.holders = FileUsers.of(subject.path).processes
    } else {
      diagnosis = try await Doctor.examine(subject, options: options)
    }
    return (diagnosis, try await plan(for: subject, diagnosis))
  }

  /// Does what the plan says, and examines the file again.
  ///
  /// - Parameter progress: called with the share done, 0 … 1, and what is being done.
  /// - Throws: ``StoreError``: `transient` with the holders while somebody is in the way; the refusal of the
  ///   plan; or why it could not be done. The files are then as they were, or as an interruption leaves them:
  ///   the next run completes it.
  package static func carryOut(
    _ plan: RepairPlan, progress: @escaping @Sendable (Double, String) -> Void = { _, _ in }
  ) async throws -> RepairReport {
    try await carryOut(plan, progress: progress, step: { _ in })
  }

  /// As ``carryOut(_:progress:)``, with a look in behind each step; what `step` throws ends the repair there.
  package static func carryOut(
    _ plan: RepairPlan, progress: @escaping @Sendable (Double, String) -> Void,
    step: @escaping @Sendable (RepairStep) throws -> Void
  ) async throws -> RepairReport {
    var report = RepairReport()
    var plan = plan
    // What a repair in the file itself brings to light may need a new database; that is the end of it.
    for round in 0..<4 {
      switch plan.action {
      case .nothing:
        if report.diagnosis == nil { report.diagnosis = try await Doctor.examine(plan.subject) }
        return report
      case .refuse(let refusal):
        if round > 0 { return report }
        throw StoreError(
          refusal.code, refusal.message, path: plan.subject.path, holders: refusal.holders.map(\.lockHolder))
      case .clear, .completeMove, .rollBack, .reindex, .rebuild:
        let (current, soFar) = (plan, report)
        do {
          let done = try await BlockingThread.run(named: "hf-repair") {
            try perform(current, soFar, progress, step)
          }
          report = done.report
          plan = try await next(done, after: plan, &report)
        } catch let error as StoreError where round > 0 {
          // What was done before stays done, and is told of.
          report.problems.append(error.message)
          return report
        }
      }
    }
    return report
  }

  private struct Done: Sendable {
    var report: RepairReport
    /// Whether only a new database will do.
    var needsRebuild = false
  }

  private static func perform(
    _ plan: RepairPlan, _ report: RepairReport, _ progress: @escaping @Sendable (Double, String) -> Void,
    _ step: @escaping @Sendable (RepairStep) throws -> Void
  ) throws -> Done {
    let path = plan.subject.path
    if plan.action == .clear { return Done(report: try clear(path, report)) }
    let exclusion = try RepairExclusion(path, unless: plan.facts.stamps)
    defer { exclusion.end() }
    var done = Done(report: report)
    let inPlace = RepairInPlace(path: path, verdict: plan.verdict, exclusion: exclusion, step: step)
    switch plan.action {
    case .completeMove:
      // The move locks the file itself.
      exclusion.admitOthers()
      try Quarantine.finish(of: path, lane: exclusion.lane) { try step(.quarantine("\($0)")) }
      done.report.actions.append("Completed the setting aside of \(path.fileName) that was interrupted.")
    case .rollBack: try inPlace.rollBack(into: &done.report)
    case .reindex: done.needsRebuild = try !inPlace.reindex(into: &done.report)
    case .rebuild:
      try RepairRebuild(
        subject: plan.subject, verdict: plan.verdict, exclusion: exclusion, progress: progress, step: step
      ).run(into: &done.report)
    case .nothing, .clear, .refuse: break
    }
    return done
  }

  /// Removes what a killed repair left; the turn says that no other is at it.
  private static func clear(_ path: String, _ report: RepairReport) throws -> RepairReport {
    let lane = try WriteLane(databasePath: path)
    defer { lane.file.close() }
    try lane.enter(by: .now + .seconds(2))
    defer { lane.leave() }
    RepairTemporary.clear(for: path)
    var report = report
    report.actions.append("Removed what an interrupted repair had left beside \(path.fileName).")
    return report
  }

  /// Looks at the file again, and plans what is still to be done.
  private static func next(
    _ done: Done, after plan: RepairPlan, _ report: inout RepairReport
  ) async throws -> RepairPlan {
    // After a completed move what is to be repaired lies in quarantine; else it is at its path.
    let subject = try Doctor.subjects(of: plan.subject.path).first ?? DoctorSubject(path: plan.subject.path)
    let diagnosis = try await Doctor.examine(subject)
    report.diagnosis = diagnosis
    var next = try await Self.plan(for: subject, diagnosis)
    if done.needsRebuild, next.action == .reindex { next.action = .rebuild }
    // A new database that is not well is not made a second time.
    if plan.action == .rebuild { next.action = .nothing }
    return next
  }
}
