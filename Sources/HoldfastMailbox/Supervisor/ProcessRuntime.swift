// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
public import Logging
import Subprocess
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Workers as processes of this machine, each in a process group of its own.
public struct ProcessRuntime: WorkerRuntime {
  /// The program and its arguments; a program without a slash is looked for in `PATH`.
  public var command: [String]
  /// Variables beside those of the host.
  public var environment: [String: String]
  /// Its working directory; nil for the mailbox's.
  public var directory: String?

  /// Makes a runtime.
  public init(command: [String], environment: [String: String] = [:], directory: String? = nil) {
    precondition(!command.isEmpty, "a command has a program")
    self.command = command
    self.environment = environment
    self.directory = directory
  }

  /// `process`.
  public var name: String { "process" }

  /// Starts the command; its output goes to `worker.log` in the mailbox.
  public func start(
    _ launch: WorkerLaunch, lock: WorkerLock, logger: Logger
  ) async throws -> any RunningWorker {
    let variables = environment.merging(launch.environment(mailbox: launch.directory)) { $1 }
    return try await ChildProcess.start(
      command, environment: variables, directory: directory ?? launch.directory, lock: lock,
      log: launch.directory + "/" + WorkerLog.fileName)
  }

  /// What holds the worker's lock, and the process that was started when it lives.
  public func orphan(
    of record: WorkerRecord, address: MailboxAddress, lock: WorkerLock, logger: Logger
  ) async throws -> (any RunningWorker)? {
    let process = record.process.flatMap { $0.isAlive ? $0 : nil }
    guard process != nil || lock.isHeld else { return nil }
    return OrphanProcess(process: process, lock: lock)
  }
}

/// A worker this host started.
///
/// swift-subprocess reaps a child only when the closure it calls has returned. So while that closure waits here, for
/// the end of all the worker started, the child is at worst a zombie, and its number, and its group's, is nobody
/// else's: a signal to the group meets the group.
final class ChildProcess: RunningWorker {
  private struct State {
    var exit: WorkerExit?
    /// Whether the group's number may still be used.
    var isReserved = true
    var waiting: [CheckedContinuation<WorkerExit, Never>] = []
  }

  let identity: WorkerIdentity
  private let pid: Int32
  private let state: Monitor<State>

  private init(pid: Int32, state: Monitor<State>) {
    self.pid = pid
    self.state = state
    identity = WorkerIdentity(process: ProcessStamp(pid: pid))
  }

  /// - Throws: ``WorkerRuntimeError``, or `StoreError` for the lock and the log.
  static func start(
    _ command: [String], environment: [String: String], directory: String, lock: WorkerLock, log: String
  ) async throws -> ChildProcess {
    guard !lock.isHeld else {
      throw WorkerRuntimeError("Something of an earlier worker still lives and holds \(lock.path).")
    }
    let input = try lock.share()
    let output = try WorkerLog.open(log)
    let configuration = configuration(command, environment, directory)
    let state = Monitor(State())
    do {
      let pid: Int32 = try await withCheckedThrowingContinuation { started in
        Task.detached {
          let isStarted = Monitor(false)
          do {
            let result = try await run(
              configuration,
              input: .fileDescriptor(.init(rawValue: input.descriptor), closeAfterSpawningProcess: false),
              output: .fileDescriptor(.init(rawValue: output.descriptor), closeAfterSpawningProcess: false),
              error: .combinedWithOutput
            ) { execution in
              // From here on the lock is the worker's alone.
              input.close()
              output.close()
              let pid = execution.processIdentifier.value
              isStarted.withLock { $0 = true }
              started.resume(returning: pid)
              await waitForEnd(ofGroup: pid, lock: lock)
              state.withLock { $0.isReserved = false }
            }
            finish(state, exit(result.terminationStatus))
          } catch {
            if isStarted.withLock({ $0 }) {
              finish(state, .gone)
            } else {
              input.close()
              output.close()
              started.resume(throwing: error)
            }
          }
        }
      }
      return ChildProcess(pid: pid, state: state)
    } catch let error as SubprocessError {
      throw WorkerRuntimeError("\(command[0]) could not be started: \(error).")
    }
  }

