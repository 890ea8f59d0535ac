// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastCatalog
import HoldfastEngine

/// `holdfast state list`.
struct StateList: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "The values of a namespace, in the order of their keys.",
    discussion: """
      Examples:
        holdfast state list agents
        holdfast state list agents --prefix review --json

      Secrets are printed as "***" unless --reveal is given.
      """)

  @Argument(help: "The namespace.") var namespace: String
  @Option(name: .long, help: ArgumentHelp("Only keys that begin like this.", valueName: "text"))
  var prefix = ""
  @Flag(name: .long, help: "Secrets as they are.") var reveal = false
  @OptionGroup var common: CommonOptions

  func run() async throws {
    guard Home.exists(common.resolvedHome.path + "/state.db") else {
      if !common.json { Console.print("No values.") }
      return
    }
    let isUnreadable = try await common.withState(making: false) { store in
      var query = StateQuery(namespace, prefix: prefix)
      var table = Table([
        .init(title: "key"), .init(title: "version", isNumber: true), .init(title: "expires"),
        .init(title: "value"),
      ])
      var isEmpty = true
      var isUnreadable = false
      repeat {
        let page = try await store.list(query)
        for fault in page.faults {
          isUnreadable = true
          Console.printError(fault.reason)
        }
        for entry in page.entries {
          isEmpty = false
          if common.json {
            Console.print(try StateLine.json(entry, reveals: reveal))
          } else {
            table.add([
              entry.key.key, String(entry.version), entry.expires?.description ?? "",
              Self.glance(StateLine.value(entry, reveals: reveal)),
            ])
          }
        }
        query.after = page.next
      } while query.after != nil
      if !common.json { Console.print(isEmpty ? "No values." : table.lines.joined(separator: "\n")) }
      return isUnreadable
    }
    // The rest was listed; that some could not be read is told all the same.
    if isUnreadable { Process.leave(ExitStatus.dataError) }
  }

  private static func glance(_ text: String) -> String {
    let scalars = text.unicodeScalars
    return scalars.count <= 80 ? text : String(scalars.prefix(79)) + "…"
  }
}
