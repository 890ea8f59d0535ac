// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine
import HoldfastTestKit
import Testing

/// One way to break a promise, each with the promise that finds it out.
enum StateAlteration: String, CaseIterable, Sendable {
  case respells, takesAnyKey, comparesNothing, comparesApart, versionsRepeat, oneByOne, showsExpired
  case pagesSkip, prefixIsIgnored, forgetsSecrets
  case firstCounts, flushIsNoBarrier, overtakes, holdsInSilence, dropsVersions, closeForgets

  /// The promise it breaks.
  var promise: @Sendable (StateStoreConformance) async throws -> Void {
    switch self {
    case .respells: { try await $0.valuesComeBackAsTheyWent() }
    case .takesAnyKey: { try await $0.whatCannotBeKeptIsRefused() }
    case .comparesNothing: { try await $0.comparedBeforeItIsSet() }
    case .comparesApart: { try await $0.incrementsAreExact() }
    case .versionsRepeat: { try await $0.versionsAreNeverSeenTwice() }
    case .oneByOne: { try await $0.changesAreAllOrNone() }
    case .showsExpired: { try await $0.expiredIsNotThere() }
    case .pagesSkip, .prefixIsIgnored: { try await $0.listsAreWholeAndInOrder() }
    case .forgetsSecrets: { try await $0.secretsStaySecret() }
    case .firstCounts, .flushIsNoBarrier: { try await $0.laterValuesCoalesce() }
    case .overtakes: { try await $0.laterValuesDoNotOvertake() }
    case .holdsInSilence: { try await $0.laterValuesWaitWhileItIsHeld() }
    case .dropsVersions: { try await $0.laterAsksForNoVersion() }
    case .closeForgets: { try await $0.closingWritesWhatWaits() }
    }
  }
}

/// That the suite every store has to pass cannot be passed by one that does not keep its promises.
@Suite("State store: whether a broken promise is found out")
struct StateStoreConformanceTests {
  /// Runs a promise against stores that stand behind another, altered or not.
  private func ask(_ promise: StateAlteration, altered: Bool) async throws {
    let home = try StateHome()
    let opened = Monitor<[any StateStore]>([])
    let stores = StateStoreConformance { name in
      let store = try home.open(name)
      opened.withLock { $0.append(store) }
      return AlteredStateStore(store, altered ? promise : nil)
    } hold: {
      try home.hold($0)
    }
    let outcome: Result<Void, any Error>
    do {
      outcome = .success(try await promise.promise(stores))
    } catch {
      outcome = .failure(error)
    }
    for store in opened.withLock({ $0 }) { await store.close() }
    try outcome.get()
  }

  @Test("a store that breaks one promise is found out by it", arguments: StateAlteration.allCases)
  func brokenPromiseIsFound(_ alteration: StateAlteration) async throws {
    await #expect(throws: (any Error).self) { try await ask(alteration, altered: true) }
  }

  @Test("a store of another's making that breaks none passes", arguments: StateAlteration.allCases)
  func keptPromiseIsFound(_ alteration: StateAlteration) async throws {
    try await ask(alteration, altered: false)
  }
}
