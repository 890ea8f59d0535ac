// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage
import NIOCore

/// The requests in flight, and the last that ended.
///
/// Fed by the taps: one short lock when a request begins, when its model is known and when it ends, none for what
/// passes in between. Bounded: beyond ``maximumListed`` requests in flight the rest is counted and not listed.
final class LiveRequests: Sendable {
  static let maximumListed = 1000
  static let maximumEnded = 100

  /// A request in flight and what is known of it.
  struct Running: Sendable {
    var request: LiveRequest
    var facts: LiveRequest.Facts
  }

  /// A request that has ended.
  struct Ended: Sendable {
    /// Which of all ended ones it is, from 1.
    var place: UInt64
    var number: UInt64
    var startedAt: UnixTime
    var bytes: Int
    var pieces: Int
    var row: UsageRow
  }

  /// What goes on at one moment.
  struct View: Sendable {
    /// All in flight, the ones not listed too.
    var count: Int
    /// Those listed, in the order they began.
    var running: [Running]
    /// Ended ones, in the order they ended.
    var ended: [Ended]
    /// How many have ended since the gateway began.
    var endedCount: UInt64
  }

  private struct State {
    var next: UInt64 = 1
    var unlisted = 0
    var running: [UInt64: Running] = [:]
    /// A ring: the request that ended as number `n` lies at `(n - 1) % maximumEnded`.
    var ended: [Ended] = []
    var endedCount: UInt64 = 0
  }

  private let state = Monitor(State())

  /// A request was sent on its way.
  func begin(_ facts: LiveRequest.Facts, startedAt: UnixTime, start: NIODeadline) -> LiveRequest {
    state.withLock { state in
      let isListed = state.running.count < Self.maximumListed
      let request = LiveRequest(number: state.next, startedAt: startedAt, start: start, isListed: isListed)
      state.next += 1
      if isListed {
        state.running[request.number] = Running(request: request, facts: facts)
      } else {
        state.unlisted += 1
      }
      return request
    }
  }

  /// More is known of a request.
  func tell(_ request: LiveRequest, model: String) {
    guard request.isListed else { return }
    state.withLock { $0.running[request.number]?.facts.model = model }
  }

  /// It went to another provider than thought.
  func tell(_ request: LiveRequest, provider: String) {
    guard request.isListed else { return }
    state.withLock { $0.running[request.number]?.facts.provider = provider }
  }

  /// A request has ended, and this is its row.
  func end(_ request: LiveRequest, _ row: UsageRow) {
    let progress = request.progress
    state.withLock { state in
      if request.isListed { state.running[request.number] = nil } else { state.unlisted -= 1 }
      state.endedCount += 1
      let ended = Ended(
        place: state.endedCount, number: request.number, startedAt: request.startedAt, bytes: progress.bytes,
        pieces: progress.pieces, row: row)
      if state.ended.count < Self.maximumEnded {
        state.ended.append(ended)
      } else {
        state.ended[Int((state.endedCount - 1) % UInt64(Self.maximumEnded))] = ended
      }
    }
  }

  /// How many are in flight.
  var count: Int { state.withLock { $0.running.count + $0.unlisted } }

  /// What goes on now.
  ///
  /// - Parameter place: only those are among the ended ones that ended after this one; 0 for all that are kept.
  func view(endedAfter place: UInt64 = 0) -> View {
    var view = state.withLock { state in
      View(
        count: state.running.count + state.unlisted, running: Array(state.running.values),
        ended: state.endedCount > place ? state.ended : [], endedCount: state.endedCount)
    }
    view.running.sort { $0.request.number < $1.request.number }
    view.ended = view.ended.filter { $0.place > place }.sorted { $0.place < $1.place }
    return view
  }
}
