// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastSessions
import HoldfastTestKit
import Testing

/// What every session store promises, asked of the one on SQLite.
@Suite("Session store: what it promises")
struct SessionStoreTests {
  private let home: SessionHome
  private var promises: SessionStoreConformance { home.promises }

  init() throws { home = try SessionHome() }

  // MARK: Messages

  @Test("text that cannot be stored is repaired in its field alone, and that is said")
  func unstorableTextIsRepaired_D01() async throws { try await promises.unstorableTextIsRepaired() }

  @Test("order is the order of acknowledgement, whatever the clock says")
  func orderIsNoTime_D02() async throws { try await promises.orderIsThatOfAcknowledgement() }

  @Test("writers at once get places of their own, without a gap")
  func writersAtOnceGetPlacesOfTheirOwn_D02() async throws {
    try await promises.writersAtOnceGetPlacesOfTheirOwn()
  }

  @Test("appending makes what is missing, also after a deletion")
  func appendMakesTheSession_D03() async throws { try await promises.appendMakesTheSession() }

  @Test("messages appended together are there together or not at all")
  func appendingIsOneStep() async throws { try await promises.appendingIsOneStep() }

  @Test("the same message again is one message, another under its uid is kept and told")
  func sameUidIsTheSameMessage_D05() async throws { try await promises.sameUIDIsTheSameMessage() }

  @Test("an open tool call gets its synthetic result once, in its place, and a late answer takes it over")
  func danglingCallIsClosedOnce_D06() async throws { try await promises.danglingCallIsClosedOnce() }

  @Test("what is accepted lands once, however often and from wherever it was sent")
  func acceptedMessagesAreNotDoubled_D05() async throws { try await promises.acceptedMessagesLandOnce() }

  @Test("what was accepted outlives the store that took it")
  func acceptedMessagesOutliveTheirStore() async throws {
    try await promises.acceptedMessagesOutliveTheirStore()
  }

  @Test("while another program holds the lock messages are accepted, told as waiting, and land once")
  func acceptedMessagesLandOnce_A06() async throws { try await promises.acceptedMessagesWaitWhileItIsHeld() }

  @Test("a closed store takes nothing and says so")
  func closedStoreRefuses() async throws { try await promises.closedStoreRefuses() }

  // MARK: Lineage

  @Test("creating again fills in and changes nothing else")
  func creatingTwiceIsCreatingOnce_D04() async throws { try await promises.creatingTwiceIsCreatingOnce() }

  @Test("costs of a hundred sub-agents reach every ancestor, each event once, failed children counted")
  func costsRollUpOnce_D07() async throws { try await promises.costsRollUpOnce() }

  @Test("a session put below another brings its costs along, once")
  func costsOfALateChildAreAdded_D07() async throws { try await promises.costsOfALateChildAreAdded() }

  @Test("deleting takes sub-agents along, moves forks up, keeps what was spent")
  func deletionFollowsItsRule_D08() async throws { try await promises.deletionFollowsItsRule() }

  @Test("no session comes from itself, and what is refused changes nothing")
  func cyclesAreRefused_D08() async throws { try await promises.cyclesAreRefused() }

  @Test("a fork goes its own way and costs nothing again")
  func forkGoesItsOwnWay() async throws { try await promises.forkGoesItsOwnWay() }

  @Test("a continuation begins with the summary, takes over what it does not say, and ends what it follows")
  func continuationFollows() async throws { try await promises.continuationFollows() }

  @Test("a tree has what came from a session and says when it is cut")
  func treeShowsWhatCameFromIt() async throws { try await promises.treeShowsWhatCameFromIt() }

  // MARK: Names and lists

  @Test("a hundred thousand ids in one call")
  func anyNumberOfIds_D09() async throws { try await promises.anyNumberOfIDs() }

  @Test("lists are filtered, and whole in pieces")
  func listsAreFilteredAndWhole() async throws { try await promises.listsAreFilteredAndWhole() }

  @Test("titles never collide and never abort; a user's outranks a model's")
  func titlesAreUnique() async throws { try await promises.titlesAreUnique() }

  @Test("ids may be cut short in every call")
  func beginningsOfIDsNameSessions() async throws { try await promises.beginningsOfIDsNameSessions() }

  @Test("ending and putting away twice is doing it once")
  func endingAndPuttingAwayAreIdempotent() async throws {
    try await promises.endingAndPuttingAwayAreIdempotent()
  }

  // MARK: Transcripts

  @Test("a streamed message is whole and counted once when it was finished")
  func streamedMessageIsWhole() async throws { try await promises.streamedMessageIsWhole() }

  @Test("what a streamed message began with stays")
  func whatAStreamBeganWithStays_D01() async throws { try await promises.whatAStreamBeganWithStays() }

  @Test("pieces wait while the database is locked, and none is missing")
  func streamedPiecesWaitWhileItIsHeld() async throws { try await promises.streamedPiecesWaitWhileItIsHeld() }

  @Test("a message whose writer went away stays and is marked")
  func unfinishedMessageStays() async throws { try await promises.unfinishedMessageStays() }

  @Test("streams at once do not mix")
  func streamsAtOnceDoNotMix() async throws { try await promises.streamsAtOnceDoNotMix() }

  @Test("what is taken back stays and counts as spent")
  func rewindTakesBackSoftly() async throws { try await promises.rewindTakesBackSoftly() }

  @Test("a summary is read where the messages were it stands for")
  func summaryStandsForMessages() async throws { try await promises.summaryStandsForMessages() }

  @Test("pieces make the transcript, from either end")
  func piecesMakeTheTranscript() async throws { try await promises.piecesMakeTheTranscript() }

  // MARK: Keeping

  @Test("pruning removes what is old and nobody keeps, in slices, and what it cost stays")
  func pruning_A11() async throws { try await promises.pruningRemovesWhatNobodyKeeps() }

  @Test("pruning leaves what it does not name")
  func pruningIsFiltered() async throws { try await promises.pruningIsFiltered() }

  @Test("an export taken in elsewhere is the same again, twice too")
  func exportTakenInIsTheSame() async throws { try await promises.exportTakenInIsTheSame() }

  @Test("an export has parents first, and lines are taken in together or not at all")
  func exportIsInOrder() async throws { try await promises.exportIsInOrder() }
}

/// Homes of session stores, and the connections that hold them.
struct SessionHome: Sendable {
  private let directory: TemporaryDirectory
  // The close of one drops the locks of the whole process (row B01): they stay to the end.
  private let peers = Monitor<[ForeignConnection]>([])

  init() throws { directory = try TemporaryDirectory() }

  /// Opens the store of a home.
  func open(_ name: String) async throws -> SQLiteSessionStore {
    try await SQLiteSessionStore.open(home: directory.file(name))
  }

  /// Keeps a store from being written until what it returns is called.
  func hold(_ name: String) async throws -> @Sendable () async throws -> Void {
    let peer = try ForeignConnection(directory.file(name) + "/sessions.db", busyTimeout: 60_000)
    peers.withLock { $0.append(peer) }
    try peer.run("BEGIN EXCLUSIVE")
    return { try peer.run("COMMIT") }
  }

  /// The promises, to be asked of stores in these homes.
  var promises: SessionStoreConformance {
    SessionStoreConformance {
      try await open($0)
    } hold: {
      try await hold($0)
    }
  }
}
