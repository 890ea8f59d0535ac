// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import Yams

/// Reads the nodes of one file of workers and deliveries.
struct ConfigurationReading {
  typealias Fault = SupervisorConfigurationError

  struct Key {
    var name: String
    var node: Node
  }

  /// What the file is called.
  let name: String
  /// What a relative path is in.
  let directory: String

  func seconds(_ node: Node, _ place: String) throws(Fault) -> Duration {
    let number = node.float ?? node.int.map(Double.init)
    guard let number, number.isFinite, number >= 0, number <= 31_536_000 else {
      throw problem(node, "\(place) is a number of seconds, from 0 to a year")
    }
    return .milliseconds(Int64((number * 1000).rounded()))
  }

  func count(_ node: Node, _ place: String) throws(Fault) -> Int {
    guard let count = node.int, (1...1_000_000).contains(count) else {
      throw problem(node, "\(place) is a whole number from 1 on")
    }
    return count
  }

  func entries(_ node: Node, _ place: String) throws(Fault) -> [(Key, Node)] {
    guard let mapping = node.mapping else { throw problem(node, "\(place) is no mapping of names to values") }
    var seen: Set<String> = []
    var out: [(Key, Node)] = []
    for (key, value) in mapping {
      guard let name = key.scalar?.string else { throw problem(key, "a key in \(place) is no text") }
      guard seen.insert(name).inserted else { throw problem(key, "“\(name)” stands twice in \(place)") }
      out.append((Key(name: name, node: key), value))
    }
    return out
  }

  func string(_ node: Node, _ place: String) throws(Fault) -> String {
    guard let text = node.scalar?.string, !text.isEmpty, !text.utf8.contains(0) else {
      throw problem(node, "\(place) is no text")
    }
    return text
  }

  /// A mapping of names to texts.
  func texts(_ node: Node, _ place: String) throws(Fault) -> [String: String] {
    var out: [String: String] = [:]
    for (name, value) in try entries(node, place) {
      guard let text = value.scalar?.string else { throw problem(value, "\(place).\(name.name) is no text") }
      out[name.name] = text
    }
    return out
  }

  /// A path; one that is relative is in the file's directory.
  func path(_ node: Node, _ place: String) throws(Fault) -> String {
    let text = try string(node, place)
    return text.hasPrefix("/") ? text : directory + "/" + text
  }

  func strings(_ node: Node, _ place: String) throws(Fault) -> [String] {
    guard let sequence = node.sequence else { throw problem(node, "\(place) is no list") }
    var out: [String] = []
    for item in sequence {
      guard let text = item.scalar?.string, !text.utf8.contains(0) else {
        throw problem(item, "\(place) has something in it that is no text")
      }
      out.append(text)
    }
    return out
  }

  func unknown(_ key: Key, in place: String, known: [String]) -> Fault {
    problem(key.node, "“\(key.name)” is not known in \(place); known are \(known.joined(separator: ", "))")
  }

  func problem(_ node: Node, _ what: String) -> Fault {
    let line = node.mark.map { " line \($0.line)" } ?? ""
    return Fault(message: "\(name)\(line): \(what).")
  }
}
