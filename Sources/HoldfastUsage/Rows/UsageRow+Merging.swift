// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// What several tellers say of one request, put together.
extension UsageRow {
  /// The row with what another line of a log says of the same request: the largest of each count, since a line tells
  /// the usage so far; and the place of the earliest, since a later one may be a copy in a fork.
  ///
  package func taking(log other: UsageRow) -> UsageRow {
    let isLater = (other.time ?? .now) >= (time ?? .now)
    let (first, last) = isLater ? (self, other) : (other, self)
    var row = first
    row.uid = uid
    row.raise(to: last)
    row.fillPlace(from: last)
    row.fillDetails(from: last)
    row.stopReason = last.stopReason ?? first.stopReason
    row.outcome = last.outcome
    if let left = first.costMicrodollars, let right = last.costMicrodollars {
      row.costMicrodollars = max(left, right)
    } else {
      row.costMicrodollars = first.costMicrodollars ?? last.costMicrodollars
    }
    (row.rateCard, row.savedMicrodollars) = (rateCard, savedMicrodollars)
    row.origin = origin
    return row
  }

  /// The row, seen by the gateway or told by its writer, with what a program's log says of the same request.
  ///
  /// What is known stands; the log fills in what is not. Counts of an answer that was relayed whole stand as they are,
  /// known or not, because what a provider counts together a log may count apart; of one that was cut short, or whose
  /// usage was not told, the larger of each count holds.
  ///
  /// - Parameter isLowerBound: whether the row's own counts are a lower bound; nil to tell it from the row.
  package func filled(fromLog log: UsageRow, isLowerBound: Bool? = nil) -> UsageRow {
    var row = self
    row.origin = .both
    if isLowerBound ?? hasLowerBound { row.raise(to: log) }
    row.fillPlace(from: log)
    row.fillDetails(from: log)
    row.stopReason = row.stopReason ?? log.stopReason
    if row.costMicrodollars == nil, row.inputTokens != nil, row.outputTokens != nil {
      row.costMicrodollars = log.rateCard == nil ? log.costMicrodollars : nil
    }
    if row.inputTokens != nil, row.outputTokens != nil { row.unknown = nil }
    return row
  }

  /// Whether what the row counts is less than there may have been.
  package var hasLowerBound: Bool { outcome != .complete || inputTokens == nil || outputTokens == nil }

  /// Whether the two count the same and are priced by the same: a cost of the one is one of the other.
  package func costs(like other: UsageRow) -> Bool {
    time == other.time && provider == other.provider && model == other.model
      && inputTokens == other.inputTokens && cacheReadTokens == other.cacheReadTokens
      && cacheWrite5mTokens == other.cacheWrite5mTokens && cacheWrite1hTokens == other.cacheWrite1hTokens
      && outputTokens == other.outputTokens && webSearches == other.webSearches
      && serviceTier == other.serviceTier && speed == other.speed && inferenceGeo == other.inferenceGeo
  }

  private mutating func raise(to other: UsageRow) {
    func larger(_ left: Int64?, _ right: Int64?) -> Int64? {
      guard let left, let right else { return left ?? right }
      return max(left, right)
    }
    inputTokens = larger(inputTokens, other.inputTokens)
    cacheReadTokens = larger(cacheReadTokens, other.cacheReadTokens)
    cacheWrite5mTokens = larger(cacheWrite5mTokens, other.cacheWrite5mTokens)
    cacheWrite1hTokens = larger(cacheWrite1hTokens, other.cacheWrite1hTokens)
    outputTokens = larger(outputTokens, other.outputTokens)
    reasoningTokens = larger(reasoningTokens, other.reasoningTokens)
    webSearches = larger(webSearches, other.webSearches)
  }

  private mutating func fillPlace(from other: UsageRow) {
    source = source ?? other.source
    session = session ?? other.session
    project = project ?? other.project
    // The agents belong to the session they are of.
    if agent == nil, parentAgent == nil, session == other.session {
      (agent, parentAgent) = (other.agent, other.parentAgent)
    }
    requestID = requestID ?? other.requestID
    responseID = responseID ?? other.responseID
    endpoint = endpoint ?? other.endpoint
  }

  private mutating func fillDetails(from other: UsageRow) {
    tool = tool ?? other.tool
    reasoningTokens = reasoningTokens ?? other.reasoningTokens
    webSearches = webSearches ?? other.webSearches
    serviceTier = serviceTier ?? other.serviceTier
    speed = speed ?? other.speed
    inferenceGeo = inferenceGeo ?? other.inferenceGeo
    errorType = errorType ?? other.errorType
  }
}
