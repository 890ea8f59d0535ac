// SPDX-License-Identifier: Apache-2.0
//
// The program behind a test's processes: `HoldfastTestPeer SCENARIO JSON` runs one scenario, until it is
// done or killed.

import Foundation
import HoldfastTestKit

let words = CommandLine.arguments
guard words.count == 3, let scenario = Scenario(rawValue: words[1]) else {
  FileHandle.standardError.write(
    Data("usage: HoldfastTestPeer \(Scenario.allCases.map(\.rawValue).joined(separator: "|")) JSON\n".utf8))
  exit(64)
}
let settings = try JSONDecoder().decode(PeerSettings.self, from: Data(words[2].utf8))
try await scenario.run(settings, PeerLink())
