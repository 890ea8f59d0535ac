// SPDX-License-Identifier: Apache-2.0

public import HoldfastCatalog
import HoldfastEngine
public import HoldfastMailbox
public import HoldfastUsage
import Hummingbird
import HummingbirdCore
public import Logging
import NIOCore
import NIOPosix
import NIOSSL
public import ServiceLifecycle

/// The gateway daemon: proxy, API and page on one port.
///
/// Runs as a service of swift-service-lifecycle: told to stop, it takes no more connections, lets running streams
/// finish within the configuration's bound, breaks off what is left, and returns.
public final class Gateway: Service {
  private let configuration: GatewayConfiguration
  private let ledger: any UsageLedger
  private let lock: DaemonLock?
  private let sessions: ServedSessions?
  private let mailboxes: (any MailboxStore)?
  private let backups: BackupProgress?
  private let stateStore: (any StateStore)?
  private let catalog: ServedCatalog?
  private let budgets: BudgetWatch?
  private let registry: MetricRegistry?
  private let logger: Logger
  private let onListening: @Sendable (_ host: String, _ port: Int) -> Void

  /// Makes a gateway; ``run()`` starts it.
  ///
  /// - Parameters:
  ///   - configuration: validated.
  ///   - ledger: where usage rows go; closed by the caller, after ``run()`` has returned.
  ///   - lock: the home's lock, to note the port in.
  ///   - sessions: the home's sessions, run and ended by the caller; nil when they are not served.
  ///   - mailboxes: the home's mailboxes, closed by the caller; nil when they are not served.
  ///   - backups: what is known of the daemon's backups; nil when it makes none.
  ///   - state: the home's state, closed by the caller; nil when it is not kept.
  ///   - catalog: what the providers offer, run by the caller; nil when every request without a provider goes to the
  ///     default one.
  ///   - budgets: what may be spent, run by the caller; nil when anything may.
  ///   - registry: what swift-metrics was bootstrapped with, to be shown at `/metrics`; nil when it is elsewhere.
  ///   - onListening: called once connections are accepted.
  public init(
    configuration: GatewayConfiguration, ledger: any UsageLedger, lock: DaemonLock? = nil,
    sessions: ServedSessions? = nil, mailboxes: (any MailboxStore)? = nil, backups: BackupProgress? = nil,
    state: (any StateStore)? = nil, catalog: ServedCatalog? = nil, budgets: BudgetWatch? = nil,
    registry: MetricRegistry? = nil, logger: Logger,
    onListening: @escaping @Sendable (_ host: String, _ port: Int) -> Void = { _, _ in }
  ) {
    self.configuration = configuration
    self.ledger = ledger
    self.lock = lock
    self.sessions = sessions
    self.mailboxes = mailboxes
    self.backups = backups
    stateStore = state
    self.catalog = catalog
    self.budgets = budgets
    self.registry = registry
    self.logger = logger
    self.onListening = onListening
  }

  /// Serves until told to stop.
  ///
  /// - Throws: ``GatewayError``: `addressInUse`, `permission`, `cannotListen`, `tls`, `configuration`.
  public func run() async throws {
    let metrics = GatewayMetrics()
    let requests = LiveRequests()
    let state = GatewayState(
      home: configuration.home, ledger: ledger, metrics: metrics, sessions: sessions, backups: backups,
      state: stateStore,
      census: (mailboxes as? SQLiteMailboxStore).map { MailboxCensus($0) },
      daemon: lock?.holder ?? DaemonDescription.ofThisProcess(), budgets: budgets)
    let feed = LiveFeed(
      requests, origin: String(UnixTime.now().milliseconds, radix: 36),
      changes: ledger as? any UsageChangeSource,
      status: {
        let report = await state.status()
        return LiveStatus(
          health: report.health, waiting: report.spool.depth, refused: report.spool.refused)
      },
      price: { [priced = ledger as? SQLiteUsageLedger] row in priced?.rates.price(&row) })
    if let budgets {
      budgets.setListener { if let text = try? JSONLine.text($0) { feed.noteBudget(text) } }
      // So that what was used up before a restart is so after it; a database that cannot be read keeps nobody waiting.
      try? await Deadline.wait(.seconds(2), for: "what was spent cannot be read yet") {
        try await budgets.look()
      }
    }
    let telemetry = RequestTelemetry(
      servers: Dictionary(
        configuration.providers.map {
          ($0.name, RequestTelemetry.Server(host: $0.baseURL.host, port: $0.baseURL.port))
        }, uniquingKeysWith: { first, _ in first }))
    let sink = LedgerSink(
      ledger: ledger, metrics: metrics, refusals: RefusalLog(logger: logger),
      telemetry: telemetry)
    var settings = ProxySettings()
    if let bound = configuration.maximumRequestBytes { settings.requestBytes = bound }
    let budget = ConnectionBudget.ofThisProcess(clients: configuration.maximumConnections)
    let emitting = Task { await telemetry.run() }
    defer {
      emitting.cancel()
      telemetry.emitQueued()
    }
    let group = MultiThreadedEventLoopGroup.singleton
    let loops = try await ProxyLoops.make(
      group: group, director: try director(sink, requests),
      connector: SocketConnector(
        tls: try tls(), connectTimeout: settings.connectTimeout, budget: budget), settings: settings)

    let app = application(state, loops, budget, feed, telemetry)
    let drain = configuration.drainTimeout
    do {
      try await withGracefulShutdownHandler {
        try await app.run()
      } onGracefulShutdown: {
        state.noteStopping()
        feed.stop()
        let bound = TimeAmount.nanoseconds(drain.nanoseconds)
        group.any().scheduleTask(in: bound) { loops.shutDown() }
      }
    } catch let error as IOError {
      throw cannotListen(error)
    } catch let error as NIOConnectionError {
      throw GatewayError(
        .cannotListen, "Holdfast cannot listen on \(error.host): the name is not known here; use an address.",
        underlying: error)
    } catch let error as SocketAddressError {
      throw GatewayError(
        .cannotListen,
        "Holdfast cannot listen on \(configuration.host): \(error); use an address of this machine.",
        underlying: error)
    }
  }

