// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastSessions
import HoldfastTestKit
import Testing

/// One way to break a promise, each with the promise that finds it out.
enum Alteration: String, CaseIterable, Sendable {
  case repairsInSilence, ordersByTime, toldPlacesRepeat, appendNeedsTheSession, appendsOneByOne,
    uidsAreIgnored
  case resumeKeepsNothing, acceptsTwice, acceptsInMemory, waitingIsNotTold, closeLeavesOpen
  case alwaysCreated, costsStayBelow, lateParentIsIgnored, deletionTakesForks, refusedCreationStays
  case forkTakesAll, continuationEndsNothing, treeIsNeverCut
  case fewIDs, piecesOfListsSkip, modelOverrules, rewindWantsTheWholeID, endsAgain
  case streamLosesPieces, streamForgetsItsBeginning, streamsGiveUpWhenHeld, streamsInMemory, streamsMix
  case undoneIsGone, summaryComesLast, piecesOfTranscriptsSkip
  case dryRunPrunes, pruningIgnoresTheSource, exportIsOfTheLive, takesLineByLine

  /// The promise it breaks.
  var promise: @Sendable (SessionStoreConformance) async throws -> Void {
    switch self {
    case .repairsInSilence: { try await $0.unstorableTextIsRepaired() }
    case .ordersByTime: { try await $0.orderIsThatOfAcknowledgement() }
    case .toldPlacesRepeat: { try await $0.writersAtOnceGetPlacesOfTheirOwn() }
    case .appendNeedsTheSession: { try await $0.appendMakesTheSession() }
    case .appendsOneByOne: { try await $0.appendingIsOneStep() }
    case .uidsAreIgnored: { try await $0.sameUIDIsTheSameMessage() }
    case .resumeKeepsNothing: { try await $0.danglingCallIsClosedOnce() }
    case .acceptsTwice: { try await $0.acceptedMessagesLandOnce() }
    case .acceptsInMemory: { try await $0.acceptedMessagesOutliveTheirStore() }
    case .waitingIsNotTold: { try await $0.acceptedMessagesWaitWhileItIsHeld() }
    case .closeLeavesOpen: { try await $0.closedStoreRefuses() }
    case .alwaysCreated: { try await $0.creatingTwiceIsCreatingOnce() }
    case .costsStayBelow: { try await $0.costsRollUpOnce() }
    case .lateParentIsIgnored: { try await $0.costsOfALateChildAreAdded() }
    case .deletionTakesForks: { try await $0.deletionFollowsItsRule() }
    case .refusedCreationStays: { try await $0.cyclesAreRefused() }
    case .forkTakesAll: { try await $0.forkGoesItsOwnWay() }
    case .continuationEndsNothing: { try await $0.continuationFollows() }
    case .treeIsNeverCut: { try await $0.treeShowsWhatCameFromIt() }
    case .fewIDs: { try await $0.anyNumberOfIDs() }
    case .piecesOfListsSkip: { try await $0.listsAreFilteredAndWhole() }
    case .modelOverrules: { try await $0.titlesAreUnique() }
    case .rewindWantsTheWholeID: { try await $0.beginningsOfIDsNameSessions() }
    case .endsAgain: { try await $0.endingAndPuttingAwayAreIdempotent() }
    case .streamLosesPieces: { try await $0.streamedMessageIsWhole() }
    case .streamForgetsItsBeginning: { try await $0.whatAStreamBeganWithStays() }
    case .streamsGiveUpWhenHeld: { try await $0.streamedPiecesWaitWhileItIsHeld() }
    case .streamsInMemory: { try await $0.unfinishedMessageStays() }
    case .streamsMix: { try await $0.streamsAtOnceDoNotMix() }
    case .undoneIsGone: { try await $0.rewindTakesBackSoftly() }
    case .summaryComesLast: { try await $0.summaryStandsForMessages() }
    case .piecesOfTranscriptsSkip: { try await $0.piecesMakeTheTranscript() }
    case .dryRunPrunes: { try await $0.pruningRemovesWhatNobodyKeeps() }
    case .pruningIgnoresTheSource: { try await $0.pruningIsFiltered() }
    case .exportIsOfTheLive: { try await $0.exportTakenInIsTheSame() }
    case .takesLineByLine: { try await $0.exportIsInOrder() }
    }
  }
}

/// That the suite every store has to pass cannot be passed by one that does not keep its promises.
@Suite("Session store: whether a broken promise is found out")
struct SessionStoreConformanceTests {
  /// Runs a promise against stores that stand behind another, altered or not.
  private func ask(_ promise: Alteration, altered: Bool) async throws {
    let home = try SessionHome()
    let opened = Monitor<[any SessionStore]>([])
    let stores = SessionStoreConformance { name in
      let store = try await home.open(name)
      opened.withLock { $0.append(store) }
      return AlteredSessionStore(store, altered ? promise : nil)
    } hold: {
      try await home.hold($0)
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

  @Test("a store that breaks one promise is found out by it", arguments: Alteration.allCases)
  func brokenPromiseIsFound(_ alteration: Alteration) async throws {
    await #expect(throws: (any Error).self) { try await ask(alteration, altered: true) }
  }

  @Test("a store of another's making that breaks none passes", arguments: Alteration.allCases)
  func keptPromiseIsFound(_ alteration: Alteration) async throws {
    try await ask(alteration, altered: false)
  }
}
