// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

/// The row in JSON, with the names of `holdfast usage record`; what is nil is left out.
extension UsageRow: Codable {
  private enum CodingKeys: String, CodingKey {
    case uid, time, provider, model, source, session, project, agent, endpoint, streaming, status, outcome,
      speed, unknown, route, decision, tool, origin
    case parentAgent = "parent_agent"
    case requestID = "request_id"
    case responseID = "response_id"
    case errorType = "error_type"
    case stopReason = "stop_reason"
    case durationMilliseconds = "duration_ms"
    case firstTokenMilliseconds = "first_token_ms"
    case inputTokens = "input_tokens"
    case cacheReadTokens = "cache_read_tokens"
    case cacheWrite5mTokens = "cache_write_5m_tokens"
    case cacheWrite1hTokens = "cache_write_1h_tokens"
    case outputTokens = "output_tokens"
    case reasoningTokens = "reasoning_tokens"
    case webSearches = "web_searches"
    case serviceTier = "service_tier"
    case inferenceGeo = "inference_geo"
    case costMicrodollars = "cost_microusd"
    case rateCard = "rate_card"
    case savedMicrodollars = "saved_microusd"
  }

  /// Reads a row; fields it does not know are passed over.
  ///
  /// - Throws: ``UsageError`` naming the field that cannot be read: a count that is negative, has a fraction, is
  ///   beyond any integer or is no number at all (failure D15). ``validate()`` checks the bounds.
  public init(from decoder: any Decoder) throws {
    let fields = try decoder.container(keyedBy: CodingKeys.self)
    self.init(provider: try Self.required(fields, .provider), model: try Self.required(fields, .model))
    uid = try Self.text(fields, .uid)
    time = try Self.time(fields)
    source = try Self.text(fields, .source)
    session = try Self.text(fields, .session)
    project = try Self.text(fields, .project)
    agent = try Self.text(fields, .agent)
    parentAgent = try Self.text(fields, .parentAgent)
    requestID = try Self.text(fields, .requestID)
    responseID = try Self.text(fields, .responseID)
    endpoint = try Self.text(fields, .endpoint).map { WireKind(rawValue: $0) ?? .other }
    streaming = try fields.decodeIfPresent(Bool.self, forKey: .streaming)
    errorType = try Self.text(fields, .errorType)
    stopReason = try Self.text(fields, .stopReason)
    durationMilliseconds = try Self.count(fields, .durationMilliseconds)
    firstTokenMilliseconds = try Self.count(fields, .firstTokenMilliseconds)
    inputTokens = try Self.count(fields, .inputTokens)
    cacheReadTokens = try Self.count(fields, .cacheReadTokens)
    cacheWrite5mTokens = try Self.count(fields, .cacheWrite5mTokens)
    cacheWrite1hTokens = try Self.count(fields, .cacheWrite1hTokens)
    outputTokens = try Self.count(fields, .outputTokens)
    reasoningTokens = try Self.count(fields, .reasoningTokens)
    webSearches = try Self.count(fields, .webSearches)
    serviceTier = try Self.text(fields, .serviceTier)
    speed = try Self.text(fields, .speed)
    inferenceGeo = try Self.text(fields, .inferenceGeo)
    unknown = try Self.text(fields, .unknown).flatMap(WireUsage.Unknown.init(rawValue:))
    costMicrodollars = try Self.count(fields, .costMicrodollars)
    rateCard = try Self.text(fields, .rateCard)
    route = try Self.text(fields, .route)
    decision = try Self.text(fields, .decision)
    tool = try Self.text(fields, .tool)
    origin = try Self.text(fields, .origin).flatMap(Origin.init(rawValue:)) ?? .told
    savedMicrodollars = try fields.decodeIfPresent(Int64.self, forKey: .savedMicrodollars)
    try takeStatus(fields)
    if let text = try Self.text(fields, .outcome) { outcome = try Self.outcome(text) }
  }

