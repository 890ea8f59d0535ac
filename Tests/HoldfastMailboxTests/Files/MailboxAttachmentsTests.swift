// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastMailbox
import HoldfastTestKit
import Testing

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

@Suite("Attachments")
struct MailboxAttachmentsTests {
  let directory: TemporaryDirectory
  let place: MailboxDirectory
  let attachments: MailboxAttachments

  init() throws {
    directory = try TemporaryDirectory()
    place = MailboxDirectory(home: directory.path, address: try MailboxAddress("writer/s"))
    try place.make()
    attachments = MailboxAttachments(place)
    try Data("secret".utf8).write(to: URL(fileURLWithPath: directory.file("secret")))
  }

  private func write(_ name: String, _ text: String) throws {
    let path = place.attachments + "/" + name
    try FileManager.default.createDirectory(
      atPath: String(path[..<(path.lastIndex(of: "/") ?? path.endIndex)]), withIntermediateDirectories: true)
    try Data(text.utf8).write(to: URL(fileURLWithPath: path))
  }

  private func refusal(_ name: String) -> MailboxError? {
    do {
      _ = try attachments.data(of: name)
      return nil
    } catch {
      return error
    }
  }

  @Test("an attachment is read below its directory, whatever it is called")
  func reading() throws {
    for name in ["a.txt", "deep/er/ünï cöde?#%41", "...", "-rf"] {
      try write(name, "of " + name)
      #expect(try attachments.data(of: name) == Data(("of " + name).utf8))
    }
    try write("empty", "")
    #expect(try attachments.data(of: "empty").isEmpty)
    #expect(refusal("missing")?.code == .notFound)
    #expect(refusal("missing/too")?.code == .notFound)
    try write("large", String(repeating: "x", count: 100_000))
    #expect(try attachments.data(of: "large", most: 100_000).count == 100_000)
    #expect(throws: MailboxError.self) { try attachments.data(of: "large", most: 99_999) }
  }

  @Test(
    "a name that leads out of the directory is refused",
    arguments: [
      "../inbound.db", "..", ".", "", "/etc/passwd", "a/../../inbound.db", "a//b", "a/", "a/./b", "nul\0byte",
      String(repeating: "x", count: 256), String(repeating: "a/", count: 20) + "b",
    ])
  func traversal_E14(name: String) throws {
    try write("a/b", "inside")
    let error = try #require(refusal(name))
    #expect(error.code == .refused)
    #expect(!error.message.contains { $0.isNewline || $0 == "\0" })
  }

  @Test("a link, a device, a pipe, a directory and a file with another name are refused, and none is opened")
  func otherThanFiles_E14() throws {
    let manager = FileManager.default
    let root = place.attachments + "/"
    try write("real/file", "inside")
    try manager.createSymbolicLink(atPath: root + "link", withDestinationPath: directory.file("secret"))
    try manager.createSymbolicLink(atPath: root + "inner", withDestinationPath: "real/file")
    try manager.createSymbolicLink(atPath: root + "up", withDestinationPath: "..")
    try manager.createSymbolicLink(atPath: root + "dangling", withDestinationPath: "nowhere")
    try manager.createSymbolicLink(atPath: root + "root", withDestinationPath: "/")
    try manager.createSymbolicLink(atPath: root + "device", withDestinationPath: "/dev/zero")
    try manager.linkItem(atPath: directory.file("secret"), toPath: root + "hard")
    // Opening it for reading would wait for a writer for ever.
    let made = unsafe mkfifo(root + "pipe", 0o600)
    #expect(made == 0)
    for name in [
      "link", "inner", "up/inbound.db", "dangling", "root/etc/passwd", "device", "hard", "pipe", "real",
      "real/file/beyond",
    ] {
      #expect(refusal(name)?.code == .refused, "\(name)")
    }
    // The directory of all of them may have been replaced, too.
    try manager.moveItem(atPath: place.attachments, toPath: place.path + "/moved")
    try manager.createSymbolicLink(atPath: place.attachments, withDestinationPath: place.path + "/moved")
    #expect(refusal("real/file")?.code == .refused)
  }

  @Test("what is put is whole under its name, and nothing is written over or through")
  func putting_E14() throws {
    let bytes = Data((0..<200_000).map { UInt8(truncatingIfNeeded: $0) })
    try attachments.put(bytes, as: "picture.png")
    #expect(try attachments.data(of: "picture.png") == bytes)
    let root = place.attachments + "/"
    let secret = directory.file("secret")
    try FileManager.default.createSymbolicLink(atPath: root + "link", withDestinationPath: secret)
    for name in ["picture.png", "link", "../up", "/abs", "a/b", "..", ""] {
      let error = #expect(throws: MailboxError.self) { try attachments.put(Data("x".utf8), as: name) }
      #expect(error?.code == .refused, "\(name)")
    }
    #expect(try Data(contentsOf: URL(fileURLWithPath: secret)) == Data("secret".utf8))
    #expect(try attachments.data(of: "picture.png") == bytes)
    #expect(try FileManager.default.contentsOfDirectory(atPath: root).sorted() == ["link", "picture.png"])
    let mode = try FileManager.default.attributesOfItem(atPath: root + "picture.png")[.posixPermissions]
    #expect(mode as? Int == 0o600)
  }
}
