// SPDX-License-Identifier: Apache-2.0

import HTTPTypes
import Hummingbird
import HummingbirdCore

/// `/api/requests` and `/api/events`: what passes through the gateway just now.
struct LiveRoutes {
  let feed: LiveFeed

  func add(to router: Router<BasicRequestContext>) {
    let feed = self.feed
    router.get("/api/requests") { _, _ in try APIAnswer.json(feed.overview()) }
    router.get("/api/events") { request, _ in
      let subscription: LiveFeed.Subscription
      do throws(LiveFeed.Refusal) {
        subscription = try feed.subscribe()
      } catch {
        switch error {
        case .full:
          return APIAnswer.failure(
            .serviceUnavailable, "too_many",
            "\(LiveFeed.maximumSubscribers) already listen to the events; close one and try again.")
        case .stopping:
          return APIAnswer.failure(.serviceUnavailable, "stopping", "Holdfast is shutting down; try again.")
        }
      }
      return Response(
        status: .ok,
        headers: APIAnswer.fields + [
          .contentType: "text/event-stream; charset=utf-8", HTTPField.Name("X-Accel-Buffering")!: "no",
        ],
        body: ResponseBody { writer in
          try await request.body.consumeWithCancellationOnInboundClose { _ in
            for await batch in subscription.batches { try await writer.write(batch) }
          }
          try await writer.finish(nil)
        })
    }
  }
}
