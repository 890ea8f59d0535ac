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
  /// Answers messages, one transaction each, which spills pages of its answer before it commits. The answer to `ID` is `re-ID`, with the message's content.
  case exchange

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
    case .exchange: try exchange(mailbox, incarnation)
    case .environment:
      try arrive(
        ProcessInfo.processInfo.environment.filter { $0.key.hasPrefix("HOLDFAST_") || $0.key == "OWN" }
          .map { "\($0.key)=\($0.value)" }.sorted().joined(separator: "\n")
          + "\nPWD is \(FileManager.default.currentDirectoryPath)")
    }
    stay()
  }

  private func exchange(_ mailbox: String, _ incarnation: Int) throws -> Never {
    let inbound = try ForeignConnection(mailbox + "/inbound.db", busyTimeout: 60_000)
    try inbound.run("PRAGMA query_only = 1")
    let outbound = try ForeignConnection(mailbox + "/outbound.db", busyTimeout: 60_000)
    try outbound.run("PRAGMA cache_size = 2")
    let heartbeat = unsafe open(mailbox + "/heartbeat", O_WRONLY | O_CREAT, 0o600)
    while true {
      _ = futimens(heartbeat, nil)
      let now = Int(Date().timeIntervalSince1970 * 1000)
      let found = try inbound.text(
        """
        SELECT json_group_array(json_array(id, tries, content)) FROM (SELECT * FROM messages_in
          WHERE status = 'pending' AND process_after <= \(now) AND after_incarnation < \(incarnation)
          ORDER BY seq LIMIT 20)
        """)
      for message in try JSONDecoder().decode([Message].self, from: Data((found ?? "[]").utf8)) {
        try answer(message, incarnation, outbound)
        // Whoever reads the file gets a turn.
        usleep(10_000)
      }
      usleep(20_000)
    }
  }

  /// As `json_array(id, tries, content)`.
  private struct Message: Decodable {
    let id: String
    let attempt: Int
    let content: String

    init(from decoder: any Decoder) throws {
      var fields = try decoder.unkeyedContainer()
      id = try fields.decode(String.self)
      attempt = try fields.decode(Int.self)
      content = try fields.decode(String.self)
    }
  }

  private func answer(_ message: Message, _ incarnation: Int, _ outbound: ForeignConnection) throws {
    func quoted(_ text: String) -> String { "'" + text.replacingOccurrences(of: "'", with: "''") + "'" }
    try outbound.run(
      """
      INSERT INTO processing(message, try, incarnation, worker)
      VALUES (\(quoted(message.id)), \(message.attempt), \(incarnation), 'swift')
      """)
    guard try outbound.text("SELECT changes()") == "1" else { return }
    try outbound.run(
      """
      BEGIN IMMEDIATE;
      INSERT INTO messages_out(id, kind, content, in_reply_to, routing)
      VALUES ('re-' || \(quoted(message.id)), 'reply', \(quoted(message.content)), \(quoted(message.id)),
        json_quote(hex(zeroblob(20000))))
      """)
    // The work, where it is most inconvenient to be killed.
    usleep(UInt32((Double(ProcessInfo.processInfo.environment["WORK_SECONDS"] ?? "") ?? 0) * 1_000_000))
    try outbound.run(
      """
      UPDATE processing SET status = 'completed'
      WHERE message = \(quoted(message.id)) AND try = \(message.attempt) AND incarnation = \(incarnation);
      COMMIT
      """)
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
