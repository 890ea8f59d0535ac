// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// What all providers offer, kept in a state store and held in memory.
///
/// ```swift
/// let catalog = ModelCatalog(store: store, providers: providers, source: source, lockFile: home + "/catalog.lock")
/// try await catalog.refresh()
/// let models = catalog.snapshot.lookup("gpt-5-mini")
/// ```
public final class ModelCatalog: Sendable {
  private let store: any StateStore
  private let providers: [String: Provider]
  private let source: any ModelSource
  private let settings: CatalogSettings
  private let clock: @Sendable () -> UTCInstant
  private let sleep: @Sendable (Duration) async throws -> Void
  private let turn: FlightTurn

  private struct Known {
    var stampVersion: Int64
    var entry: CatalogSnapshot.Entry
  }

  private struct State {
    var known: [String: Known] = [:]
    var snapshot = CatalogSnapshot.empty
    /// How often it was read anew; an older reading never replaces a newer one.
    var begun: UInt64 = 0
    var shown: UInt64 = 0
  }

  private let state = Monitor(State())

  /// Makes a catalogue; nothing is read yet.
  ///
  /// - Parameters:
  ///   - store: where it is kept.
  ///   - providers: all of them, by names of their own.
  ///   - source: who asks them.
  ///   - settings: how it is kept.
  ///   - lockFile: a file of the home whose kernel lock keeps refreshes of several processes apart; nil where no other
  ///     process has the store.
  public convenience init(
    store: any StateStore, providers: [Provider], source: any ModelSource,
    settings: CatalogSettings = .init(),
    lockFile: String?
  ) {
    self.init(
      store: store, providers: providers, source: source, settings: settings, lockFile: lockFile,
      now: { .now }, sleep: { try await Task.sleep(for: $0) })
  }

  /// As ``init(store:providers:source:settings:lockFile:)``, with clocks of a test's own.
  package init(
    store: any StateStore, providers: [Provider], source: any ModelSource,
    settings: CatalogSettings = .init(),
    lockFile: String?, now: @escaping @Sendable () -> UTCInstant,
    sleep: @escaping @Sendable (Duration) async throws -> Void
  ) {
    self.store = store
    self.providers = Dictionary(providers.map { ($0.name, $0) }) { _, last in last }
    self.source = source
    self.settings = settings
    clock = now
    self.sleep = sleep
    turn = FlightTurn(path: lockFile)
    let entries = self.providers.values.map {
      CatalogSnapshot.Entry(provider: $0.name, kind: $0.kind, isEnabled: $0.isEnabled)
    }
    state.withLock { $0.snapshot = CatalogSnapshot(entries) }
  }

  /// What is known, in memory: never waits. ``reload()`` and ``refresh(_:force:progress:)`` bring it up to date.
  public var snapshot: CatalogSnapshot { state.withLock { $0.snapshot } }

  /// How many refreshes of this process wait for another; for tests.
  package var waiting: Int { turn.waiting }

  /// Reads what the store has that is new: another process may have refreshed, or switched a provider.
  ///
  /// - Throws: what the store throws when it cannot be read; what was known stays known then.
  @discardableResult
  public func reload() async throws -> CatalogSnapshot {
    let (number, known) = state.withLock { state in
      state.begun += 1
      return (state.begun, state.known)
    }
    let stamps = try await all(CatalogRecords.stamps, as: CatalogRecords.Stamp.self)
    let choices = try await choices()
    var next: [String: Known] = [:]
    for (name, provider) in providers {
      let isEnabled = choices[name] ?? provider.isEnabled
      var entry = CatalogSnapshot.Entry(provider: name, kind: provider.kind, isEnabled: isEnabled)
      var version: Int64 = 0
      if let stamp = stamps[name], stamp.value.url == provider.baseURL.description {
        version = stamp.version
        if let earlier = known[name], earlier.stampVersion == version {
          (entry.models, entry.fetchedAt) = (earlier.entry.models, earlier.entry.fetchedAt)
        } else if let payload = try await payload(of: name) {
          (entry.models, entry.fetchedAt) = (payload.models, payload.fetchedAt)
        } else {
          // A list that cannot be read is as good as none: it stays where it is, and is asked for anew.
          version = 0
        }
      }
      next[name] = Known(stampVersion: version, entry: entry)
    }
    let snapshot = CatalogSnapshot(next.values.map(\.entry))
    return state.withLock { state in
      if number > state.shown { (state.known, state.snapshot, state.shown) = (next, snapshot, number) }
      return state.snapshot
    }
  }

  /// A provider's list; nil where there is none, or none that can be read.
  private func payload(of name: String) async throws -> CatalogRecords.Payload? {
    do {
      return try await store.get(
        StateKey(CatalogRecords.models, name), as: CatalogRecords.Payload.self)
    } catch let error as CatalogError {
      guard [.unreadable, .invalid].contains(error.code) else { throw error }
      return nil
    }
  }

