// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine
import HoldfastMailbox
import HoldfastTestKit
import Logging

/// A host that delivers messages of kind `reply`: `HoldfastTestPeer deliver JSON`, `database` being the home, `journal` the
/// file that receives `KEY ATTEMPT` lines, and `files` the gates it stands at: `begun`, before it sends; `sent`, before
/// that is written down; `marked`, after that.
func deliverMessages(_ settings: PeerSettings, _ link: PeerLink) async throws {
  let gates = Set(settings.files)
  let store = SQLiteMailboxStore(home: try settings.required(settings.database, "database"))
  var routes = DeliveryRoutes()
  routes.carry(
    "reply",
    by: JournalAdapter(journal: try settings.required(settings.journal, "journal"), gates: gates, link: link))
  var policy = DeliveryPolicy()
  policy.firstPause = .milliseconds(1)
  let delivery = MailboxDelivery(
    store, routes: routes, policy: policy, tick: .milliseconds(10), logger: Logger(label: "test")
  ) { event in
    if case .delivered = event.news, gates.contains("marked") { link.reachBlocking("marked") }
  }
  try await delivery.run()
}

private struct JournalAdapter: DeliveryAdapter {
  let journal: String
  let gates: Set<String>
  let link: PeerLink

  var name: String { "journal" }
  var timeLimit: Duration { .zero }

  func deliver(_ delivery: Delivery) async -> DeliveryOutcome {
    if gates.contains("begun") { await link.reach("begun") }
    let line = Array("\(delivery.idempotencyKey) \(delivery.attempt)\n".utf8)
    let descriptor = unsafe open(journal, O_WRONLY | O_CREAT | O_APPEND, 0o600)
    let count = unsafe line.withUnsafeBytes { unsafe write(descriptor, $0.baseAddress, $0.count) }
    close(descriptor)
    if gates.contains("sent") { await link.reach("sent") }
    return count == line.count ? .delivered : .permanent(reason: "the journal cannot be written")
  }
}
