// SPDX-License-Identifier: Apache-2.0

/// The scheme, place and path that every request to a provider begins with.
public struct BaseURL: Sendable, Hashable, CustomStringConvertible {
  /// True for https.
  public let usesTLS: Bool
  /// A name, an IPv4 address, or an IPv6 address without its brackets.
  public let host: String
  /// The port, the scheme's own unless given.
  public let port: Int
  /// Begins with a slash and ends without one; empty for the root.
  public let path: String

  /// Reads `http[s]://host[:port][/path]`; nil for anything else (a query, a user, a fragment, white space).
  public init?(_ text: String) {
    var rest = Substring(text)
    if rest.lowercased().hasPrefix("https://") {
      usesTLS = true
      rest = rest.dropFirst(8)
    } else if rest.lowercased().hasPrefix("http://") {
      usesTLS = false
      rest = rest.dropFirst(7)
    } else {
      return nil
    }
    guard rest.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "\\") }),
      !rest.contains("?"), !rest.contains("#"), !rest.contains("@")
    else { return nil }
    let authority = rest.prefix { $0 != "/" }
    var path = rest.dropFirst(authority.count)
    while path.hasSuffix("/") { path = path.dropLast() }
    self.path = String(path)
    guard let place = HostAndPort(authority) else { return nil }
    host = place.host
    port = place.port ?? (usesTLS ? 443 : 80)
  }

  /// As it was written, without a trailing slash.
  public var description: String {
    let literal = host.contains(":") ? "[\(host)]" : host
    let isDefault = port == (usesTLS ? 443 : 80)
    return "\(usesTLS ? "https" : "http")://\(literal)\(isDefault ? "" : ":\(port)")\(path)"
  }

  /// Text that was to be a URL, as a message may quote it: without what could be a password or a key.
  package static func quotable(_ text: String) -> String {
    let place = text.prefix { $0 != "?" && $0 != "#" }
    guard let at = place.lastIndex(of: "@") else {
      return String(place) + (place.count < text.count ? "…" : "")
    }
    return "…" + place[at...]
  }

  /// Whether it names this very machine's loopback.
  package var isLoopback: Bool { HostAndPort.isLoopback(host) }
}
