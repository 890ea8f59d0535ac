// SPDX-License-Identifier: Apache-2.0

/// Where a provider is asked for its models, and how.
struct ModelListRequest: Sendable, Hashable {
  /// The whole URL.
  var url: String
  /// The fields it is asked with, a credential among them.
  var fields: [Field] = [Field(name: "accept", value: "application/json")]

  struct Field: Sendable, Hashable {
    var name: String
    var value: String
  }

  /// - Parameter page: what the page before said of the next; nil for the first.
  init(_ provider: Provider, page: String? = nil) {
    let base = provider.baseURL.description
    let path = provider.baseURL.path
    func cut(_ suffix: String) -> String { String(base.dropLast(suffix.count)) }
    switch provider.kind {
    case .anthropic:
      url = base + (path.hasSuffix("/v1") ? "" : "/v1") + "/models?limit=1000"
      if let page { url += "&after_id=" + Self.escaped(page) }
      fields.append(Field(name: "anthropic-version", value: "2023-06-01"))
    case .openAI: url = base + (path.isEmpty ? "/v1" : "") + "/models"
    case .ollama: url = (path.hasSuffix("/v1") ? cut("/v1") : base) + "/api/tags"
    case .gemini:
      let root = path.hasSuffix("/openai") ? cut("/openai") : base + (path.isEmpty ? "/v1beta" : "")
      url = root + "/models?pageSize=1000"
      if let page { url += "&pageToken=" + Self.escaped(page) }
    }
    if let credential = provider.credential {
      let isBearer = credential.value.hasPrefix("Bearer ")
      fields.append(
        provider.kind == .gemini && isBearer
          ? Field(name: "x-goog-api-key", value: String(credential.value.dropFirst(7)))
          : Field(name: credential.field, value: credential.value))
    }
  }

  /// RFC 3986, section 2.3: everything but letters, digits and `-._~` is escaped.
  private static func escaped(_ text: String) -> String {
    var out = ""
    for byte in text.utf8 {
      switch byte {
      case 0x30...0x39, 0x41...0x5A, 0x61...0x7A, UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"),
        UInt8(ascii: "~"):
        out.unicodeScalars.append(Unicode.Scalar(byte))
      default:
        let digits = String(byte, radix: 16, uppercase: true)
        out += "%" + (digits.count == 1 ? "0" : "") + digits
      }
    }
    return out
  }
}
