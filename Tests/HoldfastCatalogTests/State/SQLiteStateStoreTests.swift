// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastCatalog
import HoldfastEngine
import HoldfastTestKit
import Testing

@Suite("State store: what its file is")
struct SQLiteStateStoreTests {
  private let home: StateHome

  init() throws { home = try StateHome() }

  @Test("bytes that are no JSON are an error that names the key, and stay")
  func unreadableBytesStay() async throws {
    let store = try home.open()
    for key in ["a", "bad", "worse", "z"] { try await store.set(StateKey("n", key), encoding: key) }
    let peer = try ForeignConnection(home.database(), busyTimeout: 60_000)
    try peer.run("UPDATE state SET value = '{\"half\":' WHERE key = 'bad'")
    try peer.run("UPDATE state SET value = CAST(x'22ff22' AS TEXT) WHERE key = 'worse'")
    let error = await #expect(throws: CatalogError.self) { try await store.get(StateKey("n", "bad")) }
    #expect(error?.code == .unreadable && error?.message.contains("n/bad") == true)
    let page = try await store.list(StateQuery("n"))
    #expect(page.entries.map(\.key.key) == ["a", "z"])
    #expect(page.faults.map(\.key.key) == ["bad", "worse"])
    #expect(try peer.text("SELECT value FROM state WHERE key = 'bad'") == "{\"half\":")
    #expect(try peer.text("SELECT hex(value) FROM state WHERE key = 'worse'") == "22FF22")
    try await store.set(StateKey("n", "bad"), encoding: "mended")
    #expect(try await store.get(StateKey("n", "bad"), as: String.self) == "mended")
    await store.close()
    try peer.run("SELECT 1")
  }

  @Test("what a constraint refuses later is lost, counted and told once; the rest is written")
  func refusedLaterIsTold_F05() async throws {
    let store = try home.open()
    try await store.set(StateKey("n", "a"), encoding: 1)
    let peer = try ForeignConnection(home.database(), busyTimeout: 60_000)
    try peer.run(
      """
      CREATE TRIGGER planted BEFORE INSERT ON state WHEN NEW.key = 'bad' BEGIN SELECT RAISE(ABORT, 'planted'); END
      """)
    for key in ["b", "bad", "c"] { try store.setLater(StateKey("n", key), encoding: key) }
    let error = await #expect(throws: (any Error).self) { try await store.flush() }
    #expect("\(String(describing: error))".contains("planted"))
    try await store.flush()
    let status = await store.status()
    #expect(status.lost == 1 && status.waiting == 0)
    #expect(status.lastLoss?.contains("n/bad") == true)
    #expect(try await store.all("n").entries.map(\.key.key) == ["a", "b", "c"])
    await #expect(throws: StoreError.self) { try await store.set(StateKey("n", "bad"), encoding: 1) }
    await store.close()
    try peer.run("SELECT 1")
  }

  @Test("a failure that passes keeps what waits, is told, and is made good by itself")
  func passingFailureLosesNothing_F05() async throws {
    // Made by one that is patient: on a busy machine a turn takes longer than the other will wait.
    let maker = try home.open()
    try await maker.set(StateKey("n", "a"), encoding: 1)
    await maker.close()
    let store = try SQLiteStateStore.open(
      home: home.path(), configuration: .init(patience: .seconds(3)), now: { .now },
      sleep: { [clock = home.clock] in try await clock.sleep(for: $0) })
    let release = try home.hold()
    try store.setLater(StateKey("n", "b"), encoding: 1)
    let error = await #expect(throws: StoreError.self) { try await store.flush() }
    #expect(error?.code == .deadline)
    try store.setLater(StateKey("n", "b"), encoding: 2)
    let status = await store.status()
    #expect(status.waiting == 1 && status.lost == 0 && status.delay != nil)
    try await release()
    #expect(
      await eventually {
        home.clock.advance(by: .seconds(5))
        return await store.status().waiting == 0
      })
    #expect(try await store.get(StateKey("n", "b"), as: Int.self) == 2)
    #expect(await store.status().delay == nil)
    await store.close()
  }

  @Test("values to be written later land by themselves, in one commit")
  func laterValuesLandTogether_F01() async throws {
    let store = try home.open()
    try await store.set(StateKey("n", "a"), encoding: 1)
    let peer = try ForeignConnection(home.database(), busyTimeout: 60_000)
    let before = try peer.text("PRAGMA data_version")
    for number in 0..<200 { try store.setLater(StateKey("n", "k\(number)"), encoding: number) }
    await home.clock.sleepers(1)
    #expect(try peer.text("PRAGMA data_version") == before)
    home.clock.advance(by: .milliseconds(250))
    #expect(try await eventually { try peer.text("SELECT count(*) FROM state") == "201" })
    // One commit: nobody sees a part of them.
    #expect(
      Int(try #require(try peer.text("PRAGMA data_version"))) == Int(try #require(before)).map { $0 + 1 })
    await store.close()
    try peer.run("SELECT 1")
  }

  @Test("versions are right whoever writes")
  func foreignWritersKeepVersions() async throws {
    let store = try home.open()
    let key = StateKey("n", "a")
    let first = try await store.set(key, encoding: 1)
    let peer = try ForeignConnection(home.database(), busyTimeout: 60_000)
    try peer.run("UPDATE state SET value = '2' WHERE key = 'a'")
    await #expect(throws: CatalogError.self) { try await store.set(key, encoding: 3, ifVersion: first) }
    var seen = [first, try #require(try await store.get(key)).version]
    try peer.run("REPLACE INTO state(namespace, key, value) VALUES ('n', 'a', '3')")
    seen.append(try #require(try await store.get(key)).version)
    try peer.run("DELETE FROM state; INSERT INTO state(namespace, key, value) VALUES ('n', 'a', '4')")
    seen.append(try #require(try await store.get(key)).version)
    try peer.run("UPDATE state SET value = '5', version = 1 WHERE key = 'a'")
    seen.append(try #require(try await store.get(key)).version)
    #expect(seen == Array(Set(seen)).sorted())
    #expect(throws: ForeignConnection.Failure.self) { try peer.run("UPDATE state SET key = 'b'") }
    #expect(throws: ForeignConnection.Failure.self) {
      try peer.run("INSERT INTO state(namespace, key, value) VALUES ('n', '', '1')")
    }
    await store.close()
    try peer.run("SELECT 1")
  }

  @Test("the file is its owner's alone and tells what it is")
  func fileIsPrivate_C12() async throws {
    let store = try home.open()
    try await store.set(StateKey("n", "a"), encoding: 1)
    let attributes = try FileManager.default.attributesOfItem(atPath: home.database())
    #expect(attributes[.posixPermissions] as? Int == 0o600)
    let peer = try ForeignConnection(home.database(), busyTimeout: 60_000)
    #expect(try peer.text("PRAGMA application_id") == String(0x4846_7374))
    await store.close()
    try peer.run("SELECT 1")
  }
}
