// SPDX-License-Identifier: Apache-2.0

import Foundation
import HTTPTypes
import HoldfastEngine
import HoldfastMailbox
import Hummingbird

/// `/api/mailboxes…`: what `holdfast mailbox list|show|receive|dead-letters --json` print, in pieces.
///
/// | Path | Parameters | Answer |
/// |---|---|---|
/// | `/api/mailboxes` | `agent` | `{mailboxes}` |
/// | `/api/mailboxes/AGENT/SESSION` | `status`, `limit`, `after` | `{mailbox, messages, schedules, next?, unreadable?}` |
/// | `/api/mailboxes/AGENT/SESSION/outbound` | `limit`, `after` | `{messages, next?, unreadable?}` |
/// | `/api/mailboxes/AGENT/SESSION/dead-letters` | | `{dead_letters, unreadable?}` |
/// | `/api/mailboxes/AGENT/SESSION/deliveries` | `limit`, `after` | `{deliveries, next?}` |
/// | `POST /api/mailboxes/AGENT/SESSION/worker` | `wanted` | `{mailbox, wanted}` |
///
/// Nothing here takes or acknowledges a message. The files are read on the store's own threads.
struct MailboxRoutes {
  let mailboxes: any MailboxStore

  /// The longest an answer waits for a mailbox.
  private static let patience = Duration.seconds(5)

  private struct All: Encodable {
    var mailboxes: [MailboxSummary]
  }

  private struct One: Encodable {
    var mailbox: MailboxSummary
    var messages: [InboundMessage]
    var schedules: [MailboxSchedule]
    var next: Int64?
    var unreadable: [MailboxFault]?
  }

  private struct Outbound: Encodable {
    var messages: [OutboundMessage]
    var next: Int64?
    var unreadable: [MailboxFault]?
  }

  private struct Letters: Encodable {
    var letters: [DeadLetter]
    var unreadable: [MailboxFault]?

    private enum CodingKeys: String, CodingKey {
      case letters = "dead_letters"
      case unreadable
    }
  }

  private struct Deliveries: Encodable {
    var deliveries: [UndeliveredMessage]
    var next: Int64?
  }

  private struct Wanted: Encodable {
    var mailbox: MailboxAddress
    var wanted: String
  }

  func add(to router: Router<BasicRequestContext>) {
    let mailboxes = self.mailboxes
    if let files = mailboxes as? SQLiteMailboxStore { Self.add(files, to: router) }
    router.get("/api/mailboxes") { request, _ in
      try await Self.answering {
        let agent = try MailboxQuery.agent(Self.parameters(request))
        return try await Self.soon { All(mailboxes: try await mailboxes.overview(of: agent)) }
      }
    }
    router.get("/api/mailboxes/:agent/:session") { request, context in
      try await Self.answering {
        let address = try Self.address(context)
        let query = try MailboxQuery(Self.parameters(request), takesStatus: true)
        return try await Self.soon {
          let summary = try await mailboxes.summary(of: address)
          let page = try await mailboxes.messages(
            in: address, states: query.states, limit: query.limit, after: query.after)
          let scheduled = try await mailboxes.schedules(in: address)
          let faults = page.faults + scheduled.faults
          return One(
            mailbox: summary, messages: page.messages, schedules: scheduled.schedules, next: page.next,
            unreadable: faults.isEmpty ? nil : faults)
        }
      }
    }
    router.get("/api/mailboxes/:agent/:session/outbound") { request, context in
      try await Self.answering {
        let address = try Self.address(context)
        let query = try MailboxQuery(Self.parameters(request), takesStatus: false)
        return try await Self.soon {
          let page = try await mailboxes.receive(from: address, limit: query.limit, after: query.after)
          return Outbound(
            messages: page.messages, next: page.next, unreadable: page.faults.isEmpty ? nil : page.faults)
        }
      }
    }
    router.get("/api/mailboxes/:agent/:session/dead-letters") { request, context in
      try await Self.answering {
        let address = try Self.address(context)
        try MailboxQuery.none(Self.parameters(request))
        return try await Self.soon {
          let list = try await mailboxes.deadLetters(in: address)
          return Letters(letters: list.letters, unreadable: list.faults.isEmpty ? nil : list.faults)
        }
      }
    }
  }

  /// What a store on SQLite has beside what all have.
  private static func add(_ mailboxes: SQLiteMailboxStore, to router: Router<BasicRequestContext>) {
    router.get("/api/mailboxes/:agent/:session/deliveries") { request, context in
      try await answering {
        let address = try address(context)
        let query = try MailboxQuery(parameters(request), takesStatus: false)
        return try await soon {
          _ = try? await mailboxes.drain(address)
          let found = try await mailboxes.undelivered(in: address, limit: query.limit, after: query.after)
          return Deliveries(deliveries: found, next: found.count == query.limit ? found.last?.seq : nil)
        }
      }
    }
    router.post("/api/mailboxes/:agent/:session/worker") { request, context in
      try await answering {
        let address = try address(context)
        let isWanted = try MailboxQuery.wanted(parameters(request))
        return try await soon {
          try await mailboxes.want(isWanted, workerOf: address)
          return Wanted(mailbox: address, wanted: isWanted ? "run" : "stop")
        }
      }
    }
  }

