// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
public import Logging
import Subprocess
import SystemPackage

/// Workers in containers, through the command line of whatever runs them.
///
/// The command line stays in the foreground for as long as its container runs, and is this host's child. But its end
/// is not the container's: that is only what the command line says when asked (row C02). A command line that cannot
/// be asked, since its daemon is down say, proves nothing, and is asked again.
public struct ContainerRuntime: WorkerRuntime {
  /// Whose command line it is.
  public enum Tool: String, Hashable, Sendable, CaseIterable {
    /// Docker's.
    case docker
    /// Podman's.
    case podman
    /// Apple's `container`.
    case container
  }

  /// Whose command line it is.
  public var tool: Tool
  /// The program, where it is not to be found in `PATH` under the tool's name.
  public var program: String
  /// The image.
  public var image: String
  /// What to run in it; empty for what the image says.
  public var command: [String]
  /// Variables of the container, beside those of the contract.
  public var environment: [String: String]
  /// Further options of `run`, as in `--network none`.
  public var options: [String]
  /// Where the mailbox is mounted.
  public static let mount = "/mailbox"

  /// Makes a runtime.
  public init(
    _ tool: Tool, program: String? = nil, image: String, command: [String] = [],
    environment: [String: String] = [:], options: [String] = []
  ) {
    self.tool = tool
    self.program = program ?? tool.rawValue
    self.image = image
    self.command = command
    self.environment = environment
    self.options = options
  }

  /// The tool's name.
  public var name: String { tool.rawValue }

  /// Starts a container named after the mailbox.
  public func start(
    _ launch: WorkerLaunch, lock: WorkerLock, logger: Logger
  ) async throws -> any RunningWorker {
    let name = Self.containerName(launch.address, mailbox: launch.directory)
    if try await isLeft(name) { throw WorkerRuntimeError("A container named \(name) is still there.") }
    let variables = environment.merging(launch.environment(mailbox: Self.mount)) { $1 }
    let words =
      [program, "run", "--rm", "--name", name, "--volume", "\(launch.directory):\(Self.mount)"]
      + variables.sorted { $0.key < $1.key }.flatMap { ["--env", "\($0.key)=\($0.value)"] }
      + options + [image] + command
    let client = try await ChildProcess.start(
      words, environment: [:], directory: launch.directory, lock: lock,
      log: launch.directory + "/" + WorkerLog.fileName)
    return ContainerWorker(runtime: self, name: name, client: client, lock: lock, logger: logger)
  }

  /// The container of the mailbox's name, and the command line that an earlier host started.
  public func orphan(
    of record: WorkerRecord, address: MailboxAddress, lock: WorkerLock, logger: Logger
  ) async throws -> (any RunningWorker)? {
    let mailbox = String(lock.path.dropLast(WorkerLock.fileName.utf8.count + 1))
    let name = Self.containerName(address, mailbox: mailbox)
    let process = record.process.flatMap { $0.isAlive ? $0 : nil }
    let isClientLeft = process != nil || lock.isHeld
    let isContainerLeft = try await isLeft(name)
    guard isClientLeft || isContainerLeft else { return nil }
    return ContainerWorker(
      runtime: self, name: name, client: OrphanProcess(process: process, lock: lock), lock: lock,
      logger: logger)
  }

  /// Names may have what separates them, and two homes the same: so a mark of the directory ends it.
  static func containerName(_ address: MailboxAddress, mailbox: String) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325  // FNV-1a
    for byte in mailbox.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    let mark = String(hash & 0xffff_ffff, radix: 16)
    return "holdfast-\(address.agent)-\(address.session)-" + String(repeating: "0", count: 8 - mark.count)
      + mark
  }

  // MARK: The command line

  /// Whether a container of this name is there that is not known to have ended.
  /// - Throws: when the command line does not say.
  func isLeft(_ name: String) async throws -> Bool {
    switch tool {
    case .docker, .podman:
      // A filter is a regular expression, and a dot of a name one of its signs: the names are compared here.
      let lines = try await ask([
        "ps", "--all", "--filter", "name=\(name)", "--format", "{{.Names}} {{.State}}",
      ])
      return lines.contains { line in
        let words = line.split(separator: " ")
        guard words.first.map(String.init) == name else { return false }
        return !["exited", "dead", "stopped"].contains(words.dropFirst().first?.lowercased() ?? "")
      }
    case .container:
      return try await ask(["list", "--quiet"]).contains { $0 == name }
    }
  }

  func signal(_ name: String, _ signal: String) async throws {
    _ = try await ask(["kill", "--signal", signal, name])
  }

  func remove(_ name: String) async throws {
    _ = try await ask([tool == .container ? "delete" : "rm", "--force", name])
  }

  /// - Returns: the lines that it printed.
  private func ask(_ arguments: [String]) async throws -> [String] {
    let program = program
    return try await withThrowingTaskGroup(of: [String].self) { group in
      group.addTask {
        let result = try await run(
          program.utf8.contains(UInt8(ascii: "/")) ? .path(.init(program)) : .name(program),
          arguments: Arguments(arguments), output: .string(limit: 1 << 20), error: .string(limit: 64 << 10))
        guard result.terminationStatus.isSuccess else {
          let said = result.standardError.split(separator: "\n").first.map { ": \($0)" } ?? ""
          throw WorkerRuntimeError("\(program) \(arguments[0]) failed (\(result.terminationStatus))\(said).")
        }
        return result.standardOutput.split(separator: "\n").map {
          String($0).trimmingSpaces
        }
      }
      // A daemon that does not answer must not hold the session's supervision for ever.
      group.addTask {
        try await Task.sleep(for: .seconds(60))
        throw WorkerRuntimeError("\(program) \(arguments[0]) did not answer within a minute.")
      }
      defer { group.cancelAll() }
      return try await group.next() ?? []
    }
  }
}

extension String {
  fileprivate var trimmingSpaces: String {
    var text = Substring(self)
    while text.last == " " || text.last == "\r" { text.removeLast() }
    return String(text.drop { $0 == " " })
  }
}

/// A container and the command line in front of it.
struct ContainerWorker: RunningWorker {
  let runtime: ContainerRuntime
  let name: String
  let client: any RunningWorker
  let lock: WorkerLock
  let logger: Logger

  var identity: WorkerIdentity { WorkerIdentity(process: client.identity.process, container: name) }

  func terminate() async throws {
    if try await runtime.isLeft(name) {
      try await runtime.signal(name, "TERM")
    } else {
      try await client.terminate()
    }
  }

  func kill() async throws {
    if try await runtime.isLeft(name) { try await runtime.signal(name, "KILL") }
    try await client.kill()
  }

  /// The end of the command line, and then the container's.
  func end() async -> WorkerExit {
    // Of an orphan only the container may be left, or only the command line.
    let exit = await client.end()
    var pause = Duration.milliseconds(10)
    while !Task.isCancelled {
      do {
        guard try await runtime.isLeft(name) else { return exit }
        // Nobody is in front of it any more who could say how it ends: it does not go on by itself.
        try await runtime.remove(name)
      } catch {
        logger.debug(
          "whether a container has ended is not known",
          metadata: ["container": "\(name)", "reason": "\(error)"])
      }
      try? await Task.sleep(for: pause)
      pause = min(pause * 2, .seconds(5))
    }
    return exit
  }
}
