// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage
import Hummingbird

/// `/api/usage` and what is below it: reports, sums over time, totals and blocks of five hours.
struct UsageRoutes {
  let ledger: any UsageLedger

  func add(to router: Router<BasicRequestContext>) {
    add("/api/usage", to: router, ReportQuery.parse) { ledger, query in try await ledger.report(query) }
    add("/api/usage/series", to: router, ReportQuery.parseSeries) { ledger, query in
      try await ledger.series(query)
    }
    add("/api/usage/overview", to: router, ReportQuery.parseSpan) { ledger, span in
      try await ledger.overview(since: span.since, until: span.until)
    }
    add("/api/usage/blocks", to: router, ReportQuery.parseSpan) { ledger, span in
      try await ledger.blocks(since: span.since ?? UTCInstant(milliseconds: 0))
    }
  }

  /// Answers a path: its parameters become a question, or 400; its answer is JSON, or 503 while the file cannot be read.
  private func add<Question: Sendable, Answer: Encodable & SendableMetatype>(
    _ path: RouterPath, to router: Router<BasicRequestContext>,
    _ parse: @escaping @Sendable ([(String, String)]) throws(ReportQuery.Problem) -> Question,
    _ answer: @escaping @Sendable (any UsageLedger, Question) async throws -> Answer
  ) {
    router.get(path) { [ledger] request, _ in
      let question: Question
      do throws(ReportQuery.Problem) {
        question = try parse(request.uri.queryParameters.map { (String($0.key), String($0.value)) })
      } catch {
        return APIAnswer.failure(.badRequest, "bad_request", error.message)
      }
      do {
        return try APIAnswer.json(await answer(ledger, question))
      } catch let error as StoreError {
        return APIAnswer.failure(.serviceUnavailable, "\(error.code)", error.description)
      }
    }
  }
}
