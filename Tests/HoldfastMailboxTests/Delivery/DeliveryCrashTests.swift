// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastMailbox
import HoldfastTestKit
import Testing

@Suite("Delivery and killed hosts")
struct DeliveryCrashTests {
  @Test(
    "a host killed between begin and send, send and mark, or after mark loses nothing and repeats only under the same key",
    arguments: [("begun", ["1"]), ("sent", ["1", "2"]), ("marked", ["1"])])
  func killed_E04(gate: String, attemptsThatArrived: [String]) async throws {
    let directory = try TemporaryDirectory()
    let home = directory.file("home")
    let journal = directory.file("journal")
    let address = try MailboxAddress("writer/session-1")
    let store = SQLiteMailboxStore(home: home)
    try await store.send(NewMailboxMessage(content: MailboxContent(text: "in")), to: address)
    let worker = try SQLiteMailboxWorker(home: home, address)
    for number in 1...3 {
      try worker.say("\(number)", kind: "reply", "\(number)", deliverAfter: nil)
    }
    func host(_ gates: [String]) throws -> PeerProcess {
      var settings = PeerSettings(database: home, journal: journal)
      settings.files = gates
      return try PeerProcess.start(
        PeerProcess.builtExecutable(named: "HoldfastTestPeer"), arguments: settings.arguments(for: "deliver"))
    }
    func arrivals() -> [[String]] {
      ((try? String(contentsOfFile: journal, encoding: .utf8)) ?? "").split(separator: "\n").map {
        $0.split(separator: " ").map(String.init)
      }
    }

    let first = try host([gate])
    try await first.arrival(at: gate)
    await first.kill()
    #expect(arrivals().count == (gate == "begun" ? 0 : 1))
    #expect(try await store.summary(of: address).delivered == (gate == "marked" ? 1 : 0))

    let second = try host([])
    #expect(try await eventually { try await store.summary(of: address).delivered == 3 })
    await second.kill()
    await store.close()
    let seen = arrivals()
    let key = { (number: Int) in "writer/session-1/\(number)" }
    // In order, each at least once; what came twice came with its key, and is one message to who looks at that.
    #expect(seen.filter { $0[0] == key(1) }.count == attemptsThatArrived.count)
    #expect(seen.map { $0[0] } == attemptsThatArrived.map { _ in key(1) } + [key(2), key(3)])
    if gate == "begun" { #expect(seen[0][1] == "2", "the attempt that was begun counts") }
    if gate == "sent" { #expect(seen.prefix(2).map { $0[1] } == attemptsThatArrived) }
  }
}