  private static func soon<Value: Sendable>(
    _ body: @escaping @Sendable () async throws -> Value
  ) async throws -> Value {
    try await Deadline.wait(patience, for: "the mailbox did not answer", body)
  }

  /// As forms and `URLSearchParams` write them: a plus is a space.
  private static func parameters(_ request: Request) throws -> [(String, String)] {
    try (request.uri.query ?? "").split(separator: "&").map { pair in
      let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
        .map { $0.replacing("+", with: " ").removingPercentEncoding }
      guard let name = parts[0], let value = parts.count > 1 ? parts[1] : "" else {
        throw MailboxQuery.Problem(message: "The parameter “\(pair)” is no UTF-8 text.")
      }
      return (name, value)
    }
  }

  private static func address(_ context: BasicRequestContext) throws -> MailboxAddress {
    try MailboxAddress(
      agent: context.parameters.get("agent") ?? "", session: context.parameters.get("session") ?? "")
  }

  private static func answering(_ body: () async throws -> some Encodable) async throws -> Response {
    do {
      return try APIAnswer.json(await body())
    } catch let problem as MailboxQuery.Problem {
      return APIAnswer.failure(.badRequest, "bad_request", problem.message)
    } catch let error as MailboxError {
      return APIAnswer.failure(status(of: error.code), "\(error.code)", error.message)
    } catch let error as StoreError {
      return APIAnswer.failure(.serviceUnavailable, "\(error.code)", error.description)
    }
  }

  private static func status(of code: MailboxError.Code) -> HTTPResponse.Status {
    switch code {
    case .notFound: .notFound
    case .invalid: .badRequest
    case .refused: .forbidden
    case .closed: .serviceUnavailable
    default: .internalServerError
    }
  }
}

/// The parameters of `/api/mailboxes…`, read strictly: one nobody knows is refused, because a filter that is silently
/// ignored shows what was not asked for.
struct MailboxQuery: Equatable {
  /// What is wrong with a question.
  struct Problem: Error, Equatable {
    /// One sentence.
    let message: String
  }

  var states = Set(InboundStatus.allCases)
  var limit = 100
  var after: Int64?

  init(_ parameters: [(String, String)], takesStatus: Bool) throws(Problem) {
    for (name, value) in parameters {
      switch name {
      case "status" where takesStatus: states = try Self.states(value)
      case "limit":
        guard let number = Int(value), (1...1000).contains(number) else {
          throw Problem(message: "limit is from 1 to 1000, not “\(value)”.")
        }
        limit = number
      case "after":
        guard let seq = Int64(value), seq >= 0 else {
          throw Problem(message: "“\(value)” is no message's seq; give back what an answer had as next.")
        }
        after = seq
      default:
        throw Problem(
          message: "“\(name)” is not known here; \(takesStatus ? "status, " : "")limit and after are.")
      }
    }
  }

  private static func states(_ value: String) throws(Problem) -> Set<InboundStatus> {
    if value == "all" { return Set(InboundStatus.allCases) }
    var states: Set<InboundStatus> = []
    for word in value.split(separator: ",", omittingEmptySubsequences: false) {
      guard let state = InboundStatus(rawValue: String(word)) else {
        let known = InboundStatus.allCases.map(\.rawValue).joined(separator: ", ")
        throw Problem(message: "“\(word)” is no status of a message; \(known) and all are.")
      }
      states.insert(state)
    }
    return states
  }

  /// For the list of all.
  static func agent(_ parameters: [(String, String)]) throws(Problem) -> String? {
    var agent: String?
    for (name, value) in parameters {
      guard name == "agent" else { throw Problem(message: "“\(name)” is not known here; agent is.") }
      agent = value
    }
    return agent
  }

  /// For a worker that is to run or to be stopped.
  static func wanted(_ parameters: [(String, String)]) throws(Problem) -> Bool {
    guard parameters.count == 1, let (name, value) = parameters.first, name == "wanted",
      value == "run" || value == "stop"
    else { throw Problem(message: "Say wanted=run or wanted=stop, and nothing else.") }
    return value == "run"
  }

  /// For what takes no parameters.
  static func none(_ parameters: [(String, String)]) throws(Problem) {
    if let (name, _) = parameters.first { throw Problem(message: "“\(name)” is not known here; nothing is.") }
  }
}
