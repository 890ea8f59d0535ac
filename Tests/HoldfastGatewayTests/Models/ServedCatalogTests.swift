// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine
import HoldfastTestKit
import Logging
import Synchronization
import Testing

@testable import HoldfastGateway

/// A state store that cannot be read the first few times, and counts what is set to be written later.
private final class ReluctantStore: StateStore {
  let store: SQLiteStateStore
  let refusals: Mutex<Int>
  let reads = Mutex(0)
  let laters = Mutex(0)

  init(_ store: SQLiteStateStore, refusals: Int = 0) {
    self.store = store
    self.refusals = Mutex(refusals)
  }

  func get(_ key: StateKey) async throws -> StateEntry? {
    let refuses = refusals.withLock { left in
      defer { left = max(0, left - 1) }
      return left > 0
    }
    if refuses { throw StoreError(.cannotOpen, "Not yet.") }
    defer { reads.withLock { $0 += 1 } }
    return try await store.get(key)
  }

  func apply(_ edits: [StateEdit]) async throws -> [Int64] { try await store.apply(edits) }
  func list(_ query: StateQuery) async throws -> StatePage { try await store.list(query) }
  func setLater(_ edit: StateEdit) throws {
    laters.withLock { $0 += 1 }
    try store.setLater(edit)
  }
  func flush() async throws { try await store.flush() }
  func removeExpired() async throws -> Int { try await store.removeExpired() }
  func status() async -> StateStoreStatus { await store.status() }
  func close() async { await store.close() }
}

private struct Nobody: ModelSource {
  func models(of provider: Provider, at time: UTCInstant) async throws -> ModelList {
    throw CatalogError(.provider, "Nobody is asked here.")
  }
}

@Suite struct ServedCatalogTests {
  private let directory: TemporaryDirectory
  private let key = StateKey(CooldownMachine.stateNamespace, CooldownMachine.stateKey)

  init() throws { directory = try TemporaryDirectory() }

  private func catalog(_ store: ReluctantStore) throws -> ServedCatalog {
    var pace = ServedCatalog.Pace()
    pace.following = .milliseconds(1)
    return ServedCatalog(
      ModelCatalog(store: store, providers: [], source: Nobody(), lockFile: nil), store: store,
      policy: try RoutingPolicy(GatewayConfiguration(home: directory.path)), pace: pace,
      logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
  }

  @Test func coolDownsThatCannotBeReadAreLeftAsTheyAre_D13() async throws {
    let store = ReluctantStore(try SQLiteStateStore.open(home: directory.path))
    let foreign = try StateValue(json: #"{"somebody":"else's"}"#)
    let version = try await store.set(key, to: foreign)
    let served = try catalog(store)
    let running = Task { try await served.run() }
    #expect(await eventually { store.reads.withLock { $0 } > 0 })
    served.router.tried("groq", model: "m", .broken)
    running.cancel()
    try? await running.value
    #expect(store.laters.withLock { $0 } == 0)
    let kept = try await store.get(key)
    #expect(kept?.value == foreign && kept?.version == version)
    await store.close()
  }

  @Test func whatIsRememberedIsReadBeforeItIsWrittenOver_A06() async throws {
    let store = ReluctantStore(try SQLiteStateStore.open(home: directory.path), refusals: 5)
    var earlier = CooldownMachine()
    earlier.failure(RouteID(provider: "groq", model: "m"), at: .now, retryAfter: .seconds(600))
    try await store.set(key, encoding: earlier)
    let served = try catalog(store)
    served.router.tried("together", model: "m", .failed(status: 429, retryAfter: 600))
    let running = Task { try await served.run() }
    #expect(await eventually { store.laters.withLock { $0 } > 0 })
    running.cancel()
    try? await running.value
    try await store.flush()
    let kept = try await store.get(key, as: CooldownMachine.self)
    #expect(kept?.current(at: .now).map(\.provider) == ["groq", "together"])
    #expect(served.router.cooldowns == kept)
    await store.close()
  }
}
