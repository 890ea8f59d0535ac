// SPDX-License-Identifier: Apache-2.0

/// A vendor known without any configuration: its own address, and the variables its SDKs read.
///
/// All of them are there from the start, because clients bring their own keys.
package struct BuiltInProvider: Sendable {
  package let name: String
  package let kind: ProviderKind
  package let baseURL: String
  /// The first of these that is set gives the key.
  package let keyVariables: [String]
  /// The variable that moves the vendor elsewhere.
  package let baseURLVariable: String

  package static let all: [BuiltInProvider] = [
    BuiltInProvider(
      name: "anthropic", kind: .anthropic, baseURL: "https://api.anthropic.com",
      keyVariables: ["ANTHROPIC_API_KEY"], baseURLVariable: "ANTHROPIC_BASE_URL"),
    openAI("openai", "https://api.openai.com/v1", "OPENAI"),
    openAI("openrouter", "https://openrouter.ai/api/v1", "OPENROUTER"),
    openAI("groq", "https://api.groq.com/openai/v1", "GROQ"),
    openAI("mistral", "https://api.mistral.ai/v1", "MISTRAL"),
    openAI("deepseek", "https://api.deepseek.com/v1", "DEEPSEEK"),
    openAI("xai", "https://api.x.ai/v1", "XAI"),
    openAI("together", "https://api.together.xyz/v1", "TOGETHER"),
    openAI("fireworks", "https://api.fireworks.ai/inference/v1", "FIREWORKS"),
    openAI("cerebras", "https://api.cerebras.ai/v1", "CEREBRAS"),
    BuiltInProvider(
      name: "gemini", kind: .gemini, baseURL: "https://generativelanguage.googleapis.com/v1beta/openai",
      keyVariables: ["GEMINI_API_KEY", "GOOGLE_API_KEY"], baseURLVariable: "GEMINI_BASE_URL"),
    BuiltInProvider(
      name: "ollama", kind: .ollama, baseURL: "http://127.0.0.1:11434/v1", keyVariables: ["OLLAMA_API_KEY"],
      baseURLVariable: "OLLAMA_BASE_URL"),
  ]

  /// Where the vendors are, but for those on this very machine.
  package static let vendorHosts: Set<String> = Set(
    all.compactMap { BaseURL($0.baseURL) }.filter { !$0.isLoopback }.map(\.host))

  private static func openAI(_ name: String, _ baseURL: String, _ prefix: String) -> BuiltInProvider {
    BuiltInProvider(
      name: name, kind: .openAI, baseURL: baseURL, keyVariables: ["\(prefix)_API_KEY"],
      baseURLVariable: "\(prefix)_BASE_URL")
  }

  /// The variable that may have moved the provider called `name`.
  package static func baseURLVariable(of name: String) -> String {
    all.first { $0.name == name }?.baseURLVariable ?? "its base URL"
  }

  /// The provider as the environment has it, and what is wrong with that.
  package func provider(environment: [String: String]) -> (provider: Provider, problem: String?) {
    let text = environment[baseURLVariable].flatMap { $0.isEmpty ? nil : $0 }
    let key = keyVariables.lazy.compactMap { environment[$0] }.first { !$0.isEmpty }
    var credential: Provider.Credential?
    if let key, key.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) {
      credential = kind == .anthropic ? .apiKey(key) : .bearer(key)
    } else if key == nil, kind == .anthropic, let token = environment["ANTHROPIC_AUTH_TOKEN"], !token.isEmpty
    {
      credential = .bearer(token)
    }
    guard let own = BaseURL(baseURL) else { preconditionFailure("A built-in base URL is malformed.") }
    let base = text.map { BaseURL($0) } ?? own
    var provider = Provider(name: name, kind: kind, baseURL: base ?? own, credential: credential)
    provider.isConfigured = text != nil || credential != nil
    return (
      provider,
      base == nil
        ? "\(baseURLVariable) is no http or https URL without user and query: \(BaseURL.quotable(text ?? ""))"
        : nil
    )
  }
}
