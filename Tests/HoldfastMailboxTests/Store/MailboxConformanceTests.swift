// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastMailbox

/// One way to break a promise, each with the promise that finds it out.
enum MailboxAlteration: String, CaseIterable, Sendable {
  case idsAreIgnored, everySenderSends, keepsTheAbsurd, tellsHalfTheClaims, endsOfTheReplacedCount
  case releasesTwice, countsContext, losesRouting, retriesTheWrong, cancelsTheDone, makesWhatItLooksFor
  case acknowledgesNothing, acknowledgesTheUnknown, drainsAgain, capsBeforeItFilters, triesWhatIsDone
  case saysNothingOfRuns, everyHostRuns, joinsWhatWaits, makesUpForAll, runsAfterAJump, ignoresZones
  case beginsAnew, pausesNothing, makesMailboxesForTheAbsurd

  /// The promise it breaks.
  var promise: @Sendable (MailboxStoreConformance) async throws -> Void {
    switch self {
    case .idsAreIgnored: { try await $0.sameIDIsTheSameMessage() }
    case .everySenderSends: { try await $0.sendersAtOnce() }
    case .keepsTheAbsurd: { try await $0.absurdMessagesAreRefused() }
    case .tellsHalfTheClaims: { try await $0.claimsAreExclusive() }
    case .endsOfTheReplacedCount: { try await $0.replacedWorkersEndNothing() }
    case .releasesTwice: { try await $0.lateEndsCountForNothing() }
    case .countsContext: { try await $0.wakingMessagesWaitForALaterWorker() }
    case .losesRouting, .retriesTheWrong: { try await $0.failuresBecomeDeadLetters() }
    case .cancelsTheDone: { try await $0.cancelledIsNotWorkedOn() }
    case .makesWhatItLooksFor: { try await $0.lookingMakesNothing() }
    case .acknowledgesNothing, .acknowledgesTheUnknown: { try await $0.saidIsReceivedUntilAcknowledged() }
    case .drainsAgain: { try await $0.drainingIsOnce() }
    case .capsBeforeItFilters: { try await $0.filterComesFirst() }
    case .triesWhatIsDone: { try await $0.deliveriesAreWrittenDown() }
    case .saysNothingOfRuns: { try await $0.schedulesAreRunAtTheirTime() }
    case .everyHostRuns: { try await $0.oneHostRunsASchedule() }
    case .joinsWhatWaits: { try await $0.waitingRunsAreNotJoined() }
    case .makesUpForAll: { try await $0.missedTimesFollowTheRule() }
    case .runsAfterAJump: { try await $0.clocksMayJump() }
    case .ignoresZones: { try await $0.zonesAreFollowed() }
    case .beginsAnew: { try await $0.replacingPutsNothingOff() }
    case .pausesNothing: { try await $0.schedulesArePausedAndEnded() }
    case .makesMailboxesForTheAbsurd: { try await $0.absurdSchedulesAreRefused() }
    }
  }
}

/// That the suite every store has to pass cannot be passed by one that does not keep its promises.
@Suite("Mailbox store: whether a broken promise is found out")
struct MailboxConformanceTests {
  @Test("a store that breaks one promise is found out by it", arguments: MailboxAlteration.allCases)
  func brokenPromiseIsFound(_ alteration: MailboxAlteration) async throws {
    let stores = try MailboxHome().promises { AlteredMailboxStore(base: $0, alteration: alteration) }
    await #expect(throws: BrokenPromise.self) { try await alteration.promise(stores) }
  }

  @Test("a store of another's making that breaks none passes", arguments: MailboxAlteration.allCases)
  func keptPromiseIsFound(_ alteration: MailboxAlteration) async throws {
    try await alteration.promise(
      try MailboxHome().promises { AlteredMailboxStore(base: $0, alteration: nil) })
  }
}

/// A store that does what another does, but for one thing.
private struct AlteredMailboxStore: MailboxStore {
  let base: SQLiteMailboxStore
  let alteration: MailboxAlteration?

  func send(_ message: NewMailboxMessage, to address: MailboxAddress) async throws -> MailboxReceipt {
    var message = message
    switch alteration {
    case .idsAreIgnored, .everySenderSends: message.id = nil
    case .keepsTheAbsurd where message.maximumTries < 1: message.maximumTries = 1
    case .losesRouting: message.routing = nil
    default: break
    }
    return try await base.send(message, to: address)
  }

  func cancel(_ id: String, in address: MailboxAddress) async throws -> Bool {
    let isCancelled = try await base.cancel(id, in: address)
    return isCancelled || alteration == .cancelsTheDone
  }

  func drain(_ address: MailboxAddress) async throws -> MailboxDrain {
    var drain = try await base.drain(address)
    if alteration == .drainsAgain || alteration == .endsOfTheReplacedCount { drain.finished += 1 }
    return drain
  }

  func receive(from address: MailboxAddress, limit: Int, after seq: Int64?) async throws -> OutboundPage {
    if alteration == .makesWhatItLooksFor { try await base.with(address, making: true) { _ in } }
    return try await base.receive(from: address, limit: limit, after: seq)
  }

  func acknowledge(_ id: String, in address: MailboxAddress) async throws -> MailboxReceipt {
    if alteration == .acknowledgesNothing { return MailboxReceipt(id: id, seq: 4, duplicate: false) }
    do {
      return try await base.acknowledge(id, in: address)
    } catch let error as MailboxError where error.code == .notFound {
      guard alteration == .acknowledgesTheUnknown else { throw error }
      return MailboxReceipt(id: id, seq: 0, duplicate: false)
    }
  }