  private func choices() async throws -> [String: Bool] {
    try await all(CatalogRecords.providers, as: CatalogRecords.Choice.self).mapValues(\.value.enabled)
  }

  /// The values of a namespace by key; what cannot be read is as if it were not there.
  private func all<Value: Decodable>(
    _ namespace: String, as type: Value.Type
  ) async throws -> [String: (value: Value, version: Int64)] {
    var values: [String: (value: Value, version: Int64)] = [:]
    for entry in try await store.all(namespace).entries {
      if let value = try? entry.value.decode(as: type) { values[entry.key.key] = (value, entry.version) }
    }
    return values
  }
}

// MARK: - Providers

extension ModelCatalog {
  /// What is known of a provider.
  public struct ProviderStatus: Sendable, Hashable {
    /// Its name.
    public var name: String
    /// The API it speaks.
    public var kind: ProviderKind
    /// Whether it is asked and routed to.
    public var isEnabled: Bool
    /// Whether that was decided by hand rather than by the configuration.
    public var isByHand: Bool
    /// Whether it can be asked: it is configured, and has its key if it wants one.
    public var isUsable: Bool
    /// How many models it is known to have.
    public var models: Int
    /// When it last answered.
    public var lastSuccess: UTCInstant?
    /// When it last failed, if it has not answered since.
    public var lastFailure: UTCInstant?
    /// Why.
    public var error: String?
  }

  /// All providers, in the order of their names.
  public func statuses() async throws -> [ProviderStatus] {
    let choices = try await choices()
    let failures = try await all(CatalogRecords.failures, as: CatalogRecords.Failure.self)
    let snapshot = try await reload()
    return providers.values.sorted { $0.name < $1.name }.map { provider in
      let entry = snapshot[provider.name]
      let failure = failures[provider.name]?.value
      return ProviderStatus(
        name: provider.name, kind: provider.kind, isEnabled: choices[provider.name] ?? provider.isEnabled,
        isByHand: choices[provider.name] != nil, isUsable: provider.isUsable,
        models: entry?.models.count ?? 0, lastSuccess: entry?.fetchedAt, lastFailure: failure?.at,
        error: failure?.error)
    }
  }

  /// Switches a provider on or off by hand; it stays so whatever the configuration says.
  ///
  /// - Parameter isEnabled: nil to leave it to the configuration again.
  /// - Throws: ``CatalogError`` `notFound` for a name nobody configured.
  public func setEnabled(_ name: String, _ isEnabled: Bool?) async throws {
    guard providers[name] != nil else { throw unknown(name) }
    let key = StateKey(CatalogRecords.providers, name)
    if let isEnabled {
      try await store.set(key, encoding: CatalogRecords.Choice(enabled: isEnabled))
    } else {
      try await store.delete(key)
    }
    try await reload()
  }

  private func unknown(_ name: String) -> CatalogError {
    CatalogError(
      .notFound,
      "There is no provider “\(name)”; there are \(providers.keys.sorted().joined(separator: ", ")).")
  }
}

// MARK: - Refreshing

extension ModelCatalog {
  /// Asks all enabled providers whose list is not new enough, at once, and keeps what they say in one commit.
  ///
  /// One that fails keeps its last good list and costs the others nothing. Of several refreshes at a time, in any
  /// number of processes, one asks and the others take what it found; one that was aborted is as if it had never been.
  ///
  /// - Parameters:
  ///   - names: only these, disabled ones too; all that are enabled when nil.
  ///   - force: whether lists that are new enough are asked for, too.
  ///   - progress: told of each provider that has answered or failed.
  /// - Returns: what became of each, in the order of their names.
  /// - Throws: ``CatalogError`` `notFound` for an unknown name; `CancellationError`; what the store throws.
  @discardableResult
  public func refresh(
    _ names: [String]? = nil, force: Bool = false, progress: (@Sendable (RefreshProgress) -> Void)? = nil
  ) async throws -> [RefreshOutcome] {
    for name in names ?? [] where providers[name] == nil { throw unknown(name) }
    let asked = clock()
    let outcomes = try await turn.run(patience: settings.patience) {
      try await fly(names.map(Set.init), force: force, asked: asked, progress: progress)
    }
    try await reload()
    return outcomes
  }

