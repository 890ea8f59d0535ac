// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage

/// A request whose upstream depends on the model its body names.
struct OpenRoute {
  /// Where it goes when nothing else is known; every choice has its shape and its tap.
  var fallback: RelayPlan
  /// Whether more of the body matters than the model's name, so that it is read to its end first.
  var needsWholeBody = false
  /// The plan for what was read of the body. Called once, on the event loop: never blocks.
  var plan: (_ body: RequestPeek) -> RelayPlan
}

/// Why a request went where it went, and who hears how that went.
struct RouteDecision: Sendable {
  /// In a word, as `x-holdfast-route` and the usage row tell it.
  var reason: String
  /// Hears of every try; nil when nobody wants to.
  var watch: (any RouteWatch)?
}

/// Hears how tries went. Called on event loops: never blocks.
protocol RouteWatch: Sendable {
  func tried(_ provider: String, model: String, _ result: TryResult)
}

/// How sending a request to one upstream went.
enum TryResult: Equatable, Sendable {
  /// The answer was relayed to its end.
  case answered(status: Int)
  /// It was answered with an error.
  ///
  /// - Parameter retryAfter: the seconds after which the provider wants to be asked again, where it says so.
  case failed(status: Int, retryAfter: Int?)
  /// No connection could be made, or it ended before anything was sent.
  case unreachable
  /// The connection ended, went silent or stopped making sense once the request was sent.
  case broken

  /// Whether the request cannot have been worked on, so that sending it to another upstream does nothing twice:
  /// it never arrived, or the answer says that it was turned away or that the server failed.
  var maySendElsewhere: Bool {
    switch self {
    case .unreachable: true
    case .failed(let status, _): [429, 500, 502, 503, 504, 529].contains(status)
    case .answered, .broken: false
    }
  }

  /// In a word, as the trace tells it.
  var word: String {
    switch self {
    case .answered(let status), .failed(let status, _): String(status)
    case .unreachable: "unreachable"
    case .broken: "broken"
    }
  }
}

/// Which upstreams a request was sent to, in order, and why: the value of `x-holdfast-route`.
///
/// As text: `groq=429, together=200; by=cheapest`.
struct RouteTrace: Equatable, Sendable, CustomStringConvertible {
  static let fieldName = "X-Holdfast-Route"

  /// One upstream and what came of asking it.
  struct Try: Equatable, Sendable {
    var provider: String
    var result: String
  }

  var tries: [Try]
  var reason: String

  /// Whose answer, or whose failure, the client was given.
  var provider: String? { tries.last?.provider }

  /// The tries alone, as the usage row keeps them.
  var path: String { tries.map { "\($0.provider)=\($0.result)" }.joined(separator: ", ") }

  var description: String { "\(path); by=\(reason)" }
}
