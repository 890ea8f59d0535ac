// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
package import Yams

extension SupervisorConfiguration {
  /// Reads a file of workers.
  ///
  /// ```yaml
  /// defaults: { command: [python3, worker.py], directory: /srv/writer }
  /// workers:
  ///   writer/session-1: {}
  ///   writer/*: { start: on-message }
  ///   coder/main: { runtime: docker, image: coder:1, options: [--network, none], start: always }
  /// deliveries:
  ///   reply: { command: [python3, send.py] }
  /// ```
  ///
  /// It is read strictly: a key nobody knows is an error with its line (row A18).
  ///
  /// - Parameters:
  ///   - text: YAML.
  ///   - name: what the file is called in messages.
  ///   - directory: what a relative `directory` is in.
  /// - Throws: ``SupervisorConfigurationError``.
  public static func read(
    _ text: String, name: String, directory: String
  ) throws(SupervisorConfigurationError) -> SupervisorConfiguration {
    let root: Node?
    do {
      root = try Yams.compose(yaml: text)
    } catch let error as YamlError {
      throw SupervisorConfigurationError(message: "\(name) is not valid YAML: \(sentence(error)).")
    } catch {
      throw SupervisorConfigurationError(message: "\(name) is not valid YAML.")
    }
    guard let root, root.tag != .init(.null) else {
      throw SupervisorConfigurationError(message: "\(name) is empty: name workers under `workers`.")
    }
    return try read(root, name: name, place: "the file", directory: directory)
  }

  /// Reads the mapping with `defaults` and `workers`.
  package static func read(
    _ node: Node, name: String, place: String, directory: String
  ) throws(SupervisorConfigurationError) -> SupervisorConfiguration {
    let reading = ConfigurationReading(name: name, directory: directory)
    var configuration = SupervisorConfiguration()
    var defaults = Worker()
    let entries = try reading.entries(node, place)
    for (key, value) in entries where key.name == "defaults" {
      defaults = try reading.worker(value, "defaults", over: defaults)
    }
    for (key, value) in entries {
      switch key.name {
      case "defaults": break
      case "retention_days":
        guard let days = value.int, (0...36_500).contains(days) else {
          throw reading.problem(value, "retention_days is a whole number of days, from 0 (for ever) to 36500")
        }
        configuration.retention = .seconds(days * 86_400)
      case "deliveries":
        configuration.deliveries = try DeliveryConfiguration(value, "deliveries", reading)
      case "workers":
        for (address, node) in try reading.entries(value, "workers") {
          let worker = try reading.worker(node, "workers.\(address.name)", over: defaults)
          try reading.check(worker, "workers.\(address.name)", address.node)
          if address.name.hasSuffix("/*"), MailboxAddress.isName(String(address.name.dropLast(2))) {
            configuration.agents[String(address.name.dropLast(2))] = worker
            continue
          }
          do {
            configuration.workers[try MailboxAddress(address.name)] = worker
          } catch {
            throw reading.problem(
              address.node, String(error.message.dropLast(error.message.hasSuffix(".") ? 1 : 0)))
          }
        }
      default:
        throw reading.unknown(key, in: place, known: ["defaults", "workers", "deliveries", "retention_days"])
      }
    }
    guard
      configuration.hasWorkers || !configuration.deliveries.isEmpty
        || entries.contains(where: { $0.0.name == "retention_days" })
    else {
      throw reading.problem(
        node, "\(place) names no worker and no delivery: write AGENT/SESSION or AGENT/* under workers")
    }
    return configuration
  }

  private static func sentence(_ error: YamlError) -> String {
    switch error {
    case .scanner(_, let problem, let mark, _), .parser(_, let problem, let mark, _),
      .composer(_, let problem, let mark, _):
      "line \(mark.line), \(problem)"
    case .duplicatedKeysInMapping(let names, let context):
      "line \(context.mark.line), \(names.map { "“\($0)”" }.joined(separator: " and ")) stands there twice"
    default: "it cannot be read"
    }
  }
}

