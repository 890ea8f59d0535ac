// SPDX-License-Identifier: Apache-2.0

/// Who carries what workers say: what is under `deliveries` in a file of `holdfast supervise` and in `config.yaml`.
public struct DeliveryConfiguration: Sendable, Hashable {
  /// How the messages of a kind are carried.
  public struct Route: Sendable, Hashable {
    /// The command that carries them, and its arguments.
    public var command: [String] = []
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

  /// The routes with their adapters.
  public func routes() -> DeliveryRoutes {
    var routes = DeliveryRoutes()
    for (kind, route) in kinds.map({ (Optional($0), $1) }) + [others].compactMap({ $0.map { (nil, $0) } }) {
      let adapter = CommandAdapter(
        command: route.command, environment: route.environment, directory: route.directory,
        timeLimit: route.timeLimit)
      routes.carry(kind, by: adapter, concurrency: route.concurrency)
    }
    return routes
  }
}