  private func fly(
    _ names: Set<String>?, force: Bool, asked: UTCInstant, progress: (@Sendable (RefreshProgress) -> Void)?
  ) async throws -> [RefreshOutcome] {
    let choices = try await choices()
    let wanted = providers.values.filter { provider in
      if let names { return names.contains(provider.name) }
      return provider.isUsable && (choices[provider.name] ?? provider.isEnabled)
    }
    let stamps = try await all(CatalogRecords.stamps, as: CatalogRecords.Stamp.self)
    // What ended after this was called was waited for: its result is taken, also where it is a failure.
    let last = try? await store.get(CatalogRecords.lastFlight, as: CatalogRecords.Flight.self)
    var taken: [String: RefreshOutcome] = [:]
    if let last, last.endedAt > asked, last.endedAt <= clock() {
      for outcome in last.outcomes { taken[outcome.name] = outcome }
    }
    var outcomes: [RefreshOutcome] = []
    var due: [Provider] = []
    let start = clock()
    for provider in wanted {
      let stamp = stamps[provider.name].flatMap {
        $0.value.url == provider.baseURL.description ? $0.value : nil
      }
      if let outcome = taken[provider.name] {
        outcomes.append(outcome)
      } else if !force, let stamp, start < stamp.dueAt, stamp.fetchedAt <= start {
        outcomes.append(RefreshOutcome(name: provider.name, outcome: .fresh, models: stamp.models))
      } else {
        due.append(provider)
      }
    }
    if !due.isEmpty {
      let answers = try await ask(due, progress: progress)
      outcomes += try await keep(answers, start: start, stamps: stamps.mapValues(\.value))
    }
    return outcomes.sorted { $0.name < $1.name }
  }

  private typealias Answer = (provider: Provider, list: Result<ModelList, any Error>)

  private func ask(
    _ due: [Provider], progress: (@Sendable (RefreshProgress) -> Void)?
  ) async throws -> [(provider: Provider, list: Result<ModelList, any Error>)] {
    var done = RefreshProgress(done: 0, total: due.count)
    progress?(done)
    let time = clock()
    return try await withThrowingTaskGroup(of: Answer.self) { group in
      for provider in due {
        group.addTask { [self] in (provider, await self.answer(of: provider, at: time)) }
      }
      var answers: [Answer] = []
      while let answer = try await group.next() {
        answers.append(answer)
        done.done += 1
        done.last = answer.provider.name
        progress?(done)
      }
      // Aborted: what was answered already is not kept either.
      try Task.checkCancellation()
      return answers
    }
  }

  /// A provider's list, or why there is none within the deadline.
  private func answer(of provider: Provider, at time: UTCInstant) async -> Result<ModelList, any Error> {
    do {
      return .success(
        try await withThrowingTaskGroup(of: ModelList?.self) { group in
          group.addTask { [source] in try await source.models(of: provider, at: time) }
          group.addTask { [sleep, settings] in
            try await sleep(settings.deadline)
            return nil
          }
          defer { group.cancelAll() }
          guard let list = try await group.next().flatMap(\.self) else {
            throw CatalogError(
              .provider, "It did not answer within \(settings.deadline.components.seconds) seconds.")
          }
          return list
        })
    } catch {
      return .failure(error)
    }
  }

  private func keep(
    _ answers: [(provider: Provider, list: Result<ModelList, any Error>)], start: UTCInstant,
    stamps: [String: CatalogRecords.Stamp]
  ) async throws -> [RefreshOutcome] {
    let end = clock()
    var edits: [StateEdit] = []
    var outcomes: [RefreshOutcome] = []
    for (provider, answer) in answers {
      let name = provider.name
      let failure: any Error
      do {
        let list = try answer.get()
        let payload = CatalogRecords.Payload(
          fetchedAt: list.models.first?.fetchedAt ?? end, models: list.models)
        let stamp = CatalogRecords.Stamp(
          fetchedAt: payload.fetchedAt, dueAt: payload.fetchedAt.advanced(by: lifetime()),
          models: list.models.count, url: provider.baseURL.description)
        edits += [
          .set(StateKey(CatalogRecords.models, name), to: try StateValue(payload)),
          .set(StateKey(CatalogRecords.stamps, name), to: try StateValue(stamp)),
          .delete(StateKey(CatalogRecords.failures, name)),
        ]
        outcomes.append(
          RefreshOutcome(
            name: name, outcome: .fetched, models: list.models.count,
            notes: list.notes.isEmpty ? nil : list.notes))
        continue
      } catch {
        failure = error
      }
      let reason = (failure as? CatalogError)?.message ?? "It could not be asked: \(failure)."
      let kept = stamps[name].flatMap { $0.url == provider.baseURL.description ? $0.models : nil }
      edits.append(
        .set(
          StateKey(CatalogRecords.failures, name),
          to: try StateValue(CatalogRecords.Failure(at: end, error: reason))))
      outcomes.append(
        RefreshOutcome(name: name, outcome: kept == nil ? .failed : .kept, models: kept ?? 0, error: reason))
    }
    edits.append(
      .set(
        CatalogRecords.lastFlight,
        to: try StateValue(CatalogRecords.Flight(startedAt: start, endedAt: end, outcomes: outcomes))))
    try await store.apply(edits)
    return outcomes
  }

  /// How long a list is new enough, each another time.
  private func lifetime() -> Duration {
    settings.timeToLive
      * (1 + (settings.jitter > 0 ? Double.random(in: -settings.jitter...settings.jitter) : 0))
  }
}
