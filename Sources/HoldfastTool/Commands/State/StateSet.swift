// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation
import HoldfastCatalog
import HoldfastEngine

/// `holdfast state set`.
struct StateSet: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "set",
    abstract: "Set a value; it is durable when the command ends.",
    discussion: """
      Examples:
        holdfast state set agents reviewer '{"mood":"calm"}'
        holdfast state set agents reviewer '{"mood":"brisk"}' --if-version 1
        holdfast state set leases night '"worker-7"' --expires 90m --if-version 0
        pass show github | jq -R . | holdfast state set tokens github - --secret

      A version that is asked for and not found exits 75; with --json the one there is is printed.
      """)

  @Argument(help: "The namespace.") var namespace: String
  @Argument(help: "The key.") var key: String
  @Argument(help: "The value in JSON; - reads it from standard input.") var json: String
  @OptionGroup var version: VersionOption

  @Option(
    name: .long,
    help: ArgumentHelp(
      "When it is not there any more: a time in RFC 3339, or in how long (90s, 30m, 8h, 7d). Not given: never.",
      valueName: "time"))
  var expires: String?

  @Flag(
    inversion: .prefixedNo,
    help: "Whether it is masked where it is shown (default: as the value it replaces).")
  var secret: Bool?

  @OptionGroup var common: CommonOptions

  func validate() throws { _ = try Self.moment(expires, now: .now) }

  func run() async throws {
    let value = try StateValue(json: json == "-" ? try await Self.standardInput() : json)
    let place = StateKey(namespace, key)
    let expires = try Self.moment(expires, now: .now)
    let entry = try await StateLine.tellingConflicts(common.json) {
      try await common.withState(making: true) { store in
        let version = try await store.set(
          place, to: value, ifVersion: version.ifVersion, expires: expires, isSecret: secret)
        // Whether it is a secret, the table knows; a value set by another meanwhile is not told for this one.
        let isSecret = try await store.get(place)?.isSecret ?? secret ?? false
        return StateEntry(
          key: place, value: value, version: version, isSecret: isSecret, expires: expires, updated: .now)
      }
    }
    Console.print(
      common.json ? try StateLine.json(entry, reveals: false) : "\(place) has version \(entry.version).")
  }

  private static func standardInput() async throws -> String {
    let data = try await Process.onThread { try FileHandle.standardInput.readToEnd() ?? Data() }
    guard let text = String(data: data, encoding: .utf8) else {
      throw CatalogError(.invalid, "Standard input is not UTF-8.")
    }
    return text
  }

  private static func moment(_ text: String?, now: UTCInstant) throws -> UTCInstant? {
    guard let text else { return nil }
    if let time = UTCInstant(text) { return time }
    let units: [Character: Int64] = ["s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800]
    if let unit = text.last.flatMap({ units[$0] }), let count = Int64(text.dropLast()),
      (0...1_000_000).contains(count)
    {
      return now.advanced(by: .seconds(count * unit))
    }
    throw ValidationError(
      "--expires is a time as in 2026-11-21T09:30:00Z, or in how long, as in 90s, 30m, 8h, 7d; not “\(text)”."
    )
  }
}
