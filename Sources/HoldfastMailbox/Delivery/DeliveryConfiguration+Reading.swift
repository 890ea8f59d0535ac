// SPDX-License-Identifier: Apache-2.0

import Yams

extension DeliveryConfiguration {
  /// Reads the mapping of kinds to routes.
  init(_ node: Node, _ place: String, _ reading: ConfigurationReading) throws(SupervisorConfigurationError) {
    self.init()
    for (kind, value) in try reading.entries(node, place) {
      let route = try Route(value, "\(place).\(kind.name)", reading)
      if kind.name == "*" {
        others = route
      } else {
        guard (1...64).contains(kind.name.unicodeScalars.count) else {
          throw reading.problem(kind.node, "a kind of message in \(place) has 1 to 64 characters")
        }
        kinds[kind.name] = route
      }
    }
  }
}

extension DeliveryConfiguration.Route {
  init(_ node: Node, _ place: String, _ reading: ConfigurationReading) throws(SupervisorConfigurationError) {
    self.init()
    for (key, value) in try reading.entries(node, place) {
      let here = "\(place).\(key.name)"
      switch key.name {
      case "command": command = try reading.strings(value, here)
      case "environment": environment = try reading.texts(value, here)
      case "directory": directory = try reading.path(value, here)
      case "timeout_seconds":
        timeLimit = try reading.seconds(value, here)
        guard timeLimit > .zero else { throw reading.problem(value, "\(here) is more than 0") }
      case "concurrency": concurrency = try reading.count(value, here)
      default:
        throw reading.unknown(
          key, in: place, known: ["command", "environment", "directory", "timeout_seconds", "concurrency"])
      }
    }
    guard !command.isEmpty else {
      throw reading.problem(
        node, "\(place) needs what carries its messages: a command, as in [python3, send.py]")
    }
  }
}
