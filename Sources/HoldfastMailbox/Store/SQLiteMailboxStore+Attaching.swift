// SPDX-License-Identifier: Apache-2.0

public import Foundation
import HoldfastEngine

extension SQLiteMailboxStore {
  /// Sends a message with files: they are in the mailbox's `attachments/`, whole and on the disk, before the message is
  /// there, and it has their names there as `attachments`, a list.
  ///
  /// A file's name follows from what is in it and what it was called, so the same message with the same files is the same
  /// message, sent again.
  ///
  /// - Parameters:
  ///   - message: its content is an object without `attachments`.
  ///   - files: what each was called, without directories, and what is in it.
  /// - Throws: ``MailboxError`` `invalid` for another content or a name that cannot be; as ``send(_:to:)``.
  @discardableResult
  public func send(
    _ message: NewMailboxMessage, attaching files: [(name: String, data: Data)], to address: MailboxAddress
  ) async throws -> MailboxReceipt {
    guard !files.isEmpty else { return try await send(message, to: address) }
    let named = files.map { (name: Self.name(of: $0.name, $0.data), data: $0.data) }
    guard
      var content = try JSONSerialization.jsonObject(
        with: Data(message.content.json.utf8), options: .fragmentsAllowed) as? [String: Any],
      content["attachments"] == nil
    else {
      throw MailboxError(
        .invalid, "A message with attachments has an object as its content, with no “attachments” of its own."
      )
    }
    content["attachments"] = named.map(\.name)
    let data = try JSONSerialization.data(
      withJSONObject: content, options: [.sortedKeys, .withoutEscapingSlashes])
    var message = message
    message.content = try MailboxContent(json: String(decoding: data, as: UTF8.self))
    try await with(address, making: true) { mailbox in
      let attachments = MailboxAttachments(mailbox.directory)
      try await BlockingThread.run(named: "hf-mailboxes") {
        for file in named {
          if let there = try attachments.fileIfThere(file.name, most: file.data.count) {
            guard there.data != file.data else { continue }
            throw MailboxError(
              .refused, "Another attachment is called “\(file.name)”: rename one of the files.")
          }
          try attachments.put(file.data, as: file.name)
        }
      }
    }
    return try await send(message, to: address)
  }

  /// Two files of one name do not meet, and one that is sent again meets itself.
  private static func name(of name: String, _ data: Data) -> String {
    var hash: UInt64 = 0xcbf2_9ce4_8422_2325
    for byte in data { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
    let text = String(hash, radix: 16)
    return String(repeating: "0", count: 16 - text.count) + text + "-" + name
  }
}
