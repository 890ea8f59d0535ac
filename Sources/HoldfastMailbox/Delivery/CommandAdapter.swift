// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import Subprocess
import SystemPackage

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Carries messages by a command: one run a message, which reads it as JSON (``Delivery``) on its standard input.
///
/// It says by its exit code what came of it: 0 delivered; 75 (`EX_TEMPFAIL`) not now; anything else never. A run that
/// takes too long is killed, with its process group, and may go better another time; so may one that a signal ended or
/// that could not be started. What it prints is dropped, but for the beginning of its standard error, which is kept as
/// the reason.
public struct CommandAdapter: DeliveryAdapter {
  /// The program and its arguments; a program without a slash is looked for in `PATH`.
  public var command: [String]
  /// Variables beside those of the host.
  public var environment: [String: String]
  /// Its working directory; nil for the host's.
  public var directory: String?
  /// No run takes longer.
  public var timeLimit: Duration

  /// Makes an adapter.
  public init(
    command: [String], environment: [String: String] = [:], directory: String? = nil,
    timeLimit: Duration = .seconds(30)
  ) {
    precondition(!command.isEmpty, "a command has a program")
    self.command = command
    self.environment = environment
    self.directory = directory
    self.timeLimit = timeLimit
  }

  /// `command`.
  public var name: String { "command" }

  /// Runs the command with a message.
  public func deliver(_ delivery: Delivery) async -> DeliveryOutcome {
    do {
      return await deliver(try delivery.json())
    } catch {
      return .permanent(reason: "\(command[0]) could not be given the message: \(error)")
    }
  }

  /// Runs the command with these bytes on its standard input.
  package func deliver(_ bytes: [UInt8]) async -> DeliveryOutcome {
    let message: UnlinkedFile
    do {
      message = try await UnlinkedFile.holding(bytes)
    } catch {
      return .transient(reason: "\(command[0]) could not be given the message: \(error)")
    }
    // It is in a file and not in a pipe: a command that does not read it cannot hold anybody up.
    defer { message.close() }
    // Not a child of this task: a host that stops waits for the run, which has its bound.
    return await Task.detached { [self] in await run(with: message) }.value
  }

  private func run(with message: UnlinkedFile) async -> DeliveryOutcome {
    do {
      let result = try await Subprocess.run(
        configuration,
        input: .fileDescriptor(.init(rawValue: message.descriptor), closeAfterSpawningProcess: false),
        output: .discarded, error: .sequence
      ) { execution in
        // swift-subprocess reaps the child when this returns, so until then its number is nobody else's.
        await end(of: execution.processIdentifier.value, execution.standardError)
      }
      let (isDone, said) = result.closureResult
      func reason(_ what: String) -> String { "\(command[0]) \(what)" + (said.isEmpty ? "" : ": \(said)") }
      guard isDone else { return .transient(reason: reason("took longer than \(timeLimit) and was killed")) }
      return switch result.terminationStatus {
      case .exited(0): .delivered
      case .exited(75): .transient(reason: reason("ended with status 75"))
      case .exited(let code): .permanent(reason: reason("ended with status \(code)"))
      case .signaled(let signal): .transient(reason: reason("was ended by signal \(signal)"))
      }
    } catch {
      return .transient(reason: "\(command[0]) could not be run: \(error)")
    }
  }

  private var configuration: Configuration {
    var options = PlatformOptions()
    options.processGroupID = 0
    var variables: [Environment.Key: String?] = [:]
    for (name, value) in environment { variables[Environment.Key(stringLiteral: name)] = value }
    return Configuration(
      executable: command[0].utf8.contains(UInt8(ascii: "/"))
        ? .path(FilePath(command[0])) : .name(command[0]),
      arguments: Arguments(Array(command.dropFirst())), environment: .inherit.updating(variables),
      workingDirectory: directory.map { FilePath($0) }, platformOptions: options)
  }

  /// Waits for the child's end, or kills it at the bound, with its group; returns whether it ended by itself, and the
  /// beginning of what it said.
  private func end(of pid: Int32, _ output: SubprocessOutputSequence) async -> (Bool, String) {
    await withTaskGroup(of: [UInt8].self) { group in
      group.addTask { await Self.beginning(of: output) }
      let isDone = (try? await ExitedProcess.confirm(pid: pid, within: timeLimit)) != nil
      // Also what it left running: nobody waits for that.
      _ = sendSignal(to: -pid, SIGKILL)
      if !isDone { while (try? await ExitedProcess.confirm(pid: pid, within: .seconds(3600))) == nil {} }
      // What left the group may hold the pipe open; what was written before is read all the same.
      group.cancelAll()
      let said = await group.next() ?? []
      let text = String(decoding: said, as: UTF8.self)
      return (isDone, text.split(whereSeparator: \.isNewline).joined(separator: " "))
    }
  }

  /// Reads all there is, and keeps the beginning.
  private static func beginning(of output: SubprocessOutputSequence) async -> [UInt8] {
    var kept: [UInt8] = []
    do {
      for try await piece in output {
        let room = 1000 - kept.count
        if room > 0 { unsafe piece.withUnsafeBytes { unsafe kept.append(contentsOf: $0.prefix(room)) } }
      }
    } catch {
      // What it said is for people; what came of it, its exit code says.
    }
    return kept
  }
}

/// kill(2).
private func sendSignal(to pid: Int32, _ number: Int32) -> Int32 { kill(pid, number) }

/// A file without a name, which is gone when the last descriptor is.
private struct UnlinkedFile: Sendable {
  let descriptor: Int32

  /// - Throws: `StoreError` `cannotOpen` when there is no room, or no right, for a temporary file.
  static func holding(_ bytes: [UInt8]) async throws -> UnlinkedFile {
    try await BlockingThread.run(named: "hf-delivery") {
      let directory = unsafe getenv("TMPDIR").map { unsafe String(cString: $0) } ?? "/tmp"
      let place = directory + "/holdfast-\(UInt64.random(in: 0 ... .max))"
      let descriptor = unsafe open(place, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
      guard descriptor >= 0 else { throw failure(place) }
      _ = unsafe unlink(place)
      var rest = bytes[...]
      while !rest.isEmpty {
        let count = unsafe rest.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else {
          let error = failure(place)
          closeDescriptor(descriptor)
          throw error
        }
        rest = rest.dropFirst(count)
      }
      lseek(descriptor, 0, SEEK_SET)
      return UnlinkedFile(descriptor: descriptor)
    }
  }

  private static func failure(_ place: String) -> StoreError {
    StoreError(
      .cannotOpen,
      "\(place) cannot be written (\(unsafe String(cString: strerror(errno)))); make room, or set TMPDIR to another place."
    )
  }

  func close() { closeDescriptor(descriptor) }
}

/// close(2).
private func closeDescriptor(_ descriptor: Int32) { _ = close(descriptor) }
