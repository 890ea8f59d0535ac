// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastCatalog

/// `holdfast state get`.
struct StateGet: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "get",
    abstract: "A value.",
    discussion: """
      Examples:
        holdfast state get agents reviewer
        holdfast state get agents reviewer --json | jq .version
        holdfast state get tokens github --reveal

      A key without a value exits 66. A secret is printed as "***" unless --reveal is given.
      """)

  @Argument(help: "The namespace.") var namespace: String
  @Argument(help: "The key.") var key: String
  @Flag(name: .long, help: "A secret as it is.") var reveal = false
  @OptionGroup var common: CommonOptions

  func run() async throws {
    let place = StateKey(namespace, key)
    let found = try await common.withState(making: false) { try await $0.get(place) }
    guard let entry = found else { throw Failure(ExitStatus.noInput, "\(place) has no value.") }
    Console.print(
      common.json ? try StateLine.json(entry, reveals: reveal) : StateLine.value(entry, reveals: reveal))
  }
}
