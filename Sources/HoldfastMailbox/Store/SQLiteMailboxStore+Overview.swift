// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

extension MailboxStore {
  /// How things are with every mailbox, or with those of one agent; one that cannot be read is in the list all the
  /// same, with the reason (row E03).
  ///
  /// - Parameter agent: only its mailboxes; all when nil.
  public func overview(of agent: String? = nil) async throws -> [MailboxSummary] {
    let all = try await addresses().filter { agent == nil || $0.agent == agent }
    return await withTaskGroup(of: MailboxSummary.self) { group in
      var summaries: [MailboxSummary] = []
      var rest = all[...]
      for _ in 0..<8 {
        guard let next = rest.popFirst() else { break }
        group.addTask { await summaryOrFault(of: next) }
      }
      while let done = await group.next() {
        summaries.append(done)
        if let next = rest.popFirst() { group.addTask { await summaryOrFault(of: next) } }
      }
      return summaries.sorted { $0.mailbox < $1.mailbox }
    }
  }

  private func summaryOrFault(of address: MailboxAddress) async -> MailboxSummary {
    do {
      return try await summary(of: address)
    } catch {
      var summary = MailboxSummary(address)
      summary.fault = (error as? StoreError)?.description ?? "\(error)"
      return summary
    }
  }
}
