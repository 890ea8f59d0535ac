// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import CoreMetrics
import HoldfastCatalog
import HoldfastGateway
import HoldfastMailbox
import HoldfastUsage
import Instrumentation
import Logging
import ServiceLifecycle
import UnixSignals

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `holdfast serve`: the gateway.
struct Serve: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run the gateway: proxy, API and page on one port.",
    discussion: """
      Examples:
        holdfast serve
        holdfast serve --port 0           pick a free port and print it
        ANTHROPIC_BASE_URL=http://127.0.0.1:4141 claude
        OPENAI_BASE_URL=http://127.0.0.1:4141/v1 python app.py

      It prints “holdfast listening on http://HOST:PORT” once it accepts. SIGTERM
      or Ctrl-C lets running streams finish, writes what is left, and ends it.

      It asks the configured providers for their models every 21 minutes, and sends
      requests that name no provider and bring no key to the cheapest that has their
      model. X-Holdfast-Route says which, and why.

      It indexes the home's sessions for search in the background, unless another
      process does.

      Once a day it makes a compressed backup of every database beside its writers,
      into <home>/backups, and keeps seven; `backup:` in config.yaml says otherwise.

      With `imports: { watch: [claude-code, codex] }` in config.yaml it takes in what
      those programs note of their requests, as `holdfast usage import --watch` does.

      With `supervise:` in config.yaml it runs and watches workers and delivers what
      they say, as `holdfast supervise` does. The schedules of
      the home's mailboxes are run with it or without.

      With `budgets:` it tells of what is spent, and refuses what is no longer to be.
      """)

  @Option(name: .long, help: "The address to listen on; any but loopback needs auth.token in config.yaml.")
  var host = "127.0.0.1"

  @Option(name: .long, help: "The port to listen on; 0 picks one.")
  var port = 4141

  @Option(
    name: .long, help: ArgumentHelp("How long running streams may go on after SIGTERM.", valueName: "seconds")
  )
  var drain = 30

  @OptionGroup var common: CommonOptions

  func validate() throws {
    guard (0...65535).contains(port) else { throw ValidationError("--port must be from 0 to 65535.") }
    guard (0...86_400).contains(drain) else {
      throw ValidationError("--drain must be from 0 to 86400 seconds.")
    }
  }

  func run() async throws {
    let home = common.resolvedHome
    try home.make()
    var configuration = try home.configuration()
    configuration.host = host
    configuration.port = port
    configuration.drainTimeout = .seconds(drain)
    try configuration.validate()
    let rates = try configuration.rates()
    let deliveries = try (configuration.supervise?.deliveries ?? .init()).resolved(
      ProcessInfo.processInfo.environment)

    Log.bootstrap()
    let otlp = try OTLPConfiguration.resolve(
      configuration.telemetry, environment: ProcessInfo.processInfo.environment,
      version: Version.text)
    let registry = MetricRegistry()
    MetricsSystem.bootstrap(registry)
    let spans = otlp?.traces == nil ? nil : otlp.map { SpanCollector(ratio: $0.ratio) }
    if let spans { InstrumentationSystem.bootstrap(spans) }
    Process.raiseFileLimit()
    let lock = try DaemonLock.acquire(home: home.path)
    let ledger = try await SQLiteUsageLedger.open(home: home.path, rates: rates)
    let logger = Logger(label: "holdfast")
    let isJSON = common.json
    let backups = configuration.backup.map { ScheduledBackups(plan: $0, home: home.path, logger: logger) }
    let supervisor = configuration.supervise.flatMap {
      $0.hasWorkers ? Supervisor($0, home: home.path, logger: logger) { _ in } : nil
    }
    let sessions = ServedSessions(
      home: home.path, capture: configuration.capture, rates: { ledger.rates }, logger: logger)
    let mailboxes = SQLiteMailboxStore(
      home: home.path, configuration: configuration.supervise?.mailboxes ?? .init())
    let webhooks = WebhookClient(certificateFile: configuration.certificateFile)
    let delivery =
      deliveries.isEmpty
      ? nil
      : MailboxDelivery(mailboxes, routes: deliveries.routes(webhooks: webhooks.adapter), logger: logger)
    let schedules = ScheduleRunner(
      home: home.path, configuration: configuration.supervise?.mailboxes ?? .init(), logger: logger)
    let state = try SQLiteStateStore.open(home: home.path, logger: logger)
    await state.keepOpen()
    let pruner = MailboxPruner(
      home: home.path, configuration: configuration.supervise?.mailboxes ?? .init(), logger: logger)
    let retention = configuration.usageRetentionDays.map {
      UsageRetention(ledger: ledger, days: $0, logger: logger)
    }
    let logs =
      configuration.watchedLogs.isEmpty
      ? nil
      : WatchedUsageLogs(
        ledger: ledger, formats: configuration.watchedLogs, environment: Process.environment, logger: logger)
    let models = HTTPModelSource(certificateFile: configuration.certificateFile)
    let catalog = ServedCatalog(
      ModelCatalog(
        store: state, providers: configuration.providers, source: models,
        lockFile: home.path + "/catalog.lock"),
      store: state, policy: try RoutingPolicy(configuration), logger: logger
    ) { ledger.setRates(rates.publishing($0)) }
    let budgets =
      configuration.budgets.isEmpty
      ? nil
      : BudgetWatch(
        configuration.budgets, ledger: ledger,
        teller: BudgetTeller(configuration.budgets, webhooks: webhooks, directory: home.path), logger: logger)
    let gateway = Gateway(
      configuration: configuration, ledger: ledger, lock: lock, sessions: sessions, mailboxes: mailboxes,
      backups: backups?.progress, state: state, catalog: catalog, budgets: budgets, registry: registry,
      logger: logger
    ) { host, port in
      let literal = host.contains(":") ? "[\(host)]" : host
      let url = "http://\(literal):\(port)"
      // Whoever started it may not read this; the daemon serves all the same.
      _ = Console.tryPrint(isJSON ? #"{"listening":"\#(url)"}"# : "holdfast listening on \(url)")
    }
    let exporter = otlp.map {
      OTLPExporter(
        $0, registry: registry, collector: spans ?? SpanCollector(),
        certificateFile: configuration.certificateFile, logger: logger)
    }
    // Stopped in the reverse order: first the gateway, then the stores it writes to.
    typealias Member = ServiceGroupConfiguration.ServiceConfiguration
    let stores: [(any Service)?] = [
      // Last of all, so that it has the last requests' spans.
      exporter, LedgerService(ledger: ledger, logger: logger), sessions, catalog, budgets,
    ]
    let others: [(any Service)?] = [
      schedules, pruner, retention, logs, backups, delivery,
      // Workers go first: they may be using the gateway, and what they say last is still delivered.
      supervisor,
    ]
    var members = stores.compactMap { $0 }.map { Member(service: $0, successTerminationBehavior: .ignore) }
    members.append(Member(service: gateway, successTerminationBehavior: .gracefullyShutdownGroup))
    members += others.compactMap { $0 }.map { Member(service: $0, successTerminationBehavior: .ignore) }
    var group = ServiceGroupConfiguration(
      services: members, gracefulShutdownSignals: [.sigterm, .sigint], logger: Log.quiet)
    group.maximumGracefulShutdownDuration =
      .seconds(drain + 30) + (configuration.supervise?.longestStopGrace ?? .zero)
      + max(deliveries.longestTimeLimit, configuration.budgets.map(\.timeLimit).max() ?? .zero)
    do {
      try await ServiceGroup(configuration: group).run()
    } catch {
      await ledger.close(within: .seconds(1))
      await models.close()
      await state.close()
      await webhooks.close()
      throw error
    }
    await webhooks.close()
    await mailboxes.close()
    await models.close()
    await state.close()
    withExtendedLifetime(lock) {}
  }
}

/// Keeps the ledger until the gateway has ended, then lands what it holds.
private struct LedgerService: Service {
  let ledger: SQLiteUsageLedger
  let logger: Logger

  func run() async throws {
    // Also over when the group is cancelled, after another service has failed.
    try? await gracefulShutdown()
    await ledger.close(within: .seconds(10))
    let status = await ledger.status()
    if status.depth > 0 {
      logger.warning(
        "rows wait in the spool; they land when the home is next served",
        metadata: [
          "rows": "\(status.depth)", "reason": "\(status.fault.map(String.init(describing:)) ?? "none")",
        ])
    }
  }
}
