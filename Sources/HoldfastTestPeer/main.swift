// SPDX-License-Identifier: Apache-2.0
//
// The program behind a test's processes: `HoldfastTestPeer SCENARIO JSON` runs one scenario, until it is
// done or killed.

import Foundation
import HoldfastTestKit

let words = CommandLine.arguments
// A worker's standard input is no link to a test, and not its to read.
if words.count == 3, words[1] == "worker" { try WorkerScenario.run(words[2]) }
if words.count == 3, words[1] == "worker-left" {
  setsid()
  try WorkerScenario.run(words[2])
}
let link = PeerLink()
if words.count == 3, let scenario = Scenario(rawValue: words[1]) {
  try await scenario.run(try decode(PeerSettings.self, words[2]), link)
} else if words.count == 3, let scenario = EngineScenario(rawValue: words[1]) {
  try await scenario.run(try decode(PeerSettings.self, words[2]), link)
} else if words.count == 3, words[1] == "indexMessages" {
  try await indexMessages(try decode(PeerSettings.self, words[2]), link)
} else if words.count == 3, words[1] == "streamMessages" {
  try await streamMessages(try decode(PeerSettings.self, words[2]), link)
} else if words.count == 3, words[1] == "host" {
  try await hostWorker(try decode(PeerSettings.self, words[2]), link)
} else if words.count == 3, words[1] == "deliver" {
  try await deliverMessages(try decode(PeerSettings.self, words[2]), link)
} else if words.count == 3, words[1] == "torture" {
  // One process of a torture run, which starts this program with the peer's own settings.
  try await decode(TorturePeer.self, words[2]).run(link)
} else if words.count == 3, words[1] == "backup-load" {
  // The same, of a backup beside writers.
  try await decode(BackupLoadPeer.self, words[2]).run(link)
} else {
  let names =
    Scenario.allCases.map(\.rawValue) + EngineScenario.allCases.map(\.rawValue) + [
      "indexMessages", "streamMessages", "host", "deliver", "torture", "backup-load", "worker",
    ]
  FileHandle.standardError.write(
    Data("usage: HoldfastTestPeer \(names.joined(separator: "|")) JSON\n".utf8))
  exit(64)
}

func decode<Settings: Decodable>(_ type: Settings.Type, _ text: String) throws -> Settings {
  try JSONDecoder().decode(type, from: Data(text.utf8))
}
