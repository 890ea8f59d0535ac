// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// Which workers are watched over, and how each is run: what `holdfast supervise CONFIG` reads, and `config.yaml`
/// under `supervise`.
public struct SupervisorConfiguration: Sendable, Hashable {
  /// How one worker, or every worker of an agent, is run.
  public struct Worker: Sendable, Hashable {
    /// `process`, or a container's command line.
    public enum Runtime: Sendable, Hashable {
      /// A process of this machine.
      case process
      /// A container.
      case container(ContainerRuntime.Tool)
    }

    /// How it is run.
    public var runtime = Runtime.process
    /// The program and its arguments.
    public var command: [String] = []
    /// The container command line, where it is not to be found in `PATH`.
    public var program: String?
    /// The image of a container.
    public var image: String?
    /// Further options of the container command line's `run`.
    public var options: [String] = []
    /// Variables of the worker.
    public var environment: [String: String] = [:]
    /// Its working directory, absolute; nil for the mailbox's.
    public var directory: String?
    /// How patient the supervisor is with it.
    public var policy = WorkerPolicy()
    /// How often it is asked to touch its heartbeat file.
    public var heartbeatSeconds = 10
    /// The journal of its mailbox's files; nil for the usual: a rollback journal for containers.
    public var journal: StateFileConfiguration.Journal?

    /// A worker with nothing to run.
    public init() {}

    /// The runtime that this describes.
    func makeRuntime() -> any WorkerRuntime {
      switch runtime {
      case .process: ProcessRuntime(command: command, environment: environment, directory: directory)
      case .container(let tool):
        ContainerRuntime(
          tool, program: program, image: image ?? "", command: command, environment: environment,
          options: options)
      }
    }

    /// The journal its files get when they are made.
    var journalOfFiles: StateFileConfiguration.Journal {
      if let journal { return journal }
      if case .container = runtime { return .rollback }
      return .automatic
    }
  }

  /// Workers of one session each.
  public var workers: [MailboxAddress: Worker] = [:]
  /// Workers of every session of an agent whose mailbox is there, by the agent's name.
  public var agents: [String: Worker] = [:]

  /// Who carries what workers say.
  public var deliveries = DeliveryConfiguration()

  /// How long the mailboxes keep what is over; zero for ever.
  public var retention = MailboxConfiguration().retention

  /// Nobody.
  public init() {}

  /// Whether any worker is watched over.
  public var hasWorkers: Bool { !workers.isEmpty || !agents.isEmpty }

  /// How the mailboxes' files are made and opened, by whoever comes to one first.
  public var mailboxes: MailboxConfiguration {
    var mailboxes = MailboxConfiguration()
    mailboxes.journalOfSession = workers.mapValues(\.journalOfFiles)
    mailboxes.retention = retention
    mailboxes.journalOfAgent = agents.mapValues(\.journalOfFiles)
    return mailboxes
  }

  /// How long the most patient of them is waited for after SIGTERM.
  public var longestStopGrace: Duration {
    (Array(workers.values) + Array(agents.values)).map(\.policy.stopGrace).max() ?? .zero
  }

  /// How the worker of a session is run; nil for one that is not watched over.
  public func worker(of address: MailboxAddress) -> Worker? { workers[address] ?? agents[address.agent] }
}

/// What is wrong with a configuration of workers, in one sentence that names the place.
public struct SupervisorConfigurationError: Error, Sendable, CustomStringConvertible {
  /// The sentence.
  public var message: String

  /// The sentence.
  public var description: String { message }
}
