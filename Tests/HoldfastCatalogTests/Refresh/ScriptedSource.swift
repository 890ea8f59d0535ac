// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine

/// Providers that answer as a test says, and count how often they were asked.
final class ScriptedSource: ModelSource {
  typealias Answer = @Sendable (Provider, UTCInstant) async throws -> ModelList

  private struct State {
    var answers: [String: Answer] = [:]
    var asked: [String: Int] = [:]
  }

  private let state = Monitor(State())

  /// What a provider answers from now on.
  func answer(_ name: String, _ answer: @escaping Answer) { state.withLock { $0.answers[name] = answer } }

  /// How often each was asked.
  var asked: [String: Int] { state.withLock { $0.asked } }

  func models(of provider: Provider, at time: UTCInstant) async throws -> ModelList {
    let answer = state.withLock { state in
      state.asked[provider.name, default: 0] += 1
      return state.answers[provider.name]
    }
    return try await answer?(provider, time) ?? Self.list(provider, ["\(provider.name)-model"], time)
  }

  static func list(_ provider: Provider, _ ids: [String], _ time: UTCInstant) -> ModelList {
    ModelList(models: ids.map { CatalogModel(id: $0, provider: provider.name, fetchedAt: time) })
  }
}

/// Holds whoever comes until it is opened.
final class Latch: Sendable {
  private struct State {
    var isOpen = false
    var waiters: [CheckedContinuation<Void, Never>] = []
  }

  private let state = Monitor(State())

  /// Waits until it is open, or the task is cancelled and it is opened then.
  func pass() async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        if !state.isOpen { state.waiters.append(continuation) }
        return state.isOpen
      }
      if isOpen { continuation.resume() }
    }
  }

  func open() {
    let waiters = state.withLock { state in
      state.isOpen = true
      defer { state.waiters = [] }
      return state.waiters
    }
    for waiter in waiters { waiter.resume() }
  }
}
