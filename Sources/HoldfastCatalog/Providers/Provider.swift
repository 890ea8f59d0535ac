// SPDX-License-Identifier: Apache-2.0

/// The API a provider speaks.
public enum ProviderKind: String, Sendable, Hashable, CaseIterable, Codable {
  /// Anthropic's Messages API.
  case anthropic
  /// OpenAI's API, as most other vendors and local servers speak it.
  case openAI = "openai"
  /// OpenAI's API for requests; the list of models in Ollama's own shape.
  case ollama
  /// OpenAI's API for requests; the list of models in Gemini's own shape.
  case gemini

  /// Whether its requests have OpenAI's shape rather than Anthropic's.
  public var speaksOpenAI: Bool { self != .anthropic }
}

/// A server requests are relayed to.
public struct Provider: Sendable {
  /// A key that is sent when the client sent no credentials of its own. Never printed.
  public struct Credential: Sendable, CustomStringConvertible {
    /// The header field it goes in, as in `x-api-key` or `Authorization`.
    package var field: String
    /// The field's whole value.
    package var value: String

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
  /// Whether the configuration says where its key is, so that without one it cannot be used.
  public var expectsKey = false
  /// Sent when the client sent none.
  public var credential: Credential?
  /// Whether it is asked for its models and routed to, unless somebody decides otherwise by hand.
  public var isEnabled = true
  /// Whether the configuration or the environment says anything of it; of the vendors that are known anyway, the
  /// others are there only for clients that bring their own keys.
  public var isConfigured = true

  /// Whether it can be asked for its models: it is configured, and has its key if it wants one, as all vendors do.
  public var isUsable: Bool { isConfigured && (credential != nil || !(expectsKey || isVendor)) }

  /// Whether it is at the place of a vendor that is known anyway.
  package var isVendor: Bool { BuiltInProvider.vendorHosts.contains(baseURL.host) }

  /// Makes a provider.
  public init(name: String, kind: ProviderKind, baseURL: BaseURL, credential: Credential? = nil) {
    self.name = name
    self.kind = kind
    self.baseURL = baseURL
    self.credential = credential
  }
}
