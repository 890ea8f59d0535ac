// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage
import Yams

extension ConfigFile {
  /// Reads the mapping under `imports`: the programs whose logs the daemon takes in as they are written.
  static func imports(_ node: Node) throws(GatewayError) -> [UsageLogFormat] {
    var formats: [UsageLogFormat] = []
    for (field, value) in try entries(node, "imports") {
      guard field.name == "watch" else { throw unknown(field, in: "imports", known: ["watch"]) }
      if let text = value.scalar?.string, value.sequence == nil {
        guard text == "all" else {
          throw problem(value, "imports.watch is a list of programs, or all; it is “\(text)”")
        }
        return UsageLogFormat.allCases
      }
      guard let sequence = value.sequence else { throw problem(value, "imports.watch is no list") }
      for item in sequence {
        let name = try string(item, "imports.watch")
        guard let format = UsageLogFormat(name: name) else {
          let known = UsageLogFormat.allCases.map(\.rawValue).joined(separator: ", ")
          throw problem(item, "imports.watch names “\(name)”; known are \(known)")
        }
        if !formats.contains(format) { formats.append(format) }
      }
    }
    return formats
  }
}