  func claims(in address: MailboxAddress) async throws -> [MailboxClaim] {
    let claims = try await base.claims(in: address)
    return alteration == .tellsHalfTheClaims ? Array(claims.prefix(claims.count / 2)) : claims
  }

  func releaseClaims(through incarnation: Int64, in address: MailboxAddress) async throws -> Int {
    let count = try await base.releaseClaims(through: incarnation, in: address)
    return alteration == .releasesTwice ? max(count, 1) : count
  }

  func dueCount(in address: MailboxAddress) async throws -> Int {
    let count = try await base.dueCount(in: address)
    return alteration == .countsContext ? count + 1 : count
  }

  func dueDeliveries(
    in address: MailboxAddress, perKind limit: Int, now: UTCInstant
  ) async throws -> [DueDelivery] {
    if alteration == .capsBeforeItFilters {
      let later = try await base.dueDeliveries(
        in: address, perKind: limit, now: UTCInstant.supported.upperBound)
      return later.filter { ($0.message.deliverAfter ?? now) <= now }
    }
    return try await base.dueDeliveries(in: address, perKind: limit, now: now)
  }

  func beginDelivery(
    _ id: String, in address: MailboxAddress, nextAttempt: UTCInstant, now: UTCInstant
  ) async throws -> Bool {
    let isBegun = try await base.beginDelivery(id, in: address, nextAttempt: nextAttempt, now: now)
    return isBegun || alteration == .triesWhatIsDone
  }

  func postponeDelivery(
    _ id: String, in address: MailboxAddress, error: String, nextAttempt: UTCInstant
  ) async throws {
    try await base.postponeDelivery(id, in: address, error: error, nextAttempt: nextAttempt)
  }

  func giveUpDelivery(
    _ id: String, in address: MailboxAddress, reason: String, error: String?
  ) async throws -> Bool {
    try await base.giveUpDelivery(id, in: address, reason: reason, error: error)
  }

  func summary(of address: MailboxAddress) async throws -> MailboxSummary {
    try await base.summary(of: address)
  }

  func messages(
    in address: MailboxAddress, states: Set<InboundStatus>, limit: Int, after seq: Int64?
  ) async throws -> InboundPage {
    try await base.messages(in: address, states: states, limit: limit, after: seq)
  }

  func deadLetters(in address: MailboxAddress) async throws -> DeadLetterList {
    try await base.deadLetters(in: address)
  }

  func retry(_ ids: [String]?, in address: MailboxAddress) async throws -> Int {
    try await base.retry(alteration == .retriesTheWrong ? nil : ids, in: address)
  }

  func putSchedule(
    _ schedule: NewMailboxSchedule, in address: MailboxAddress, now: UTCInstant
  ) async throws -> MailboxSchedule {
    var schedule = schedule
    switch alteration {
    case .joinsWhatWaits, .makesUpForAll: schedule.missed = .all
    case .ignoresZones: schedule.timeZone = "UTC"
    case .makesMailboxesForTheAbsurd where schedule.series.isEmpty: schedule.series = "none"
    case .beginsAnew:
      if (try? await base.schedules(in: address).schedules.isEmpty) == false {
        try await base.cancelSchedule(schedule.series, in: address)
      }
    default: break
    }
    return try await base.putSchedule(schedule, in: address, now: now)
  }

  func schedules(in address: MailboxAddress) async throws -> ScheduleList {
    try await base.schedules(in: address)
  }

  func pauseSchedule(_ series: String, in address: MailboxAddress) async throws -> MailboxSchedule {
    guard alteration == .pausesNothing else {
      return try await base.pauseSchedule(series, in: address)
    }
    let schedules = try await base.schedules(in: address).schedules
    guard var schedule = schedules.first(where: { $0.series == series }) else {
      throw MailboxError(.notFound, "There is none.")
    }
    (schedule.state, schedule.nextRun) = (.paused, nil)
    return schedule
  }

  func resumeSchedule(
    _ series: String, in address: MailboxAddress, now: UTCInstant
  ) async throws -> MailboxSchedule {
    try await base.resumeSchedule(series, in: address, now: now)
  }

  func cancelSchedule(_ series: String, in address: MailboxAddress) async throws -> MailboxSchedule {
    try await base.cancelSchedule(series, in: address)
  }

  func runSchedule(
    _ series: String, in address: MailboxAddress, now: UTCInstant
  ) async throws -> MailboxReceipt {
    try await base.runSchedule(series, in: address, now: now)
  }

  func runDueSchedules(in address: MailboxAddress, now: UTCInstant) async throws -> ScheduleRuns {
    var runs = try await base.runDueSchedules(in: address, now: now)
    switch alteration {
    case .saysNothingOfRuns: runs.sent = []
    case .everyHostRuns where runs.sent.isEmpty:
      // One that was late all the same says that it ran, as one does that sends before it moves the schedule on.
      runs.sent = try await base.messages(in: address, states: [.pending], limit: 1, after: nil).messages.map(
        \.id)
    case .runsAfterAJump where runs.sent.isEmpty:
      // As one does that trusts the clock more than what it ran.
      for schedule in try await base.schedules(in: address).schedules where schedule.lastRun ?? now > now {
        runs.sent.append(try await base.runSchedule(schedule.series, in: address, now: now).id)
      }
    default: break
    }
    return runs
  }

  func addresses() async throws -> [MailboxAddress] { try await base.addresses() }

  func close() async { await base.close() }
}
