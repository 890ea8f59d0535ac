// SPDX-License-Identifier: Apache-2.0

import Yams

extension ConfigFile {
  /// Reads the mapping under `capture`, or `never` for none at all.
  static func capture(_ node: Node) throws(GatewayError) -> CapturePlan? {
    if let text = node.scalar?.string, node.mapping == nil {
      guard node.bool == false || text == "never" else {
        throw problem(node, "capture is a mapping with sources, or never; it is “\(text)”")
      }
      return nil
    }
    var plan: CapturePlan?
    for (field, value) in try entries(node, "capture") {
      guard field.name == "sources" else { throw unknown(field, in: "capture", known: ["sources"]) }
      if let text = value.scalar?.string, value.sequence == nil {
        guard text == "all" else {
          throw problem(value, "capture.sources is a list of programs, or all; it is “\(text)”")
        }
        plan = CapturePlan(sources: nil)
      } else {
        // As they are told: the name in x-holdfast-source may have capitals.
        var names: Set<String> = []
        guard let sequence = value.sequence else { throw problem(value, "capture.sources is no list") }
        for item in sequence { names.insert(try string(item, "capture.sources")) }
        plan = CapturePlan(sources: names)
      }
    }
    guard let plan else { throw problem(node, "capture needs its sources: a list of programs, or all") }
    return plan.sources?.isEmpty == true ? nil : plan
  }
}