/// How one worker is run.
extension ConfigurationReading {
  private static let keys = [
    "runtime", "command", "program", "image", "options", "environment", "directory", "journal", "start",
    "heartbeat_seconds", "heartbeat_ceiling_seconds", "claim_ceiling_seconds", "tool_seconds",
    "spawn_grace_seconds", "stop_grace_seconds", "first_pause_seconds", "longest_pause_seconds",
    "healthy_after_seconds", "breaker_ends", "broken_pause_seconds",
  ]

  func worker(
    _ node: Node, _ place: String, over defaults: SupervisorConfiguration.Worker
  ) throws(Fault) -> SupervisorConfiguration.Worker {
    var worker = defaults
    if node.tag == .init(.null) { return worker }
    for (key, value) in try entries(node, place) {
      let here = "\(place).\(key.name)"
      switch key.name {
      case "runtime": worker.runtime = try runtime(value, here)
      case "command": worker.command = try strings(value, here)
      case "program": worker.program = try string(value, here)
      case "image": worker.image = try string(value, here)
      case "options": worker.options = try strings(value, here)
      case "environment":
        worker.environment.merge(try texts(value, here)) { $1 }
      case "directory": worker.directory = try path(value, here)
      case "journal": worker.journal = try journal(value, here)
      case "start":
        let text = try string(value, here)
        guard let start = WorkerPolicy.Start(rawValue: text) else {
          throw problem(value, "\(here) is “\(text)”; it is always or on-message")
        }
        worker.policy.start = start
      case "heartbeat_seconds": worker.heartbeatSeconds = try count(value, here)
      case "heartbeat_ceiling_seconds": worker.policy.heartbeatCeiling = try seconds(value, here)
      case "claim_ceiling_seconds": worker.policy.claimCeiling = try seconds(value, here)
      case "tool_seconds": worker.policy.toolTime = try seconds(value, here)
      case "spawn_grace_seconds": worker.policy.spawnGrace = try seconds(value, here)
      case "stop_grace_seconds": worker.policy.stopGrace = try seconds(value, here)
      case "first_pause_seconds": worker.policy.firstPause = try seconds(value, here)
      case "longest_pause_seconds": worker.policy.longestPause = try seconds(value, here)
      case "healthy_after_seconds": worker.policy.healthyAfter = try seconds(value, here)
      case "breaker_ends": worker.policy.breakerEnds = try count(value, here)
      case "broken_pause_seconds": worker.policy.brokenPause = try seconds(value, here)
      default: throw unknown(key, in: place, known: Self.keys)
      }
    }
    return worker
  }

  /// What only the whole can tell.
  func check(_ worker: SupervisorConfiguration.Worker, _ place: String, _ node: Node) throws(Fault) {
    switch worker.runtime {
    case .process where worker.command.isEmpty:
      throw problem(node, "\(place) needs its command, as in [python3, worker.py]")
    case .container where worker.image == nil:
      throw problem(node, "\(place) needs the image of its container")
    case .container where worker.directory != nil:
      throw problem(
        node, "\(place) has a directory, which is for processes: give a container --workdir in its options")
    case .process where worker.image != nil:
      throw problem(node, "\(place) has an image but no runtime: docker, podman or container")
    default: break
    }
  }

  private func runtime(_ node: Node, _ place: String) throws(Fault) -> SupervisorConfiguration.Worker.Runtime
  {
    let text = try string(node, place)
    if text == "process" { return .process }
    guard let tool = ContainerRuntime.Tool(rawValue: text) else {
      throw problem(node, "\(place) is “\(text)”; it is process, docker, podman or container")
    }
    return .container(tool)
  }

  private func journal(_ node: Node, _ place: String) throws(Fault) -> StateFileConfiguration.Journal {
    let text = try string(node, place)
    switch text {
    case "automatic": return .automatic
    case "rollback": return .rollback
    default: throw problem(node, "\(place) is “\(text)”; it is automatic or rollback")
    }
  }
}
