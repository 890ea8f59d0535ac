// SPDX-License-Identifier: Apache-2.0

/// The places in a JSON document that are wanted, as a tree of object keys.
///
/// A path is written with dots for keys and `[]` for the elements of an array: `choices[].finish_reason`.
struct JSONFieldPaths: Sendable {
  struct Node: Sendable {
    var keys: [[UInt8]] = []
    var children: [Int] = []
    /// The node of an array's elements, or -1.
    var element = -1
    /// The number under which the value here is reported, or -1 when it is only passed through.
    var field = -1
  }

  private(set) var nodes: [Node] = [Node()]

  /// Makes the tree; each path goes with the number reported for it.
  init(_ paths: [(path: String, field: UInt8)]) {
    for (path, field) in paths { add(path, field) }
  }

  private mutating func add(_ path: String, _ field: UInt8) {
    var node = 0
    for part in path.split(separator: ".") {
      var key = part
      var isElement = false
      while key.hasSuffix("[]") {
        key = key.dropLast(2)
        isElement = true
      }
      if !key.isEmpty { node = child(of: node, key: Array(key.utf8)) }
      if isElement { node = element(of: node) }
    }
    nodes[node].field = Int(field)
  }

  private mutating func child(of node: Int, key: [UInt8]) -> Int {
    if let known = self.node(under: node, key: key) { return known }
    nodes.append(Node())
    nodes[node].keys.append(key)
    nodes[node].children.append(nodes.count - 1)
    return nodes.count - 1
  }

  private mutating func element(of node: Int) -> Int {
    if nodes[node].element < 0 {
      nodes.append(Node())
      nodes[node].element = nodes.count - 1
    }
    return nodes[node].element
  }

  /// The node of `key` in the object at `node`, or nil when nothing under it is wanted.
  func node(under node: Int, key: [UInt8]) -> Int? {
    let keys = nodes[node].keys
    for index in keys.indices where keys[index] == key { return nodes[node].children[index] }
    return nil
  }
}
