// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import Yams

extension ConfigFile {
  /// Reads the mapping under `telemetry`.
  static func telemetry(_ node: Node) throws(GatewayError) -> OTLPConfiguration.Section {
    var section = OTLPConfiguration.Section()
    for (field, value) in try entries(node, "telemetry") {
      switch field.name {
      case "endpoint":
        let text = try string(value, "telemetry.endpoint")
        guard BaseURL(text) != nil else {
          throw problem(value, "telemetry.endpoint is no URL; http://localhost:4318 is one")
        }
        section.endpoint = text
      case "service_name": section.serviceName = try string(value, "telemetry.service_name")
      case "headers":
        for (name, header) in try entries(value, "telemetry.headers") {
          section.headers[name.name] = try string(header, "telemetry.headers.\(name.name)")
        }
      case "resource":
        for (name, attribute) in try entries(value, "telemetry.resource") {
          section.resource[name.name] = try string(attribute, "telemetry.resource.\(name.name)")
        }
      default:
        throw unknown(field, in: "telemetry", known: ["endpoint", "headers", "service_name", "resource"])
      }
    }
    return section
  }
}