  private func application(
    _ state: GatewayState, _ loops: ProxyLoops, _ budget: ConnectionBudget, _ feed: LiveFeed,
    _ telemetry: RequestTelemetry
  ) -> Application<RouterResponder<BasicRequestContext>> {
    let router = Router()
    router.add(middleware: LocalFaults())
    APIRoutes(state: state, feed: feed, telemetry: telemetry, registry: registry).add(to: router)
    LiveRoutes(feed: feed).add(to: router)
    if let sessions { SessionRoutes(sessions: sessions).add(to: router) }
    if let mailboxes { MailboxRoutes(mailboxes: mailboxes).add(to: router) }
    if let catalog {
      ModelRoutes(router: catalog.router).add(to: router)
      CatalogRoutes(catalog: catalog).add(to: router)
    }
    BudgetRoutes(watch: budgets).add(to: router)
    DashboardPage.addRoutes(to: router)
    let configuration = self.configuration
    return Application(
      responder: router.buildResponder(),
      server: HTTPServerBuilder { responder in
        ProxyServerChannel(loops: loops, budget: budget, responder: responder)
      },
      configuration: ApplicationConfiguration(
        address: .hostname(configuration.host, port: configuration.port), serverName: "holdfast",
        backlog: 1024),
      onServerRunning: { [self] channel in
        let port = channel.localAddress?.port ?? configuration.port
        state.noteListening(host: configuration.host, port: port)
        do {
          try lock?.noteListening(host: configuration.host, port: port)
        } catch {
          logger.warning("the lock file does not say the port", metadata: ["reason": "\(error)"])
        }
        onListening(configuration.host, port)
      },
      eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton),
      logger: logger)
  }

  private func director(_ sink: LedgerSink, _ requests: LiveRequests) throws(GatewayError) -> GatewayDirector
  {
    guard
      let routes = RouteTable(
        configuration.providers, anthropic: configuration.anthropicProvider,
        openAI: configuration.openAIProvider)
    else {
      throw GatewayError(.configuration, "A default provider is not among the providers.")
    }
    let host = configuration.host.lowercased()
    let isWildcard = host == "0.0.0.0" || host == "::"
    return GatewayDirector(
      gate: RequestGate(
        allowedHosts: Set(configuration.allowedHosts + (isWildcard ? [] : [host])),
        allowedOrigins: Set(configuration.allowedOrigins),
        allowsAddresses: isWildcard, token: configuration.token),
      routes: routes, router: catalog?.router, budgets: budgets,
      makeTap: { [capture = sessions?.capture] head, route in
        guard let usage = UsageTap.make(for: head, route, sink: sink, requests: requests) else { return nil }
        return capture?.tap(usage, head, route) ?? usage
      })
  }

  /// Loading the authorities takes tens of milliseconds, so it is done once, before the first connection.
  private func tls() throws(GatewayError) -> NIOSSLContext? {
    guard configuration.providers.contains(where: \.baseURL.usesTLS) else { return nil }
    do {
      return try SocketConnector.systemTLS(certificateFile: configuration.certificateFile)
    } catch {
      let place = configuration.certificateFile.map { " from SSL_CERT_FILE (\($0))" } ?? ""
      throw GatewayError(
        .tls, "The trusted certificates could not be loaded\(place): \(error).", underlying: error)
    }
  }

  private func cannotListen(_ error: IOError) -> GatewayError {
    let place = "\(configuration.host):\(configuration.port)"
    switch error.errnoCode {
    case EADDRINUSE:
      return GatewayError(
        .addressInUse, "Another program listens on \(place); stop it, or choose another with --port.",
        underlying: error)
    case EACCES, EPERM:
      return GatewayError(
        .permission, "Listening on \(place) is not allowed; use a port above 1023.", underlying: error)
    default:
      return GatewayError(
        .cannotListen, "Holdfast cannot listen on \(place): \(error); use an address of this machine.",
        underlying: error)
    }
  }
}

/// Answers paths nobody has, and what the routes throw, in JSON.
private struct LocalFaults: RouterMiddleware {
  func handle(
    _ request: Request, context: BasicRequestContext,
    next: (Request, BasicRequestContext) async throws -> Response
  ) async throws -> Response {
    do {
      return try await next(request, context)
    } catch let error as HTTPError where error.status == .notFound {
      let fault = ProxyFault(
        .notFound,
        "Holdfast has nothing at this path; a client's base URL is this address, with /v1 for OpenAI's SDKs, or"
          + " /PROVIDER for a named provider.")
      return Response(
        status: .notFound, headers: [.contentType: "application/json", .cacheControl: "no-store"],
        body: ResponseBody(byteBuffer: ByteBuffer(string: fault.body(shape: .openAI))))
    }
  }
}

extension Duration {
  fileprivate var nanoseconds: Int64 {
    components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000
  }
}
