// SPDX-License-Identifier: Apache-2.0

/// Which adapter carries which kind of message.
public struct DeliveryRoutes: Sendable {
  struct Route: Sendable {
    var adapter: any DeliveryAdapter
    var slots: DeliverySlots
  }

  private var kinds: [String: Route] = [:]
  private var others: Route?

  /// Nobody carries anything.
  public init() {}

  /// Has an adapter carry a kind of message; nil stands for every kind that has none of its own.
  ///
  /// - Parameter concurrency: so many attempts are made at once; one kind of one mailbox has one at most.
  public mutating func carry(_ kind: String?, by adapter: any DeliveryAdapter, concurrency: Int = 32) {
    let route = Route(adapter: adapter, slots: DeliverySlots(concurrency))
    if let kind { kinds[kind] = route } else { others = route }
  }

  /// Whether anything is carried at all.
  public var isEmpty: Bool { kinds.isEmpty && others == nil }

  func route(_ kind: String) -> Route? { kinds[kind] ?? others }
}