  private static func configuration(
    _ command: [String], _ environment: [String: String], _ directory: String
  ) -> Configuration {
    var options = PlatformOptions()
    options.processGroupID = 0
    var variables: [Environment.Key: String?] = [:]
    for (name, value) in environment { variables[Environment.Key(stringLiteral: name)] = value }
    return Configuration(
      executable: command[0].utf8.contains(UInt8(ascii: "/"))
        ? .path(FilePath(command[0])) : .name(command[0]),
      arguments: Arguments(Array(command.dropFirst())), environment: .inherit.updating(variables),
      workingDirectory: FilePath(directory), platformOptions: options)
  }

  /// Waits for the child's end, then ends what it left running and waits for that.
  private static func waitForEnd(ofGroup pid: Int32, lock: WorkerLock) async {
    // An end is a fact, and there is no time by which it must have come.
    while (try? await ExitedProcess.confirm(pid: pid, within: .seconds(3600))) == nil {}
    _ = sendSignal(to: -pid, SIGKILL)
    await lock.waitUntilFree { _ = sendSignal(to: -pid, SIGKILL) }
  }

  private static func exit(_ status: TerminationStatus) -> WorkerExit {
    switch status {
    case .exited(let code): .exited(code)
    case .signaled(let signal): .signalled(signal)
    }
  }

  private static func finish(_ state: Monitor<State>, _ exit: WorkerExit) {
    let waiting = state.withLock { state in
      state.isReserved = false
      state.exit = exit
      defer { state.waiting = [] }
      return state.waiting
    }
    for continuation in waiting { continuation.resume(returning: exit) }
  }

  func terminate() { signal(SIGTERM) }

  func kill() { signal(SIGKILL) }

  private func signal(_ number: Int32) {
    state.withLock { if $0.isReserved { _ = sendSignal(to: -pid, number) } }
  }

  func end() async -> WorkerExit {
    await withCheckedContinuation { continuation in
      let exit = state.withLock { state -> WorkerExit? in
        if state.exit == nil { state.waiting.append(continuation) }
        return state.exit
      }
      if let exit { continuation.resume(returning: exit) }
    }
  }
}

/// A worker that another host started: not our child, known by its stamp and by the lock its tree holds.
struct OrphanProcess: RunningWorker {
  /// nil when it is gone, and only what it started lives.
  let process: ProcessStamp?
  let lock: WorkerLock

  var identity: WorkerIdentity { WorkerIdentity(process: process) }

  func terminate() { signal(SIGTERM) }

  func kill() { signal(SIGKILL) }

  /// Its group is signalled by its number only while its leader lives, which is then what the number stands for;
  /// what is beside that, each by itself.
  private func signal(_ number: Int32) {
    if let process, process.isAlive {
      if getpgid(process.pid) == process.pid { _ = sendSignal(to: -process.pid, number) }
      process.send(number)
    }
    for pid in LockTable.processes(withLockedFileAt: lock.path) { ProcessStamp(pid: pid)?.send(number) }
  }

  func end() async -> WorkerExit {
    if let process {
      while process.isAlive, (try? await ExitedProcess.confirm(pid: process.pid, within: .seconds(1))) == nil
      {}
    }
    // Asked to end, what is left may take its time; killing it is the supervisor's to decide.
    var pause = Duration.milliseconds(1)
    while lock.isHeld {
      try? await Task.sleep(for: pause)
      pause = min(pause * 2, .milliseconds(100))
    }
    return .gone
  }
}

/// kill(2), by a name that no method of a worker hides.
private func sendSignal(to pid: Int32, _ number: Int32) -> Int32 { kill(pid, number) }
