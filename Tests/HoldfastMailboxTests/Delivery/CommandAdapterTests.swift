// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastMailbox

@Suite("Command adapter")
struct CommandAdapterTests {
  let directory: TemporaryDirectory

  init() throws { directory = try TemporaryDirectory() }

  private func delivery(_ json: String = #"{"a":1}"#) throws -> Delivery {
    Delivery(
      mailbox: try MailboxAddress("writer/session-1"),
      message: OutboundMessage(
        id: "reply-1", seq: 7, kind: "reply", content: try MailboxContent(json: json), inReplyTo: "in-1",
        time: UTCInstant(milliseconds: 1_800_000_000_000), idempotencyKey: "reply-1"),
      attempt: 2)
  }

  private func shell(_ script: String, timeLimit: Duration = .seconds(600)) -> CommandAdapter {
    CommandAdapter(
      command: ["/bin/sh", "-c", script], environment: ["OWN": "mine"], directory: directory.path,
      timeLimit: timeLimit)
  }

  @Test("a command reads the message as JSON, in its directory and environment")
  func message_E04() async throws {
    #expect(try await shell("cat > got; printf %s \"$OWN\" > own").deliver(delivery()) == .delivered)
    #expect(
      try String(contentsOfFile: directory.file("got"), encoding: .utf8)
        == #"{"attempt":2,"content":{"a":1},"id":"reply-1","idempotency_key":"writer/session-1/reply-1","in_reply_to":"in-1","kind":"reply","mailbox":"writer/session-1","routing":null,"seq":7,"time":"2027-01-15T08:00:00.000Z"}"#
    )
    #expect(try String(contentsOfFile: directory.file("own"), encoding: .utf8) == "mine")
  }

  @Test("a worker's own key goes out as it is; an id, with its mailbox before it")
  func key_E04() throws {
    var delivery = try delivery()
    #expect(delivery.idempotencyKey == "writer/session-1/reply-1")
    delivery.message.idempotencyKey = "order-42"
    #expect(delivery.idempotencyKey == "order-42")
  }

  @Test("75 is for now, every other code for good, and a signal may have been an accident")
  func codes_E05() async throws {
    #expect(
      try await shell("echo busy >&2; exit 75").deliver(delivery())
        == .transient(reason: "/bin/sh ended with status 75: busy"))
    #expect(
      try await shell("echo no >&2; echo such place >&2; exit 1").deliver(delivery())
        == .permanent(reason: "/bin/sh ended with status 1: no such place"))
    #expect(
      try await shell("kill -9 $$").deliver(delivery()) == .transient(reason: "/bin/sh was ended by signal 9")
    )
    let nowhere = CommandAdapter(command: ["/nowhere/at/all"])
    guard case .transient(let reason, nil) = try await nowhere.deliver(delivery()) else {
      Issue.record("what cannot be started may be there later")
      return
    }
    #expect(reason.hasPrefix("/nowhere/at/all could not be run: "))
  }

  @Test("a command that takes too long is killed, with what it started")
  func killed_E05() async throws {
    let outcome = try await shell("sleep 1000 & echo $! > child; echo slow >&2; wait", timeLimit: .seconds(1))
      .deliver(delivery())
    #expect(outcome == .transient(reason: "/bin/sh took longer than 1.0 seconds and was killed: slow"))
    let child = try #require(
      Int32(
        try String(contentsOfFile: directory.file("child"), encoding: .utf8).trimmingCharacters(
          in: .whitespacesAndNewlines)))
    _ = await eventually { ProcessStamp(pid: child)?.isAlive != true }
    #expect(ProcessStamp(pid: child)?.isAlive != true)
  }

  @Test("a command that never reads, says without end, or leaves somebody behind holds nothing up")
  func bounded_E13() async throws {
    let long = "\"" + String(repeating: "x", count: 1 << 20) + "\""
    #expect(try await shell("exit 0").deliver(delivery(long)) == .delivered)
    let outcome = try await shell("head -c 5000000 /dev/zero | tr '\\0' y >&2; exit 1").deliver(delivery())
    #expect(
      outcome == .permanent(reason: "/bin/sh ended with status 1: " + String(repeating: "y", count: 1000)))
    // It has left the group and has the pipe.
    #expect(try await shell("setsid sleep 1000 & echo $! > left; exit 0").deliver(delivery()) == .delivered)
    let left = try #require(
      Int32(
        try String(contentsOfFile: directory.file("left"), encoding: .utf8).trimmingCharacters(
          in: .whitespacesAndNewlines)))
    kill(left, SIGKILL)
  }
}
