// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// The mailboxes whose files are open: those in use, and those used last, up to a bound.
actor OpenMailboxes {
  private struct Entry {
    var mailbox: Mailbox
    var users = 0
    var lastUse: UInt64
  }

  private let home: String
  private let configuration: MailboxConfiguration
  private var entries: [MailboxAddress: Entry] = [:]
  /// Being closed: whoever wants one of them waits, since a state file is opened and closed one after the other.
  private var closing: [MailboxAddress: Task<Void, Never>] = [:]
  private var clock: UInt64 = 0
  private var isClosed = false

  init(home: String, configuration: MailboxConfiguration) {
    (self.home, self.configuration) = (home, configuration)
  }

  func take(_ address: MailboxAddress, making: Bool) async throws -> Mailbox {
    while let task = closing[address] { await task.value }
    guard !isClosed else { throw MailboxError(.closed, "The mailboxes are closed.") }
    clock += 1
    if var entry = entries[address] {
      entry.users += 1
      entry.lastUse = clock
      entries[address] = entry
      return entry.mailbox
    }
    let directory = MailboxDirectory(home: home, address: address)
    if making {
      try StoreFile.makeHome(home)
      try directory.make()
    } else {
      guard directory.exists else {
        throw MailboxError(.notFound, "There is no mailbox \(address) in \(home).")
      }
      try directory.check()
    }
    let mailbox = try Mailbox(directory, configuration: configuration)
    entries[address] = Entry(mailbox: mailbox, users: 1, lastUse: clock)
    return mailbox
  }

  func giveBack(_ address: MailboxAddress) async {
    guard var entry = entries[address] else { return }
    entry.users -= 1
    entries[address] = entry
    while entries.count > configuration.maximumOpen,
      let (idle, _) = entries.filter({ $0.value.users == 0 }).min(by: { $0.value.lastUse < $1.value.lastUse })
    {
      await end(idle)
    }
  }

  /// Lets go of those that were removed and are not in use; those in use with the next call.
  func release(allBut present: [MailboxAddress]) async {
    let present = Set(present)
    for (address, entry) in entries where entry.users == 0 && !present.contains(address) {
      await end(address)
    }
  }

  private func end(_ address: MailboxAddress) async {
    guard let entry = entries.removeValue(forKey: address) else { return }
    let task = Task {
      await entry.mailbox.close()
      // Here, and not by whoever waits: a task that is over is waited for without giving way, so one who finds it
      // still in the table would keep the actor from everybody who could take it out.
      closing[address] = nil
    }
    closing[address] = task
    await task.value
  }

  func close() async {
    isClosed = true
    for address in Array(entries.keys) { await end(address) }
  }
}
