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

  func addresses() async throws -> [MailboxAddress] { try await base.addresses() }

  func close() async { await base.close() }
}
