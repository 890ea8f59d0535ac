// SPDX-License-Identifier: Apache-2.0

@testable import HoldfastMailbox

/// An instant that only the test moves.
struct Moment: InstantProtocol {
  var at: Duration = .zero
  func advanced(by duration: Duration) -> Moment { Moment(at: at + duration) }
  func duration(to other: Moment) -> Duration { other.at - at }
  static func < (left: Moment, right: Moment) -> Bool { left.at < right.at }
}

typealias Machine = SupervisorMachine<Moment>

extension Machine.Action {
  var isReport: Bool {
    if case .report = self { true } else { false }
  }
}

extension Moment {
  var milliseconds: Int64 { Int64((at / .milliseconds(1)).rounded()) }
}
