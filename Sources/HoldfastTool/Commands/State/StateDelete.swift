// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastCatalog
import HoldfastGateway

/// `holdfast state delete`.
struct StateDelete: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "delete",
    abstract: "Take a value away.",
    discussion: """
      Examples:
        holdfast state delete agents reviewer
        holdfast state delete agents reviewer --if-version 3

      A key without a value exits 66.
      """)

  @Argument(help: "The namespace.") var namespace: String
  @Argument(help: "The key.") var key: String
  @OptionGroup var version: VersionOption
  @OptionGroup var common: CommonOptions

  private struct Line: Encodable {
    var namespace: String
    var key: String
    var version: Int64
    var deleted = true
  }

  func run() async throws {
    let place = StateKey(namespace, key)
    let deleted = try await StateLine.tellingConflicts(common.json) {
      try await common.withState(making: false) {
        try await $0.apply([.delete(place, ifVersion: version.ifVersion)])[0]
      }
    }
    guard deleted != 0 else { throw Failure(ExitStatus.noInput, "\(place) has no value.") }
    let line = Line(namespace: namespace, key: key, version: deleted)
    Console.print(common.json ? try JSONLine.text(line) : "\(place) is deleted.")
  }
}
