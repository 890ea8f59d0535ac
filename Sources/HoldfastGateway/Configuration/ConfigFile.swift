// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastUsage
import Yams

/// `config.yaml`, read strictly: a key nobody knows is an error with its line, because a setting that is silently
/// ignored is worse than one that is refused (row A18).
struct ConfigFile {
  var providers: [Provider] = []
  var prices: [String: [String: ConfiguredPrice]] = [:]
  var token: GatewayToken?
  var allowedHosts: [String] = []
  var allowedOrigins: [String] = []
  var maximumConnections: Int?
  var maximumRequestBytes: Int?
  var anthropicProvider: String?
  var openAIProvider: String?
  var backup = Backup()
  var capture: CapturePlan?
  /// How long rows of usage are kept, in days; nil: for ever.
  var usageRetentionDays: Int?
  var watchedLogs: [UsageLogFormat] = []
  var budgets: [BudgetPlan] = []
  /// Where telemetry is sent.
  var telemetry: OTLPConfiguration.Section?
  /// What is under `supervise`, which is read where the home is known.
  var supervise: Node?

  static func read(_ text: String, environment: [String: String]) throws(GatewayError) -> ConfigFile {
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch let error as YamlError {
      throw GatewayError(
        .configuration, "config.yaml is not valid YAML: \(sentence(error)).", underlying: error)
    } catch {
      throw GatewayError(.configuration, "config.yaml is not valid YAML.", underlying: error)
    }
    var file = ConfigFile()
    guard let root, root.tag != .init(.null) else { return file }
    for (key, value) in try entries(root, "the file") {
      switch key.name {
      case "providers":
        for (name, node) in try entries(value, "providers") { try file.addProvider(name, node, environment) }
      case "defaults":
        for (kind, node) in try entries(value, "defaults") {
          switch kind.name {
          case "anthropic": file.anthropicProvider = try string(node, "defaults.anthropic")
          case "openai": file.openAIProvider = try string(node, "defaults.openai")
          default: throw unknown(kind, in: "defaults", known: ["anthropic", "openai"])
          }
        }
      case "auth":
        for (name, node) in try entries(value, "auth") {
          guard name.name == "token" else { throw unknown(name, in: "auth", known: ["token"]) }
          guard let token = GatewayToken(try string(node, "auth.token")) else {
            throw problem(node, "auth.token needs 16 or more characters, without spaces")
          }
          file.token = token
        }
      case "server":
        for (name, node) in try entries(value, "server") {
          switch name.name {
          case "allowed_hosts": file.allowedHosts = try strings(node, "server.allowed_hosts")
          case "allowed_origins": file.allowedOrigins = try strings(node, "server.allowed_origins")
          case "max_connections":
            file.maximumConnections = try count(node, "server.max_connections", 1...1_000_000)
          case "max_request_bytes":
            file.maximumRequestBytes = try count(node, "server.max_request_bytes", 1...(1 << 50))
          default:
            throw unknown(
              name, in: "server",
              known: ["allowed_hosts", "allowed_origins", "max_connections", "max_request_bytes"])
          }
        }
      case "backup": file.backup = try backup(value)
      case "capture": file.capture = try capture(value)
      case "usage":
        for (name, node) in try entries(value, "usage") {
          guard name.name == "retention_days" else {
            throw unknown(name, in: "usage", known: ["retention_days"])
          }
          guard let days = node.int, (1...36_500).contains(days) else {
            throw problem(node, "usage.retention_days is a whole number of days, from 1 to 36500")
          }
          file.usageRetentionDays = days
        }
      case "imports": file.watchedLogs = try imports(value)
      case "budgets": file.budgets = try budgets(value)
      case "telemetry": file.telemetry = try telemetry(value)
      case "supervise": file.supervise = value
      default:
        throw unknown(
          key, in: "the file",
          known: [
            "providers", "defaults", "auth", "server", "backup", "capture", "usage", "imports", "budgets",
            "supervise", "telemetry",
          ])
      }
    }
    return file
  }

