// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastTestKit
import Testing

/// What every state store promises, asked of the one on SQLite.
@Suite("State store: what it promises")
struct StateStoreTests {
  private let home: StateHome
  private var promises: StateStoreConformance { home.promises }

  init() throws { home = try StateHome() }

  @Test("what was set comes back to the byte")
  func valuesComeBack() async throws { try await promises.valuesComeBackAsTheyWent() }

  @Test("what cannot be kept is refused")
  func invalidIsRefused() async throws { try await promises.whatCannotBeKeptIsRefused() }

  @Test("a version that is asked for is compared, and the one there is is told")
  func compareAndSet() async throws { try await promises.comparedBeforeItIsSet() }

  @Test("increments by many are exact")
  func incrementsAreExact() async throws { try await promises.incrementsAreExact() }

  @Test("no version of a key is ever seen twice")
  func versionsAreNeverSeenTwice() async throws { try await promises.versionsAreNeverSeenTwice() }

  @Test("changes made together are made together or not at all")
  func changesAreAllOrNone() async throws { try await promises.changesAreAllOrNone() }

  @Test("what has expired is not there")
  func expiredIsNotThere() async throws { try await promises.expiredIsNotThere() }

  @Test("lists are whole and in order, in pages of any size")
  func listsAreWhole() async throws { try await promises.listsAreWholeAndInOrder() }

  @Test("a secret stays one")
  func secretsStaySecret_F06() async throws { try await promises.secretsStaySecret() }

  @Test("of values to be written later the last counts, and flushing is a barrier")
  func laterValuesCoalesce_F01() async throws { try await promises.laterValuesCoalesce() }

  @Test("a value that was set is not overtaken by an older one")
  func laterValuesDoNotOvertake_F01() async throws { try await promises.laterValuesDoNotOvertake() }

  @Test("values wait while another program holds the file")
  func laterValuesWait_F05() async throws { try await promises.laterValuesWaitWhileItIsHeld() }

  @Test("no version can be asked for later")
  func laterAsksForNoVersion() async throws { try await promises.laterAsksForNoVersion() }

  @Test("closing writes what waits")
  func closingWritesWhatWaits() async throws { try await promises.closingWritesWhatWaits() }
}
