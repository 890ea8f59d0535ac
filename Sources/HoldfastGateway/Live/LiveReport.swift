// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage
import NIOCore

/// A request as `/api/requests` and `/api/events` tell it: what it is and how far, never what is in it.
struct LiveReport: Encodable, Sendable {
  enum State: String, Encodable, Sendable {
    /// Sent; no answer yet.
    case started
    /// The answer comes in.
    case streaming
    case ended
  }

  var id: String
  var state: State
  var provider: String
  var endpoint: String?
  var model: String?
  var source: String?
  var session: String?
  var project: String?
  var started: String
  var elapsedMilliseconds: Int64
  var firstTokenMilliseconds: Int64?
  var bytes: Int
  /// Pieces of the model's output so far, each a token or a few.
  var pieces: Int
  var inputTokens: Int64?
  var cacheReadTokens: Int64?
  var outputTokens: Int64?
  var status: Int?
  var outcome: String?
  var errorType: String?
  var costMicrodollars: Int64?

  enum CodingKeys: String, CodingKey {
    case id, state, provider, endpoint, model, source, session, project, started, bytes, pieces, status,
      outcome
    case elapsedMilliseconds = "elapsed_ms"
    case firstTokenMilliseconds = "first_token_ms"
    case inputTokens = "input_tokens"
    case cacheReadTokens = "cache_read_tokens"
    case outputTokens = "output_tokens"
    case errorType = "error_type"
    case costMicrodollars = "cost_microusd"
  }

  /// - Parameter origin: tells requests of this daemon from those of the one before it.
  init(_ running: LiveRequests.Running, origin: String, now: NIODeadline = .now()) {
    let progress = running.request.progress
    id = "\(origin)-\(running.request.number)"
    state = progress.hasHead ? .streaming : .started
    provider = running.facts.provider
    endpoint = running.facts.endpoint.rawValue
    model = running.facts.model
    source = running.facts.source
    session = running.facts.session
    project = running.facts.project
    started = running.request.startedAt.description
    elapsedMilliseconds = (now - running.request.start).nanoseconds / 1_000_000
    firstTokenMilliseconds = progress.firstTokenMilliseconds
    bytes = progress.bytes
    pieces = progress.pieces
    outputTokens = progress.outputTokens
  }

  init(_ ended: LiveRequests.Ended, origin: String) {
    let row = ended.row
    id = "\(origin)-\(ended.number)"
    state = .ended
    provider = row.provider
    endpoint = row.endpoint?.rawValue
    model = row.model
    source = row.source
    session = row.session
    project = row.project
    started = ended.startedAt.description
    elapsedMilliseconds = row.durationMilliseconds ?? 0
    firstTokenMilliseconds = row.firstTokenMilliseconds
    bytes = ended.bytes
    pieces = ended.pieces
    inputTokens = row.inputTokens
    cacheReadTokens = row.cacheReadTokens
    outputTokens = row.outputTokens
    status = row.status
    outcome = row.outcome.rawValue
    errorType = row.errorType
    costMicrodollars = row.costMicrodollars
  }
}

/// How the daemon is, as the event `status` tells it.
struct LiveStatus: Encodable, Sendable, Equatable {
  var health: StatusReport.Health
  /// Rows accepted and not yet in the databases.
  var waiting: Int
  /// Rows that were not accepted.
  var refused: UInt64
}

/// What `/api/requests` answers.
struct LiveOverview: Encodable, Sendable {
  /// All in flight, also those that are not listed.
  var running: Int
  /// Those in flight, newest first.
  var requests: [LiveReport]
  /// The last that ended, newest first.
  var ended: [LiveReport]
}