  private mutating func addProvider(
    _ key: Key, _ node: Node, _ environment: [String: String]
  ) throws(GatewayError) {
    let name = key.name
    guard RouteTable.isName(name) else {
      throw Self.problem(
        key.node, "“\(name)” cannot be a provider's name: it is a path segment, of letters, digits, - _ and ."
      )
    }
    var kind: ProviderKind?
    var baseURL: BaseURL?
    var key: String?
    var isEnabled = true
    var expectsKey = false
    for (field, value) in try Self.entries(node, "providers.\(name)") {
      switch field.name {
      case "kind":
        let text = try Self.string(value, "providers.\(name).kind")
        guard let known = ProviderKind(rawValue: text) else {
          throw Self.problem(
            value, "providers.\(name).kind is “\(text)”; it is anthropic, openai, ollama or gemini")
        }
        kind = known
      case "base_url":
        let text = try Self.string(value, "providers.\(name).base_url")
        guard let url = BaseURL(text) else {
          throw Self.problem(
            value,
            "providers.\(name).base_url is no http or https URL without user and query:"
              + " \(BaseURL.quotable(text))")
        }
        baseURL = url
      case "api_key_env":
        let variable = try Self.string(value, "providers.\(name).api_key_env")
        key = environment[variable].flatMap { $0.isEmpty ? nil : $0 }
        expectsKey = true
      case "enabled":
        guard let isOn = value.bool else {
          throw Self.problem(value, "providers.\(name).enabled is neither true nor false")
        }
        isEnabled = isOn
      case "prices":
        for (model, rates) in try Self.entries(value, "providers.\(name).prices") {
          prices[name, default: [:]][model.name] = try Self.price(name, model.name, rates)
        }
      default:
        throw Self.unknown(
          field, in: "providers.\(name)", known: ["kind", "base_url", "api_key_env", "enabled", "prices"])
      }
    }
    let builtIn = BuiltInProvider.all.first { $0.name == name }
    guard let kind = kind ?? builtIn?.kind else {
      throw Self.problem(node, "providers.\(name) needs its kind: anthropic, openai, ollama or gemini")
    }
    guard let baseURL = baseURL ?? builtIn.flatMap({ BaseURL($0.baseURL) }) else {
      throw Self.problem(node, "providers.\(name) needs its base_url")
    }
    let credential = key.map { kind == .anthropic ? Provider.Credential.apiKey($0) : .bearer($0) }
    var provider = Provider(name: name, kind: kind, baseURL: baseURL, credential: credential)
    provider.isEnabled = isEnabled
    provider.expectsKey = expectsKey
    providers.append(provider)
  }
}

// MARK: - Nodes

extension ConfigFile {
  /// A key with the place it stands at.
  struct Key {
    var name: String
    var node: Node
  }

  static func entries(_ node: Node, _ place: String) throws(GatewayError) -> [(Key, Node)] {
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

  static func string(_ node: Node, _ place: String) throws(GatewayError) -> String {
    guard let text = node.scalar?.string, !text.isEmpty else { throw problem(node, "\(place) is no text") }
    return text
  }

  private static func count(_ node: Node, _ place: String, _ range: ClosedRange<Int>) throws(GatewayError)
    -> Int
  {
    guard let number = node.int, range.contains(number) else {
      throw problem(node, "\(place) is a whole number from \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  private static func strings(_ node: Node, _ place: String) throws(GatewayError) -> [String] {
    guard let sequence = node.sequence else { throw problem(node, "\(place) is no list") }
    var out: [String] = []
    for item in sequence { out.append(try string(item, place).lowercased()) }
    return out
  }

  static func unknown(_ key: Key, in place: String, known: [String]) -> GatewayError {
    problem(key.node, "“\(key.name)” is not known in \(place); known are \(known.joined(separator: ", "))")
  }

  static func problem(_ node: Node, _ what: String) -> GatewayError {
    let line = node.mark.map { " line \($0.line)" } ?? ""
    return GatewayError(.configuration, "config.yaml\(line): \(what).")
  }

  private static func sentence(_ error: YamlError) -> String {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      "line \(mark.line), \(problem)"
    default: "it cannot be read"
    }
  }
}
