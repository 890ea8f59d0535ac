// SPDX-License-Identifier: Apache-2.0

import HoldfastTestKit
import Testing

@testable import HoldfastEngine

/// One passing error of the device at every call SQLite makes to the system.
@Suite struct TransientFaultTests {
  @Test func oneFailedCallChangesNoModeAndIsForgottenByTheNextWrite_C15() async throws {
    let test = try PeerTest()
    let peer = try test.start(.faultEveryCall, first: 500)
    try await peer.pass("start")
    var rounds: [String: (calls: Int, failed: Int)] = [:]
    while let word = await peer.word() {
      let parts = word.split(separator: " ")
      if parts.count == 5, parts[1] == "calls", let calls = Int(parts[2]), let failed = Int(parts[4]) {
        rounds[String(parts[0])] = (calls, failed)
        print("one failed call each: \(word)")
      } else {
        Issue.record("\(word)")
      }
    }
    #expect(await peer.end() == .exited(0))
    #expect(Set(rounds.keys) == ["open", "first", "write", "largeWrite", "read", "checkpoint"])
    for (name, round) in rounds {
      // Otherwise nothing was tried, or no error came through and the shim stands in nobody's way.
      // An opening tries again by itself.
      #expect(round.calls >= 4 && (round.failed > 0 || name == "open"), "\(name)")
      #expect(round.failed <= round.calls, "\(name)")
    }
  }
}
