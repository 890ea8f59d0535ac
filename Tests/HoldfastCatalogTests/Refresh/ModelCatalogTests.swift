// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastCatalog

@Suite("Catalogue: what a refresh promises")
struct ModelCatalogTests {
  private let home: StateHome
  private let source = ScriptedSource()
  /// What the clock shows, in milliseconds.
  private let now = Monitor<Int64>(1_760_000_000_000)
  private let clock = FakeClock()

  init() throws { home = try StateHome() }

  private func providers(_ names: [String]) throws -> [Provider] {
    try names.map {
      Provider(name: $0, kind: .openAI, baseURL: try #require(BaseURL("http://\($0).test/v1")))
    }
  }

  private func catalog(
    _ store: any StateStore, _ names: [String] = ["a", "b", "c"],
    change: (inout [Provider]) -> Void = { _ in }
  ) throws -> ModelCatalog {
    var providers = try providers(names)
    change(&providers)
    return ModelCatalog(
      store: store, providers: providers, source: source, lockFile: home.path() + "/catalog.lock",
      now: { [now] in UTCInstant(milliseconds: now.withLock { $0 }) },
      sleep: { [clock] in try await clock.sleep(for: $0) })
  }

  private func pass(_ duration: Duration) { now.withLock { $0 += duration.components.seconds * 1000 } }

  private func outcomes(_ outcomes: [RefreshOutcome]) -> [String] {
    outcomes.map { "\($0.name) \($0.outcome.rawValue) \($0.models)" }
  }

  private func fail(_ name: String) {
    source.answer(name) { _, _ in throw CatalogError(.provider, "It answered with status 500.") }
  }

  @Test("all is asked at once and kept in one commit, each list with its stamp")
  func refreshIsOneCommit_F01() async throws {
    let store = try home.open()
    let names = (0..<100).map { "p\($0)" }
    let catalog = try catalog(store, names)
    try await store.set(StateKey("n", "a"), encoding: 1)
    let peer = try ForeignConnection(home.database(), busyTimeout: 60_000)
    let before = try #require(try peer.text("PRAGMA data_version").flatMap { Int($0) })
    let everybody = Latch()
    let arrived = Monitor(0)
    for name in names {
      source.answer(name) { provider, time in
        // Nobody answers before all were asked.
        if arrived.withLock({
          $0 += 1; return $0
        }) == names.count {
          everybody.open()
        }
        await everybody.pass()
        return ScriptedSource.list(provider, ["m1", "m2"], time)
      }
    }
    let found = try await catalog.refresh()
    #expect(found.count == 100 && found.allSatisfy { $0.outcome == .fetched && $0.models == 2 })
    #expect(try peer.text("PRAGMA data_version").flatMap { Int($0) } == before + 1)
    #expect(catalog.snapshot.lookup("m1").count == 100)
    await store.close()
    try peer.run("SELECT 1")
  }

  @Test("a failure leaves no stamp and the last good list; an empty list is a list")
  func stampsFollowPayloads_F02() async throws {
    let store = try home.open()
    let catalog = try catalog(store)
    fail("c")
    #expect(try await outcomes(catalog.refresh()) == ["a fetched 1", "b fetched 1", "c failed 0"])
    let stamps = try await store.all(CatalogRecords.stamps).entries
    let first = try #require(stamps.first { $0.key.key == "a" })
    pass(.seconds(3600))
    fail("a")
    source.answer("b") { provider, time in ScriptedSource.list(provider, [], time) }
    source.answer("c") { provider, time in ScriptedSource.list(provider, ["new"], time) }
    let again = try await catalog.refresh()
    #expect(outcomes(again) == ["a kept 1", "b fetched 0", "c fetched 1"])
    #expect(again[0].error == "It answered with status 500.")
    #expect(catalog.snapshot.lookup("a-model").count == 1)
    #expect(catalog.snapshot["b"]?.models.isEmpty == true && catalog.snapshot["b"]?.fetchedAt != nil)
    #expect(try await store.get(StateKey(CatalogRecords.stamps, "a")) == first)
    for name in ["a", "b", "c"] {
      let stamp = try await store.get(StateKey(CatalogRecords.stamps, name), as: CatalogRecords.Stamp.self)
      let payload = try await store.get(
        StateKey(CatalogRecords.models, name), as: CatalogRecords.Payload.self)
      #expect(stamp?.fetchedAt == payload?.fetchedAt && stamp?.models == payload?.models.count)
    }
    let statuses = try await catalog.statuses()
    #expect(statuses.map(\.error) == ["It answered with status 500.", nil, nil])
    await store.close()
  }

  @Test("a list is new enough for its time, and asked for anyway when that is forced")
  func listsAreFreshForAWhile() async throws {
    let store = try home.open()
    let catalog = try catalog(store, ["a", "b"])
    try await catalog.refresh()
    pass(.seconds(60))
    #expect(try await outcomes(catalog.refresh()) == ["a fresh 1", "b fresh 1"])
    #expect(try await outcomes(catalog.refresh(["b"], force: true)) == ["b fetched 1"])
    #expect(source.asked == ["a": 1, "b": 2])
    // 21 minutes and a tenth.
    pass(.seconds(24 * 60))
    #expect(try await outcomes(catalog.refresh()) == ["a fetched 1", "b fetched 1"])
    // A clock that was set back does not make a list new for ever.
    pass(.seconds(-7200))
    #expect(try await outcomes(catalog.refresh()) == ["a fetched 1", "b fetched 1"])
    await #expect(throws: CatalogError.self) { try await catalog.refresh(["unheard"]) }
    await store.close()
  }

  @Test("the times of lists differ, so that not all are due at once")
  func timesDiffer() async throws {
    let store = try home.open()
    let catalog = try catalog(store, (0..<30).map { "p\($0)" })
    try await catalog.refresh()
    var ages: Set<Int64> = []
    for entry in try await store.all(CatalogRecords.stamps).entries {
      let stamp = try entry.value.decode(as: CatalogRecords.Stamp.self)
      let age = stamp.dueAt.milliseconds - stamp.fetchedAt.milliseconds
      #expect((1_134_000...1_386_000).contains(age))
      ages.insert(age)
    }
    #expect(ages.count > 20)
    await store.close()
  }

  @Test("fifty callers at once ask once, also where it fails; a failure is not remembered")
  func oneFlightForAll_F03() async throws {
    let store = try home.open()
    let one = try catalog(store, ["a", "b"])
    // As another process has it: a store and a turn of its own.
    let otherStore = try home.open()
    let other = try catalog(otherStore, ["a", "b"])
    let gate = Latch()
    source.answer("a") { [now] _, _ in
      await gate.pass()
      now.withLock { $0 += 5 }
      throw CatalogError(.provider, "It answered with status 500.")
    }
    async let first = one.refresh()
    #expect(await eventually { source.asked == ["a": 1, "b": 1] })
    let found = try await withThrowingTaskGroup(of: [RefreshOutcome].self) { group in
      for number in 0..<49 {
        group.addTask { try await (number < 40 ? one : other).refresh(force: number % 2 == 0) }
      }
      // The other's first waits for the kernel's lock, and is not counted.
      #expect(await eventually { one.waiting == 40 && other.waiting == 8 })
      gate.open()
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(try await outcomes(first) == ["a failed 0", "b fetched 1"])
    #expect(found.allSatisfy { outcomes($0) == ["a failed 0", "b fetched 1"] })
    #expect(source.asked == ["a": 1, "b": 1])
    pass(.seconds(1))
    source.answer("a") { provider, time in ScriptedSource.list(provider, ["x"], time) }
    #expect(try await outcomes(other.refresh()) == ["a fetched 1", "b fresh 1"])
    #expect(try await one.reload().lookup("x").count == 1)
    await store.close()
    await otherStore.close()
  }

  @Test("one that hangs has its deadline; the rest do not notice")
  func hungProviderHasADeadline_F04() async throws {
    let store = try home.open()
    let catalog = try catalog(store)
    source.answer("b") { _, _ in
      // Until it is cancelled.
      try await FakeClock().sleep(for: .seconds(1))
      return ModelList()
    }
    let seen = Monitor<[String]>([])
    async let outcome = catalog.refresh { progress in
      if let last = progress.last { seen.withLock { $0.append(last) } }
    }
    #expect(await eventually { Set(seen.withLock { $0 }) == ["a", "c"] })
    clock.advance(by: .seconds(10))
    let found = try await outcome
    #expect(outcomes(found) == ["a fetched 1", "b failed 0", "c fetched 1"])
    #expect(found[1].error == "It did not answer within 10 seconds.")
    await store.close()
  }

  @Test("an aborted refresh is as if it had never been")
  func abortedRefreshLeavesNothing_F03() async throws {
    let store = try home.open()
    let catalog = try catalog(store)
    source.answer("b") { _, _ in
      try await FakeClock().sleep(for: .seconds(1))
      return ModelList()
    }
    let task = Task { try await catalog.refresh() }
    #expect(await eventually { source.asked.count == 3 })
    let waiting = Task { try await catalog.refresh(["a"]) }
    #expect(await eventually { catalog.waiting == 1 })
    task.cancel()
    await #expect(throws: CancellationError.self) { try await task.value }
    #expect(try await outcomes(waiting.value) == ["a fetched 1"])
    #expect(try await store.all(CatalogRecords.stamps).entries.map(\.key.key) == ["a"])
    #expect(source.asked["a"] == 2)
    await store.close()
  }

  @Test("a commit that fails is told, and the lists stay as they were")
  func failedCommitIsTold_F05() async throws {
    let store = try home.open()
    let catalog = try catalog(store)
    try await catalog.refresh()
    let peer = try ForeignConnection(home.database(), busyTimeout: 60_000)
    try peer.run(
      """
      CREATE TRIGGER planted BEFORE UPDATE ON state WHEN NEW.namespace = 'catalog.stamps' AND NEW.key = 'c'
      BEGIN SELECT RAISE(ABORT, 'planted'); END
      """)
    let before = try await store.all(CatalogRecords.models).entries
    await #expect(throws: StoreError.self) { try await catalog.refresh(force: true) }
    #expect(try await store.all(CatalogRecords.models).entries == before)
    try peer.run("DROP TRIGGER planted")
    pass(.seconds(1))
    #expect(try await catalog.refresh(force: true).allSatisfy { $0.outcome == .fetched })
    await store.close()
    try peer.run("SELECT 1")
  }

  @Test("what was decided by hand stays, whatever the configuration and the lists become")
  func choiceByHandStays() async throws {
    let store = try home.open()
    let catalog = try catalog(store) { $0[1].isEnabled = false }
    #expect(try await outcomes(catalog.refresh()) == ["a fetched 1", "c fetched 1"])
    try await catalog.setEnabled("b", true)
    try await catalog.setEnabled("c", false)
    #expect(try await outcomes(catalog.refresh()) == ["a fresh 1", "b fetched 1"])
    #expect(catalog.snapshot.lookup("c-model").isEmpty && catalog.snapshot["c"]?.isEnabled == false)
    let peer = try ForeignConnection(home.database(), busyTimeout: 60_000)
    try peer.run("DELETE FROM state WHERE namespace LIKE 'catalog.%' AND namespace <> 'catalog.providers'")
    let again = try self.catalog(store) { $0[1].isEnabled = false }
    #expect(try await outcomes(again.refresh()) == ["a fetched 1", "b fetched 1"])
    #expect(try await again.statuses().map(\.isByHand) == [false, true, true])
    try await again.setEnabled("c", nil)
    #expect(try await again.statuses().map(\.isEnabled) == [true, true, true])
    #expect(try await outcomes(again.refresh(["c"])) == ["c fetched 1"])
    await store.close()
    try peer.run("SELECT 1")
  }

  @Test("a list of another place, or one that cannot be read, is none")
  func listsOfOtherPlacesAreNone() async throws {
    let store = try home.open()
    try await catalog(store).refresh()
    let moved = try catalog(store) {
      $0[0].baseURL = BaseURL("http://elsewhere.test/v1") ?? $0[0].baseURL
    }
    #expect(try await moved.reload().entries.map(\.models.count) == [0, 1, 1])
    fail("a")
    #expect(try await outcomes(moved.refresh()) == ["a failed 0", "b fresh 1", "c fresh 1"])
    let peer = try ForeignConnection(home.database(), busyTimeout: 60_000)
    try peer.run("UPDATE state SET value = '{' WHERE namespace = 'catalog.models' AND key = 'b'")
    #expect(try await catalog(store).reload().entries.map(\.models.count) == [1, 0, 1])
    #expect(
      try peer.text("SELECT value FROM state WHERE namespace = 'catalog.models' AND key = 'b'") == "{")
    await store.close()
    try peer.run("SELECT 1")
  }

  @Test("a store that cannot be read for a moment takes no list away")
  func unreadableStoreTakesNothingAway() async throws {
    let store = try home.open()
    let other = try catalog(store)
    try await other.refresh()
    let moody = MoodyStateStore(store)
    let catalog = try catalog(moody)
    try await catalog.reload()
    pass(.seconds(3600))
    source.answer("b") { provider, time in ScriptedSource.list(provider, ["b2"], time) }
    try await other.refresh(["b"])
    // The stamps can be read and say that there is a new list; the list itself cannot, just now.
    moody.fault = StoreError(.transient, "The disk did not answer.")
    await #expect(throws: StoreError.self) { try await catalog.reload() }
    #expect(catalog.snapshot.lookup("b-model").count == 1 && catalog.snapshot.lookup("a-model").count == 1)
    moody.fault = CatalogError(.closed, "The store has been closed.")
    await #expect(throws: CatalogError.self) { try await catalog.reload() }
    #expect(catalog.snapshot.lookup("b-model").count == 1)
    moody.fault = nil
    #expect(try await catalog.reload().lookup("b2").count == 1)
    await store.close()
  }

  @Test("no key of a provider is stored, in lists, failures or anywhere")
  func keysAreNotStored_F06() async throws {
    let store = try home.open()
    let catalog = try catalog(store) {
      for index in $0.indices { $0[index].credential = .bearer("sk-very-secret") }
    }
    fail("b")
    try await catalog.refresh()
    let peer = try ForeignConnection(home.database(), busyTimeout: 60_000)
    #expect(try peer.text("SELECT count(*) FROM state") != "0")
    #expect(try peer.text("SELECT count(*) FROM state WHERE value LIKE '%very-secret%'") == "0")
    await store.close()
    try peer.run("SELECT 1")
  }
}
