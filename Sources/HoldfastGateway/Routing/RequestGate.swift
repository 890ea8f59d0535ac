// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog

/// Who may ask this gateway anything: judged on every request, the proxy's too (row G06).
///
/// A web page can make a browser send requests to a server on the user's own machine: by DNS rebinding, which shows
/// in the Host field, or cross-site, which shows in Origin and Sec-Fetch-Site. Neither is let through, so no page
/// can spend the user's money or read the user's spend. Programs send none of these fields and are not affected.
struct RequestGate: Sendable {
  /// Hosts that may stand in Host, beside loopback's names; in lower case.
  var allowedHosts: Set<String>
  /// Origins that may ask beside the gateway's own pages, as in `app://obsidian.md`.
  var allowedOrigins: Set<String> = []
  /// Whether an address as Host is let through: with a wildcard binding any of the machine's may be meant, and an
  /// address cannot be rebound.
  var allowsAddresses = false
  /// Asked of every request when set.
  var token: GatewayToken?

  /// What the gate says to a request.
  enum Verdict: Equatable {
    case pass
    /// The client's credential was this gateway's token in one of these fields: they are not sent on.
    case passWithToken(in: [String])
    case refuse(ProxyFault)

    static func == (left: Verdict, right: Verdict) -> Bool {
      switch (left, right) {
      case (.pass, .pass): true
      case (.passWithToken(let a), .passWithToken(let b)): a == b
      case (.refuse(let a), .refuse(let b)): a == b
      default: false
      }
    }
  }

  /// Paths that are answered without a token: they tell nothing but that the process lives.
  private static let openPaths: Set<String> = ["/health", "/ready"]

  func verdict(on head: RequestHead) -> Verdict {
    let fields = head.fields
    let target = head.targetText
    guard target.hasPrefix("/") else {
      return .refuse(
        ProxyFault(.badRequest, "Holdfast takes paths only, not whole URLs, as the request's target."))
    }
    let host = fields.first(.host)
    if let host, !isAllowed(host) {
      return .refuse(
        ProxyFault(
          .forbidden,
          "Holdfast does not answer to this Host; use 127.0.0.1 or localhost, or add it to allowed_hosts."))
    }
    if let refusal = judgeOrigin(fields, host: host, method: head.methodText) { return .refuse(refusal) }
    guard let token else { return .pass }
    if Self.openPaths.contains(target) { return .pass }
    return judgeToken(token, fields)
  }

  private func isAllowed(_ text: String) -> Bool {
    guard let place = HostAndPort(text) else { return false }
    if HostAndPort.isLoopback(place.host) || allowedHosts.contains(place.host) { return true }
    return allowsAddresses && (place.isBracketed || HostAndPort.isIPv4(place.host))
  }

  private func judgeOrigin(_ fields: HeadFields, host: String?, method: String) -> ProxyFault? {
    let refusal = ProxyFault(
      .forbidden, "Holdfast refuses requests of other web sites; add the page's origin to allowed_origins.")
    if let origin = fields.first(.origin)?.lowercased() {
      if allowedOrigins.contains(origin) { return nil }
      guard let host = host?.lowercased(), origin == "http://\(host)" || origin == "https://\(host)" else {
        return refusal
      }
    }
    switch fields.first(.secFetchSite)?.lowercased() {
    case "cross-site": return refusal
    case "same-site":
      // Another port of this host: a link may lead here, a script may not read from here.
      return method == "GET" && fields.first(.secFetchMode) == "navigate" ? nil : refusal
    default: return nil
    }
  }

  private func judgeToken(_ token: GatewayToken, _ fields: HeadFields) -> Verdict {
    var found: [String] = []
    if let value = fields.first(.holdfastToken), token.matches(value) { found.append("x-holdfast-token") }
    if let value = fields.first(.authorization), token.matchesAuthorization(value) {
      found.append("authorization")
    }
    if let value = fields.first(.apiKey), token.matches(value) { found.append("x-api-key") }
    if found.isEmpty {
      return .refuse(
        ProxyFault(
          .unauthorized,
          "This Holdfast asks for its token: send it as x-holdfast-token, or as the client's API key."))
    }
    return .passWithToken(in: found)
  }
}

/// The secret a gateway on a public address asks for. Compared in constant time, never printed.
public struct GatewayToken: Sendable, CustomStringConvertible {
  private let bytes: [UInt8]

  /// A token; at least 16 characters, so that it cannot be guessed.
  public init?(_ text: String) {
    guard text.utf8.count >= 16, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
    bytes = Array(text.utf8)
  }

  /// Without the secret.
  public var description: String { "…" }

  /// The secret itself, for a client of the gateway on the same machine.
  var text: String { String(decoding: bytes, as: UTF8.self) }

  /// Whether `text` is the token; takes as long whatever the first difference is.
  func matches(_ text: some StringProtocol) -> Bool {
    let given = Array(text.utf8)
    var difference = UInt8(given.count == bytes.count ? 0 : 1)
    for index in bytes.indices {
      difference |= bytes[index] ^ (index < given.count ? given[index] : 0)
    }
    return difference == 0
  }

  /// Whether an Authorization field carries the token, as `Bearer TOKEN` or as the password of `Basic`.
  func matchesAuthorization(_ value: String) -> Bool {
    let parts = value.split(separator: " ", maxSplits: 1)
    guard parts.count == 2 else { return false }
    switch parts[0].lowercased() {
    case "bearer": return matches(parts[1].trimmingOptionalWhitespace())
    case "basic":
      guard let pair = Base64.decode(parts[1].trimmingOptionalWhitespace()),
        let colon = pair.firstIndex(of: ASCII.colon)
      else { return false }
      return matches(String(decoding: pair[(colon + 1)...], as: UTF8.self))
    default: return false
    }
  }
}

/// RFC 4648 §4, as Basic credentials use it.
enum Base64 {
  static func decode(_ text: some StringProtocol) -> [UInt8]? {
    var out: [UInt8] = []
    var bits: UInt32 = 0
    var count = 0
    for byte in text.utf8 where byte != UInt8(ascii: "=") {
      let value: UInt32
      switch byte {
      case 0x41...0x5A: value = UInt32(byte) - 0x41
      case 0x61...0x7A: value = UInt32(byte) - 0x61 + 26
      case 0x30...0x39: value = UInt32(byte) - 0x30 + 52
      case UInt8(ascii: "+"): value = 62
      case UInt8(ascii: "/"): value = 63
      default: return nil
      }
      bits = bits << 6 | value
      count += 6
      if count >= 8 {
        count -= 8
        out.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
      }
    }
    return out
  }
}
