// SPDX-License-Identifier: Apache-2.0

/// Who carries what workers say: what is under `deliveries` in a file of `holdfast supervise` and in `config.yaml`.
public struct DeliveryConfiguration: Sendable, Hashable {
  /// An HTTP server that takes messages.
  public struct Webhook: Sendable, Hashable {
    /// Where it takes them: `http` or `https`.
    public var url: String
    /// Headers of each request.
    public var headers: [String: String] = [:]
    /// Headers whose values are in variables of the environment, by the variables' names.
    public var headersFromEnvironment: [String: String] = [:]

    /// A server at a place.
    public init(url: String) { self.url = url }
  }

  /// How the messages of a kind are carried.
  public struct Route: Sendable, Hashable {
    /// The command that carries them, and its arguments; empty for a webhook.
    public var command: [String] = []
    /// The server that takes them; nil for a command.
    public var webhook: Webhook?
    /// Variables of the command.
    public var environment: [String: String] = [:]
    /// The command's working directory, absolute; nil for the host's.
    public var directory: String?
    /// No attempt takes longer.
    public var timeLimit = Duration.seconds(30)
    /// So many attempts are made at once.
    public var concurrency = 32

    /// A route with nothing to carry by.
    public init() {}
  }

  /// The routes by kind of message.
  public var kinds: [String: Route] = [:]
  /// The route of every other kind: `*`.
  public var others: Route?

  /// Nobody carries anything.
  public init() {}

  /// Whether nobody carries anything.
  public var isEmpty: Bool { kinds.isEmpty && others == nil }

  /// No attempt takes longer.
  public var longestTimeLimit: Duration {
    (Array(kinds.values) + [others].compactMap(\.self)).map(\.timeLimit).max() ?? .zero
  }

  /// With the values of headers that are in variables of the environment.
  ///
  /// - Throws: ``SupervisorConfigurationError`` for a variable that is not set.
  public func resolved(
    _ environment: [String: String]
  ) throws(SupervisorConfigurationError) -> DeliveryConfiguration {
    var resolved = self
    for (kind, route) in kinds { resolved.kinds[kind] = try Self.resolved(route, environment) }
    if let others { resolved.others = try Self.resolved(others, environment) }
    return resolved
  }

  private static func resolved(
    _ route: Route, _ environment: [String: String]
  ) throws(SupervisorConfigurationError) -> Route {
    var route = route
    guard let webhook = route.webhook else { return route }
    for (name, variable) in webhook.headersFromEnvironment {
      guard let value = environment[variable], !value.isEmpty, Webhook.isFieldValue(value) else {
        throw SupervisorConfigurationError(
          message: """
            \(variable), which is to be the header \(name) of a delivery, is not set to what a header may have: set it in \
            the environment.
            """)
      }
      route.webhook?.headers[name] = value
    }
    route.webhook?.headersFromEnvironment = [:]
    return route
  }

  /// The routes with their adapters.
  ///
  /// - Parameter webhooks: makes what carries messages to a server within a time.
  public func routes(webhooks: (Webhook, Duration) -> any DeliveryAdapter) -> DeliveryRoutes {
    var routes = DeliveryRoutes()
    for (kind, route) in kinds.map({ (Optional($0), $1) }) + [others].compactMap({ $0.map { (nil, $0) } }) {
      let adapter: any DeliveryAdapter =
        route.webhook.map { webhooks($0, route.timeLimit) }
        ?? CommandAdapter(
          command: route.command, environment: route.environment, directory: route.directory,
          timeLimit: route.timeLimit)
      routes.carry(kind, by: adapter, concurrency: route.concurrency)
    }
    return routes
  }
}
