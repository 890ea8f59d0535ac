// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastMailbox
import Testing

@Suite("Mailbox addresses")
struct MailboxAddressTests {
  @Test("an address is an agent and a session, and is written as it was read")
  func roundTrip() throws {
    let address = try MailboxAddress("writer.v2/Session_1-a")
    #expect(address.agent == "writer.v2")
    #expect(address.session == "Session_1-a")
    #expect(address.description == "writer.v2/Session_1-a")
    let encoded = try JSONEncoder().encode([address])
    #expect(try JSONDecoder().decode([MailboxAddress].self, from: encoded) == [address])
    let longest = String(repeating: "x", count: MailboxAddress.maximumLength)
    #expect(try MailboxAddress(longest + "/" + longest).session == longest)
  }

  @Test(
    "a name that could mean another place is refused in one sentence",
    arguments: [
      "", "/", "a", "a/", "/b", "a/b/c", "../b", "a/..", "./b", "a/.hidden", "a/b c", "a/b\n", "a/b\0", "a/ä",
      "a/b:c",
      "a\\b/c", "a/b?x", "a/%2e", String(repeating: "x", count: 129) + "/b",
      "a/" + String(repeating: "x", count: 500),
    ])
  func refused(_ text: String) {
    let error = #expect(throws: MailboxError.self) { try MailboxAddress(text) }
    #expect(error?.code == .invalid)
    #expect(error?.message.hasSuffix(".") == true)
    #expect(error?.message.contains { $0.isNewline || $0 == "\0" } == false)
    #expect(throws: DecodingError.self) {
      try JSONDecoder().decode(MailboxAddress.self, from: Data("7".utf8))
    }
  }

  @Test("addresses are ordered by agent, then by session")
  func order() throws {
    let all = try ["b/a", "a/b", "a/a", "a-/a"].map(MailboxAddress.init).sorted()
    #expect(all.map(\.description) == ["a/a", "a/b", "a-/a", "b/a"])
  }
}
