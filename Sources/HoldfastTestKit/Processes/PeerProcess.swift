// SPDX-License-Identifier: Apache-2.0

public import Foundation
import HoldfastEngine

/// A real process under a test's control: started, held at named gates, stopped, killed.
///
/// What it runs is a program of the caller's that talks through ``PeerLink``: whenever it reaches a gate it
/// says so and waits until the test opens that gate. So a test can kill it exactly there, or let many run
/// into the same moment at once. A peer whose test dies goes with it: its standard input ends.
public final class PeerProcess: Sendable {
  /// How a process ended.
  public enum Ending: Hashable, Sendable {
    /// It returned this status.
    case exited(Int32)
    /// This signal killed it.
    case killed(signal: Int32)
  }

  /// What went wrong with the harness itself, in one sentence.
  public struct Failure: Error, CustomStringConvertible {
    /// What happened.
    public let description: String
  }

  /// The process id.
  public let pid: pid_t
  private let input: Int32
  private let state = Monitor(State())

  fileprivate struct State {
    /// Gates reached and not yet asked for, and everything told, in order.
    var arrivals: [String] = []
    var told: [String] = []
    var ending: Ending?
    var waiting: [Waiter] = []
  }

  fileprivate struct Waiter {
    enum Wish {
      case gate(String)
      case word
      case end
    }
    let wish: Wish
    let continuation: CheckedContinuation<String?, Never>
  }

  /// Starts the program at `executable`.
  ///
  /// - Parameter environment: variables set for it beside those of this process.
  public static func start(
    _ executable: String, arguments: [String] = [], environment: [String: String] = [:]
  ) throws -> PeerProcess {
    let (inputEnd, input) = try makePipe()
    let (output, outputEnd) = try makePipe()
    defer {
      close(inputEnd)
      close(outputEnd)
    }
    var variables = ProcessInfo.processInfo.environment
    variables.merge(environment) { $1 }
    // A killed or crashed peer is this harness's business, and the backtracer takes seconds.
    variables["SWIFT_BACKTRACE"] = variables["SWIFT_BACKTRACE"] ?? "enable=no"
    let pid = try spawn(
      [executable] + arguments, environment: variables.map { "\($0)=\($1)" }, input: inputEnd,
      output: outputEnd)
    let process = PeerProcess(pid: pid, input: input)
    let state = Reader(descriptor: output)
    Thread.detachNewThread { [weak process] in
      while let line = state.line() { process?.received(line) }
      let ending = reap(pid)
      process?.ended(ending)
    }
    return process
  }

  private init(pid: pid_t, input: Int32) {
    self.pid = pid
    self.input = input
  }

  deinit {
    if state.withLock({ $0.ending == nil }) { Foundation.kill(pid, SIGKILL) }
    close(input)
  }

  // MARK: Gates

  /// Waits until the peer stands at the gate.
  ///
  /// - Throws: ``Failure`` when it ended before that.
  public func arrival(at gate: String) async throws {
    guard await wait(for: .gate(gate)) != nil else {
      throw Failure(
        description: "The peer \(pid) ended (\(description(of: ending))) before the gate \(gate).")
    }
  }

  /// Lets the peer pass the gate: now, or as soon as it comes there.
  public func open(_ gate: String) {
    let line = Array("open \(gate)\n".utf8)
    unsafe line.withUnsafeBytes { bytes in
      // A peer that is gone cannot pass a gate; its ending says so.
      _ = unsafe write(input, bytes.baseAddress, bytes.count)
    }
  }

  /// Waits for the peer at the gate and lets it pass.
  public func pass(_ gate: String) async throws {
    try await arrival(at: gate)
    open(gate)
  }

  /// The next thing the peer tells (``PeerLink/tell(_:)``), in order; nil once it has ended.
  public func word() async -> String? {
    await wait(for: .word)
  }

  // MARK: Signals

  /// Sends a signal.
  public func send(_ signal: Int32) {
    // The id is this peer's for as long as it has not been reaped, and it is reaped under this lock's watch.
    state.withLock { state in
      if state.ending == nil { _ = Foundation.kill(pid, signal) }
    }
  }

  /// Kills it (SIGKILL) and waits until it is gone, its kernel locks included.
  @discardableResult
  public func kill() async -> Ending {
    send(SIGKILL)
    return await end()
  }

  /// Stops it (SIGSTOP) and waits until every one of its threads stands still.
  public func stop() async throws {
    send(SIGSTOP)
    let pid = pid
    let isStopped: Bool = await withCheckedContinuation { continuation in
      Thread.detachNewThread {
        var information = unsafe siginfo_t()
        let code = unsafe waitid(P_PID, id_t(pid), &information, WSTOPPED | WEXITED | WNOWAIT)
        continuation.resume(returning: unsafe code == 0 && information.si_code == CLD_STOPPED)
      }
    }
    guard isStopped else { throw Failure(description: "The peer \(pid) ended before it could be stopped.") }
  }

  /// Lets a stopped peer run on (SIGCONT).
  public func resume() {
    send(SIGCONT)
  }

  /// Waits until it has ended.
  public func end() async -> Ending {
    _ = await wait(for: .end)
    guard let ending else { fatalError("a peer that ended has no ending") }
    return ending
  }

  /// How it ended; nil while it runs.
  public var ending: Ending? { state.withLock { $0.ending } }

  // MARK: The reader's side

  private func wait(for wish: Waiter.Wish) async -> String? {
    await withCheckedContinuation { continuation in
      let waiter = Waiter(wish: wish, continuation: continuation)
      let answer: String?? = state.withLock { state -> String?? in
        if let answer = state.answer(wish) { return .some(answer) }
        state.waiting.append(waiter)
        return .none
      }
      if case .some(let answer) = answer { continuation.resume(returning: answer) }
    }
  }

  private func received(_ line: String) {
    settle { state in
      if line.hasPrefix("gate ") {
        state.arrivals.append(String(line.dropFirst(5)))
      } else if line.hasPrefix("tell ") {
        state.told.append(String(line.dropFirst(5)))
      } else {
        FileHandle.standardError.write(Data("peer \(pid): \(line)\n".utf8))
      }
    }
  }

  private func ended(_ ending: Ending) {
    settle { $0.ending = ending }
  }

  private func settle(_ change: (inout State) -> Void) {
    let answers = state.withLock { state -> [(CheckedContinuation<String?, Never>, String?)] in
      change(&state)
      var answers: [(CheckedContinuation<String?, Never>, String?)] = []
      var waiting: [Waiter] = []
      for waiter in state.waiting {
        if let answer = state.answer(waiter.wish) {
          answers.append((waiter.continuation, answer))
        } else {
          waiting.append(waiter)
        }
      }
      state.waiting = waiting
      return answers
    }
    for (continuation, answer) in answers { continuation.resume(returning: answer) }
  }

  private func description(of ending: Ending?) -> String {
    switch ending {
    case .exited(let status): "status \(status)"
    case .killed(let signal): "signal \(signal)"
    case nil: "not yet"
    }
  }
}

extension PeerProcess.State {
  /// What a waiter gets: a word, nil in case of the end, or no answer yet.
  fileprivate mutating func answer(_ wish: PeerProcess.Waiter.Wish) -> String?? {
    switch wish {
    case .gate(let gate):
      if let index = arrivals.firstIndex(of: gate) { return .some(arrivals.remove(at: index)) }
    case .word:
      if !told.isEmpty { return .some(told.removeFirst()) }
    case .end: break
    }
    return ending == nil ? .none : .some(nil)
  }
}
