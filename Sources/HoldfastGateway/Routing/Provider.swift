// SPDX-License-Identifier: Apache-2.0

/// The API a provider speaks.
public enum ProviderKind: String, Sendable, Hashable, CaseIterable {
  /// Anthropic's Messages API.
  case anthropic
  /// OpenAI's API, as most other vendors and local servers speak it.
  case openAI = "openai"
}

/// A server requests are relayed to.
public struct Provider: Sendable {
  /// A key that is sent when the client sent no credentials of its own. Never printed.
  public struct Credential: Sendable, CustomStringConvertible {
    /// The header field it goes in, as in `x-api-key` or `Authorization`.
    var field: String
    /// The field's whole value.
    var value: String

    /// Anthropic's `x-api-key`.
    public static func apiKey(_ key: String) -> Credential { Credential(field: "x-api-key", value: key) }

    /// `Authorization: Bearer`, as OpenAI and most others want it.
    public static func bearer(_ key: String) -> Credential {
      Credential(field: "Authorization", value: "Bearer \(key)")
    }

    /// Without the secret.
    public var description: String { "\(field): …" }
  }

  /// What it is called in paths, in the configuration and in usage rows.
  public var name: String
  /// The API it speaks.
  public var kind: ProviderKind
  /// Where it is: what an SDK of its kind takes as its base URL.
  public var baseURL: BaseURL
  /// Sent when the client sent none.
  public var credential: Credential?

  /// Makes a provider.
  public init(name: String, kind: ProviderKind, baseURL: BaseURL, credential: Credential? = nil) {
    self.name = name
    self.kind = kind
    self.baseURL = baseURL
    self.credential = credential
  }
}

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

  /// Whether it names this very machine's loopback.
  var isLoopback: Bool { HostAndPort.isLoopback(host) }
}

/// The host and port of a URL or a Host field.
struct HostAndPort: Equatable, Sendable {
  /// In lower case; an IPv6 address without its brackets.
  var host: String
  var port: Int?
  var isBracketed = false

  init?(_ text: some StringProtocol) {
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
      rest.dropFirst().utf8.allSatisfy({ $0.decimalDigit != nil })
    else { return nil }
    port = number
  }

  static func isLoopback(_ host: String) -> Bool {
    host == "localhost" || host == "::1" || (host.hasPrefix("127.") && isIPv4(host))
  }

  static func isIPv4(_ host: String) -> Bool {
    let parts = host.split(separator: ".", omittingEmptySubsequences: false)
    return parts.count == 4
      && parts.allSatisfy { part in
        (1...3).contains(part.count) && part.utf8.allSatisfy { $0.decimalDigit != nil }
          && (Int(part) ?? 256) < 256
      }
  }
}
