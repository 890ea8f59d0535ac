// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastGateway
import HoldfastMailbox
import Logging
import ServiceLifecycle
import UnixSignals

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// `holdfast supervise`: run and watch workers.
struct Supervise: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Run and watch the workers of mailboxes, and deliver what they say.",
    discussion: """
      Examples:
        holdfast supervise workers.yaml
        holdfast supervise workers.yaml --json            one line for each thing that happens
        holdfast supervise workers.yaml --stop writer/a   ends that worker, and keeps it ended
        holdfast supervise workers.yaml --start writer/a  takes that back

      workers.yaml:
        defaults: { command: [python3, worker.py], directory: /srv/writer }
        workers:
          writer/session-1: { start: always }
          writer/*: {}                                    every session that has mail
          coder/main: { runtime: docker, image: "coder:1" }
        deliveries:
          reply: { command: [python3, send.py] }          carries messages of this kind
          alert: { webhook: "https://example.com/hook" }

      A worker is a process, or a container through docker, podman or container. One
      that is silent or sits on a message is ended; what it left half done is undone
      once it is known to be gone; then it is started again. SIGTERM or Ctrl-C ends
      all of them and then the command.

      A command that carries a message reads it as JSON on its standard input and
      ends with 0 when it is delivered, 75 when it is to be tried again; anything
      else makes it a dead letter, which its worker is told of.

      The schedules of the home's mailboxes are run meanwhile.
      """)

  @Argument(help: ArgumentHelp("A YAML file that names the workers.", valueName: "config"))
  var config: String

  @Option(
    name: .long,
    help: ArgumentHelp("End this worker and keep it ended, also over restarts.", valueName: "agent/session"))
  var stop: String?

  @Option(
    name: .long, help: ArgumentHelp("Let a worker that was stopped run again.", valueName: "agent/session"))
  var start: String?

  @OptionGroup var common: CommonOptions

  func validate() throws {
    if stop != nil, start != nil { throw ValidationError("Give --stop or --start, not both.") }
  }

  func run() async throws {
    var configuration = try read()
    let environment = ProcessInfo.processInfo.environment
    let home = common.resolvedHome
    try home.make()
    if let name = stop ?? start { return try await want(stop == nil, name, configuration, home) }
    configuration.deliveries = try configuration.deliveries.resolved(environment)
    Log.bootstrap()
    Process.raiseFileLimit()
    let supervisor = Supervisor(configuration, home: home.path, logger: Logger(label: "holdfast")) { event in
      say(event) { "\(event.time)  \(event.mailbox)  \(Console.printable(event.news.sentence))" }
    }
    let store = SQLiteMailboxStore(home: home.path, configuration: configuration.mailboxes)
    let webhooks = WebhookClient(
      certificateFile: environment["SSL_CERT_FILE"].flatMap { $0.isEmpty ? nil : $0 })
    let delivery = MailboxDelivery(
      store,
      routes: configuration.deliveries.routes(webhooks: webhooks.adapter),
      logger: Logger(label: "holdfast")
    ) { event in
      say(event) { "\(event.time)  \(event.mailbox)  \(Console.printable(event.sentence))" }
    }
    // Stopped in the reverse order: what workers say while they end is still delivered.
    var services: [ServiceGroupConfiguration.ServiceConfiguration] = []
    if !configuration.deliveries.isEmpty {
      services.append(.init(service: delivery, successTerminationBehavior: .gracefullyShutdownGroup))
    }
    if configuration.hasWorkers {
      services.append(.init(service: supervisor, successTerminationBehavior: .gracefullyShutdownGroup))
    }
    let schedules = ScheduleRunner(
      home: home.path, configuration: configuration.mailboxes, logger: Logger(label: "holdfast")
    ) { news in
      say(news) { "\(news.time)  \(news.mailbox)  \(Console.printable(news.sentence))" }
    }
    services.append(.init(service: schedules, successTerminationBehavior: .ignore))
    let pruner = MailboxPruner(
      home: home.path, configuration: configuration.mailboxes, logger: Logger(label: "holdfast"))
    services.append(.init(service: pruner, successTerminationBehavior: .ignore))
    var group = ServiceGroupConfiguration(
      services: services, gracefulShutdownSignals: [.sigterm, .sigint], logger: Log.quiet)
    // What a worker does not heed is killed; longer than that only what the kernel cannot kill takes.
    group.maximumGracefulShutdownDuration =
      .seconds(60) + configuration.longestStopGrace + configuration.deliveries.longestTimeLimit
    do {
      try await ServiceGroup(configuration: group).run()
    } catch {
      await webhooks.close()
      throw error
    }
    await webhooks.close()
    await store.close()
  }

  /// Whoever started it may not read this; the workers are watched over all the same.
  private func say(_ event: some Encodable, _ sentence: () -> String) {
    if common.json {
      if let line = try? JSONLine.text(event) { _ = Console.tryPrint(line) }
    } else {
      _ = Console.tryPrint(sentence())
    }
  }

  private func read() throws -> SupervisorConfiguration {
    let path = Home.absolute(config)
    guard let data = FileManager.default.contents(atPath: path) else {
      throw Home.exists(path)
        ? Failure(ExitStatus.permission, "\(config) cannot be read; give this user the right to read it.")
        : Failure(ExitStatus.noInput, "There is no file \(config); name one that says which workers to run.")
    }
    guard let text = String(data: data, encoding: .utf8) else {
      throw Failure(ExitStatus.configuration, "\(config) is not UTF-8 text.")
    }
    let directory = path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
    return try SupervisorConfiguration.read(text, name: config, directory: directory)
  }

  /// Keeps the intent; whoever watches over the worker, now or later, follows it.
  private func want(
    _ isWanted: Bool, _ name: String, _ configuration: SupervisorConfiguration, _ home: Home
  ) async throws {
    let address = try MailboxAddress(name)
    guard configuration.worker(of: address) != nil else {
      throw Failure(ExitStatus.noInput, "\(config) names no worker \(address).")
    }
    let store = SQLiteMailboxStore(home: home.path)
    let book = MailboxBook(store, address)
    try await book.make()
    try await book.want(isWanted)
    await store.close()
    struct Answer: Encodable {
      var mailbox: MailboxAddress
      var wanted: String
    }
    let answer = Answer(mailbox: address, wanted: isWanted ? "run" : "stop")
    Console.print(
      common.json
        ? try JSONLine.text(answer)
        : "\(address) is \(isWanted ? "to run" : "to be stopped"); whoever watches over it follows within a second."
    )
  }
}
