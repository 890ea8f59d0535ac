// SPDX-License-Identifier: Apache-2.0

/// The host and port of a URL or a Host field.
package struct HostAndPort: Equatable, Sendable {
  /// In lower case; an IPv6 address without its brackets.
  package var host: String
  package var port: Int?
  package var isBracketed = false

  package init?(_ text: some StringProtocol) {
    var rest = Substring(text)
    if rest.hasPrefix("[") {
      guard let close = rest.firstIndex(of: "]") else { return nil }
      host = rest[rest.index(after: rest.startIndex)..<close].lowercased()
      guard host.contains(":") else { return nil }
      rest = rest[rest.index(after: close)...]
      isBracketed = true
    } else {
      let name = rest.prefix { $0 != ":" }
      host = name.lowercased()
      rest = rest.dropFirst(name.count)
    }
    guard !host.isEmpty else { return nil }
    if rest.isEmpty { return }
    guard rest.hasPrefix(":"), let number = Int(rest.dropFirst()), (1...65535).contains(number),
      rest.dropFirst().utf8.allSatisfy({ (0x30...0x39).contains($0) })
    else { return nil }
    port = number
  }

  package static func isLoopback(_ host: String) -> Bool {
    host == "localhost" || host == "::1" || (host.hasPrefix("127.") && isIPv4(host))
  }

  package static func isIPv4(_ host: String) -> Bool {
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4
      && parts.allSatisfy { part in
        (1...3).contains(part.count) && part.utf8.allSatisfy { (0x30...0x39).contains($0) }
          && (Int(part) ?? 256) < 256
      }
  }
}
