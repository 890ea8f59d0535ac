// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastMailbox
import HoldfastTestKit
import Logging

/// A mailbox's worker, as `HoldfastTestPeer worker WAYS`: plain SQLite and nothing of ours.
///
/// `WAYS` has one of the cases for each incarnation, with commas between; the last is for all that follow. It leaves
/// `CASE-INCARNATION` with its process id in its mailbox once it is where the case says, and stays there.
enum WorkerScenario: String, CaseIterable {
  /// Does nothing.
  case idle
  /// Does nothing, and does not mind SIGTERM.
  case deaf
  /// Has changed `outbound.db`, spilled pages of it, and not committed.
  case spill
  /// The same, and does not mind SIGTERM.
  case deafSpill
  /// Has inserted a message into `messages_out`, and ends with status 0.
  case say
  /// Ends with status 3.
  case fail
  /// Has left a process in a session of its own that goes on as `deafSpill`, and ends with status 0.
  case leave
  /// Has written its environment, one variable a line.
  case environment

  static func run(_ ways: String) throws {
    let variables = ProcessInfo.processInfo.environment
    guard let mailbox = variables["HOLDFAST_MAILBOX"], let number = variables["HOLDFAST_INCARNATION"],
      let incarnation = Int(number), incarnation > 0
    else {
      throw Misuse(what: "A worker needs HOLDFAST_MAILBOX and HOLDFAST_INCARNATION.")
    }
    let all = ways.split(separator: ",")
    guard let scenario = WorkerScenario(rawValue: String(all[min(incarnation, all.count) - 1])) else {
      throw Misuse(what: "\(ways) has a way that no worker knows.")
    }
    try scenario.work(in: mailbox, incarnation)
  }

  private func work(in mailbox: String, _ incarnation: Int) throws {
    func arrive(_ text: String = "\(getpid())") throws {
      let place = "\(mailbox)/\(rawValue)-\(incarnation)"
      try Data(text.utf8).write(to: URL(fileURLWithPath: place), options: .atomic)
    }
    switch self {
    case .idle: try arrive()
    case .deaf:
      _ = signal(SIGTERM, SIG_IGN)
      try arrive()
    case .spill, .deafSpill:
      if self == .deafSpill { _ = signal(SIGTERM, SIG_IGN) }
      let connection = try ForeignConnection(mailbox + "/outbound.db", busyTimeout: 60_000)
      try connection.run(
        "PRAGMA cache_size = 2; BEGIN IMMEDIATE; UPDATE messages_out SET content = '\"new\"'")
      for number in 1...400 {
        try connection.run(
          "INSERT INTO messages_out(id, kind, content) VALUES ('\(incarnation)-\(number)', 'x', json_quote(hex(zeroblob(1000))))"
        )
      }
      try arrive()
      withExtendedLifetime(connection) { stay() }
    case .say:
      let connection = try ForeignConnection(mailbox + "/outbound.db", busyTimeout: 60_000)
      try connection.run(
        "INSERT INTO messages_out(id, kind, content) VALUES ('said-\(incarnation)', 'x', '\"last words\"')")
      exit(0)
    case .fail: exit(3)
    case .leave:
      let child = Foundation.Process()
      child.executableURL = URL(fileURLWithPath: "/proc/self/exe")
      child.executableURL = child.executableURL?.resolvingSymlinksInPath()
      child.arguments = ["worker-left", "deafSpill"]
      child.standardInput = FileHandle.standardInput
      try child.run()
      while !FileManager.default.fileExists(atPath: "\(mailbox)/deafSpill-\(incarnation)") { usleep(1000) }
      exit(0)
    case .environment:
      try arrive(
        ProcessInfo.processInfo.environment.filter { $0.key.hasPrefix("HOLDFAST_") || $0.key == "OWN" }
          .map { "\($0.key)=\($0.value)" }.sorted().joined(separator: "\n")
          + "\nPWD is \(FileManager.default.currentDirectoryPath)")
    }
    stay()
  }

  private func stay() -> Never {
    while true { pause() }
  }
}

/// What the peer was asked that it cannot do.
struct Misuse: Error {
  var what: String
}

/// A host that starts a worker and is killed: `HoldfastTestPeer host JSON`, `database` being the mailbox and `files` the
/// worker's command. Tells `started` and stands at the gate `inside`.
func hostWorker(_ settings: PeerSettings, _ link: PeerLink) async throws {
  guard let mailbox = settings.database else {
    throw Misuse(what: "A host needs a mailbox.")
  }
  let launch = WorkerLaunch(
    address: try MailboxAddress(agent: "agent", session: "session"), directory: mailbox, incarnation: 1,
    heartbeatSeconds: 10)
  let worker = try await ProcessRuntime(command: settings.files).start(
    launch, lock: WorkerLock(mailbox: mailbox), logger: Logger(label: "test"))
  link.tell("started")
  await link.reach("inside")
  withExtendedLifetime(worker) {}
}
