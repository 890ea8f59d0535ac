// SPDX-License-Identifier: Apache-2.0

public import HoldfastCatalog
import HoldfastEngine
import HoldfastUsage
public import Logging
public import ServiceLifecycle

/// The home's catalogue as the daemon has it: read from memory by whoever asks, brought up to date in the background, and
/// with it what has failed lately, which is remembered from one daemon to the next.
///
/// Nothing here keeps a request waiting: until the catalogue was first read there is none, and requests go where they
/// went without it.
public final class ServedCatalog: Service {
  /// How often what is looked for.
  public struct Pace: Sendable, Hashable {
    /// How often lists that are no longer new enough, and providers that failed, are asked for.
    public var refreshing = Duration.seconds(300)
    /// How often the store is looked at for what other processes have changed.
    public var following = Duration.seconds(2)

    /// The defaults: 5 minutes, 2 seconds.
    public init() {}
  }

  private static let cooldownKey = StateKey(CooldownMachine.stateNamespace, CooldownMachine.stateKey)

  let router: ModelRouter
  private let catalog: ModelCatalog
  private let store: any StateStore
  private let pace: Pace
  private let logger: Logger
  private let onChange: @Sendable (CatalogSnapshot) -> Void
  /// When each provider's list was made that was last told of.
  private let told = Monitor<[String: UTCInstant?]>([:])

  /// Makes the catalogue of a daemon; nothing is read or asked before ``run()``.
  ///
  /// - Parameters:
  ///   - catalog: the home's.
  ///   - store: where it is kept, closed by the caller after ``run()`` has returned.
  ///   - policy: who may be chosen.
  ///   - onChange: told of all lists each time that one of them has changed, one call after the other.
  public init(
    _ catalog: ModelCatalog, store: any StateStore, policy: RoutingPolicy, pace: Pace = Pace(),
    logger: Logger,
    onChange: @escaping @Sendable (CatalogSnapshot) -> Void = { _ in }
  ) {
    (self.catalog, self.store, self.pace, self.logger) = (catalog, store, pace, logger)
    self.onChange = onChange
    router = ModelRouter(policy: policy)
  }

  /// Keeps the catalogue until told to stop.
  public func run() async throws {
    await cancelWhenGracefulShutdown { [self] in
      await withTaskGroup(of: Void.self) { group in
        group.addTask { await self.follow() }
        group.addTask { await self.keepFresh() }
        group.addTask { await self.remember() }
      }
    }
  }

  /// Takes what other processes have changed, again and again.
  private func follow() async {
    var isReadable = true
    while !Task.isCancelled {
      do {
        take(try await catalog.reload())
        isReadable = true
      } catch {
        if isReadable, !Task.isCancelled { warn("the catalogue cannot be read; trying again", error) }
        isReadable = false
      }
      try? await Task.sleep(for: pace.following)
    }
  }

  private func take(_ snapshot: CatalogSnapshot) {
    router.take(snapshot)
    let lists = Dictionary(uniqueKeysWithValues: snapshot.entries.map { ($0.provider, $0.fetchedAt) })
    told.withLock { told in
      guard told != lists else { return }
      told = lists
      onChange(snapshot)
    }
  }

  /// Asks those providers whose lists are no longer new enough, again and again.
  private func keepFresh() async {
    while !Task.isCancelled {
      do {
        for outcome in try await refresh(nil, force: false) where outcome.error != nil {
          logger.debug(
            "a provider gave no list of models",
            metadata: ["provider": "\(outcome.name)", "reason": "\(outcome.error ?? "")"])
        }
      } catch {
        if !Task.isCancelled { warn("the catalogue could not be brought up to date; trying again", error) }
      }
      // Nobody reads what has expired; that it is still there only costs room.
      _ = try? await store.removeExpired()
      try? await Task.sleep(for: pace.refreshing)
    }
  }

  /// Writes down what failed, each time that has changed, on top of what the daemon before had written.
  private func remember() async {
    guard await recall() else { return }
    for await _ in router.changes {
      do {
        try store.setLater(Self.cooldownKey, encoding: router.cooldowns)
      } catch {
        warn("a cool-down was not written down", error)
      }
    }
  }

  /// - Returns: false when what is written there is none of ours, and so is left alone.
  private func recall() async -> Bool {
    while !Task.isCancelled {
      do {
        if let earlier = try await store.get(Self.cooldownKey, as: CooldownMachine.self) {
          router.recall(earlier)
        }
        return true
      } catch let error as CatalogError where error.code == .unreadable {
        warn(
          "the cool-downs written down cannot be read; they are left as they are, and new ones not kept",
          error)
        return false
      } catch {
        try? await Task.sleep(for: pace.following)
      }
    }
    return false
  }

  private func warn(_ message: Logger.Message, _ error: any Error) {
    logger.warning(message, metadata: ["reason": "\(error)"])
  }

  // MARK: For the API

  /// Asks providers now.
  func refresh(_ names: [String]?, force: Bool) async throws -> [RefreshOutcome] {
    let outcomes = try await catalog.refresh(names, force: force)
    take(catalog.snapshot)
    return outcomes
  }

  /// What is known of the providers.
  func providers() async throws -> [ModelCatalog.ProviderStatus] { try await catalog.statuses() }
}
