// SPDX-License-Identifier: Apache-2.0

import Foundation
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
    let entries = try reading.entries(node, place)
    for (key, value) in entries {
      let here = "\(place).\(key.name)"
      switch key.name {
      case "command": command = try reading.strings(value, here)
      case "environment": environment = try reading.texts(value, here)
      case "directory": directory = try reading.path(value, here)
      case "webhook": webhook = try DeliveryConfiguration.Webhook(value, here, reading)
      case "timeout_seconds":
        timeLimit = try reading.seconds(value, here)
        guard timeLimit > .zero else { throw reading.problem(value, "\(here) is more than 0") }
      case "concurrency": concurrency = try reading.count(value, here)
      default:
        throw reading.unknown(
          key, in: place,
          known: ["command", "environment", "directory", "webhook", "timeout_seconds", "concurrency"])
      }
    }
    if webhook != nil {
      let ofCommands = ["command", "environment", "directory"]
      if let (key, _) = entries.first(where: { key, _ in ofCommands.contains(key.name) }) {
        throw reading.problem(key.node, "\(place) has a webhook, and \(key.name) is for what has none")
      }
    } else if command.isEmpty {
      throw reading.problem(
        node, "\(place) needs what carries its messages: a command, as in [python3, send.py], or a webhook")
    }
  }
}

extension DeliveryConfiguration.Webhook {
  /// What an adapter sets itself.
  private static let reserved: Set<String> = [
    "host", "content-type", "content-length", "transfer-encoding", "connection", "idempotency-key",
  ]

  /// Reads a URL, or a mapping with `url`, `headers` and `headers_env`.
  init(_ node: Node, _ place: String, _ reading: ConfigurationReading) throws(SupervisorConfigurationError) {
    self.init(url: "")
    var spot = node
    if let text = node.scalar?.string {
      url = text
    } else {
      for (key, value) in try reading.entries(node, place) {
        let here = "\(place).\(key.name)"
        switch key.name {
        case "url": (url, spot) = (try reading.string(value, here), value)
        case "headers": headers = try reading.texts(value, here)
        case "headers_env": headersFromEnvironment = try reading.texts(value, here)
        default: throw reading.unknown(key, in: place, known: ["url", "headers", "headers_env"])
        }
      }
    }
    guard let parts = URLComponents(string: url), let scheme = parts.scheme?.lowercased(),
      ["http", "https"].contains(scheme), parts.host?.isEmpty == false, parts.user == nil,
      parts.fragment == nil
    else {
      throw reading.problem(spot, "\(place) needs the URL of a server, as in https://example.com/hook")
    }
    for (name, value) in headers.merging(headersFromEnvironment, uniquingKeysWith: { $1 }) {
      let isName = !name.isEmpty && name.utf8.allSatisfy(Self.isTokenByte)
      guard isName, !Self.reserved.contains(name.lowercased()),
        Self.isFieldValue(value)
      else { throw reading.problem(node, "\(place) cannot set the header \(name)") }
    }
  }

  /// What a header may have, for our purposes: no control characters.
  static func isFieldValue(_ value: String) -> Bool { value.utf8.allSatisfy { $0 >= 0x20 && $0 != 0x7f } }

  /// RFC 9110, 5.6.2.
  private static func isTokenByte(_ byte: UInt8) -> Bool {
    switch byte {
    case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
      UInt8(ascii: "0")...UInt8(ascii: "9"):
      true
    default: "!#$%&'*+-.^_`|~".utf8.contains(byte)
    }
  }
}