  /// Writes the row's fields that are not nil.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encodeIfPresent(uid, forKey: .uid)
    try fields.encodeIfPresent(time, forKey: .time)
    try fields.encode(provider, forKey: .provider)
    try fields.encode(model, forKey: .model)
    try fields.encodeIfPresent(source, forKey: .source)
    try fields.encodeIfPresent(session, forKey: .session)
    try fields.encodeIfPresent(project, forKey: .project)
    try fields.encodeIfPresent(agent, forKey: .agent)
    try fields.encodeIfPresent(parentAgent, forKey: .parentAgent)
    try fields.encodeIfPresent(requestID, forKey: .requestID)
    try fields.encodeIfPresent(responseID, forKey: .responseID)
    try fields.encodeIfPresent(endpoint, forKey: .endpoint)
    try fields.encodeIfPresent(streaming, forKey: .streaming)
    try fields.encodeIfPresent(status, forKey: .status)
    try fields.encode(outcome, forKey: .outcome)
    try fields.encodeIfPresent(errorType, forKey: .errorType)
    try fields.encodeIfPresent(stopReason, forKey: .stopReason)
    try fields.encodeIfPresent(durationMilliseconds, forKey: .durationMilliseconds)
    try fields.encodeIfPresent(firstTokenMilliseconds, forKey: .firstTokenMilliseconds)
    try fields.encodeIfPresent(inputTokens, forKey: .inputTokens)
    try fields.encodeIfPresent(cacheReadTokens, forKey: .cacheReadTokens)
    try fields.encodeIfPresent(cacheWrite5mTokens, forKey: .cacheWrite5mTokens)
    try fields.encodeIfPresent(cacheWrite1hTokens, forKey: .cacheWrite1hTokens)
    try fields.encodeIfPresent(outputTokens, forKey: .outputTokens)
    try fields.encodeIfPresent(reasoningTokens, forKey: .reasoningTokens)
    try fields.encodeIfPresent(webSearches, forKey: .webSearches)
    try fields.encodeIfPresent(serviceTier, forKey: .serviceTier)
    try fields.encodeIfPresent(speed, forKey: .speed)
    try fields.encodeIfPresent(inferenceGeo, forKey: .inferenceGeo)
    try fields.encodeIfPresent(unknown, forKey: .unknown)
    try fields.encodeIfPresent(costMicrodollars, forKey: .costMicrodollars)
    try fields.encodeIfPresent(rateCard, forKey: .rateCard)
    try fields.encodeIfPresent(route, forKey: .route)
    try fields.encodeIfPresent(decision, forKey: .decision)
    try fields.encodeIfPresent(tool, forKey: .tool)
    if origin != .told { try fields.encode(origin, forKey: .origin) }
    try fields.encodeIfPresent(savedMicrodollars, forKey: .savedMicrodollars)
  }
}

extension UsageRow {
  /// Reads one line of `holdfast usage record`: a JSON object, checked as ``validate()`` does.
  ///
  /// `status` may be an HTTP status or an outcome's name. Unknown fields are passed over.
  ///
  /// - Throws: ``UsageError`` whose one sentence names the field and what is wrong with it.
  public init(line: [UInt8]) throws(UsageError) {
    do {
      self = try JSONDecoder().decode(UsageRow.self, from: Data(line))
    } catch let error as UsageError {
      throw error
    } catch let DecodingError.dataCorrupted(context) where context.codingPath.isEmpty {
      throw UsageError(
        .unreadable, "The line is not valid JSON.", underlying: DecodingError.dataCorrupted(context))
    } catch {
      throw UsageError(.unreadable, "The line is not a JSON object.", underlying: error)
    }
    try validate()
  }

  private typealias Fields = KeyedDecodingContainer<CodingKeys>

  private static func required(_ fields: Fields, _ key: CodingKeys) throws -> String {
    guard let value = try text(fields, key) else {
      throw UsageError(.invalidRow, "\(key.stringValue) is missing.")
    }
    return value
  }

  private static func text(_ fields: Fields, _ key: CodingKeys) throws -> String? {
    do {
      return try fields.decodeIfPresent(String.self, forKey: key)
    } catch {
      throw UsageError(.invalidRow, "\(key.stringValue) is not a text.", underlying: error)
    }
  }

  private static func count(_ fields: Fields, _ key: CodingKeys) throws -> Int64? {
    guard fields.contains(key), try !fields.decodeNil(forKey: key) else { return nil }
    if let value = try? fields.decode(Int64.self, forKey: key) { return value }
    guard let value = try? fields.decode(Double.self, forKey: key) else {
      throw UsageError(.invalidRow, "\(key.stringValue) is not a number this can hold.")
    }
    guard value.isFinite, abs(value) < 1e15 else {
      throw UsageError(.invalidRow, "\(key.stringValue) is \(value), beyond any count.")
    }
    guard value == value.rounded() else {
      throw UsageError(.invalidRow, "\(key.stringValue) is \(value), not a whole number.")
    }
    return Int64(value)
  }

  private static func time(_ fields: Fields) throws -> UTCInstant? {
    do {
      return try fields.decodeIfPresent(UTCInstant.self, forKey: .time)
    } catch {
      throw UsageError(
        .invalidRow, "time is neither RFC 3339 (2026-11-21T09:30:00Z) nor milliseconds since 1970.",
        underlying: error)
    }
  }

  private static func outcome(_ text: String) throws -> UsageOutcome {
    guard let outcome = UsageOutcome(rawValue: text) else {
      let known = UsageOutcome.allCases.map(\.rawValue).joined(separator: ", ")
      throw UsageError(.invalidRow, "“\(text)” is no outcome; one of \(known) is.")
    }
    return outcome
  }

  private mutating func takeStatus(_ fields: Fields) throws {
    guard fields.contains(.status), try !fields.decodeNil(forKey: .status) else { return }
    if let text = try? fields.decode(String.self, forKey: .status) {
      if let number = Int(text) { status = number } else { outcome = try Self.outcome(text) }
    } else {
      status = try Self.count(fields, .status).map { Int(truncatingIfNeeded: $0) }
    }
    if let status, status >= 400 { outcome = .upstreamError }
  }
}
