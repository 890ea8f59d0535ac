// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// What a row must be to be counted (failure D15).
extension UsageRow {
  /// Refuses a row with a value that cannot be true.
  ///
  /// - Throws: ``UsageError`` with code `invalidRow`, whose sentence names the field, its value and the bound.
  public func validate() throws(UsageError) {
    try Self.check("provider", provider, isRequired: true)
    try Self.check("model", model, isRequired: true)
    try Self.check("uid", uid, isRequired: true)
    try Self.check("source", source)
    try Self.check("session", session)
    try Self.check("project", project)
    try Self.check("agent", agent)
    try Self.check("parent_agent", parentAgent)
    try Self.check("request_id", requestID)
    try Self.check("response_id", responseID)
    try Self.check("error_type", errorType)
    try Self.check("stop_reason", stopReason)
    try Self.check("service_tier", serviceTier)
    try Self.check("speed", speed)
    try Self.check("inference_geo", inferenceGeo)
    try Self.check("rate_card", rateCard)
    try Self.check("route", route)
    try Self.check("decision", decision)
    try Self.check("tool", tool)
    let tokens = UsageLimits.maximumTokens
    try Self.check("input_tokens", inputTokens, tokens)
    try Self.check("cache_read_tokens", cacheReadTokens, tokens)
    try Self.check("cache_write_5m_tokens", cacheWrite5mTokens, tokens)
    try Self.check("cache_write_1h_tokens", cacheWrite1hTokens, tokens)
    try Self.check("output_tokens", outputTokens, tokens)
    try Self.check("reasoning_tokens", reasoningTokens, tokens)
    try Self.check("web_searches", webSearches, tokens)
    try Self.check("duration_ms", durationMilliseconds, UsageLimits.maximumDurationMilliseconds)
    try Self.check("first_token_ms", firstTokenMilliseconds, UsageLimits.maximumDurationMilliseconds)
    try Self.check("cost_microusd", costMicrodollars, UsageLimits.maximumCostMicrodollars)
    if let saved = savedMicrodollars, saved.magnitude > UInt64(UsageLimits.maximumCostMicrodollars) {
      throw UsageError(
        .invalidRow, "saved_microusd is \(saved), beyond the bound of \(UsageLimits.maximumCostMicrodollars)."
      )
    }
    if let status, !(100...599).contains(status) {
      throw UsageError(.invalidRow, "status is \(status), which is no HTTP status (100 to 599).")
    }
    if let time, !UTCInstant.supported.contains(time) {
      throw UsageError(.invalidRow, "time is outside the years 1970 to 9999.")
    }
  }

  private static func check(_ name: String, _ value: Int64?, _ maximum: Int64) throws(UsageError) {
    guard let value else { return }
    if value < 0 {
      throw UsageError(.invalidRow, "\(name) is negative (\(value)); leave it out when it is unknown.")
    }
    if value > maximum {
      throw UsageError(.invalidRow, "\(name) is \(value), beyond the bound of \(maximum).")
    }
  }

  private static func check(
    _ name: String, _ value: String?, isRequired: Bool = false
  ) throws(UsageError) {
    guard let value else { return }
    if value.isEmpty, isRequired { throw UsageError(.invalidRow, "\(name) is empty.") }
    if value.utf8.count > UsageLimits.maximumTextBytes {
      throw UsageError(
        .invalidRow,
        "\(name) is \(value.utf8.count) bytes long, beyond the bound of \(UsageLimits.maximumTextBytes).")
    }
    // A NUL ends the text for most readers of the file, so two rows could look like one.
    if value.utf8.contains(0) { throw UsageError(.invalidRow, "\(name) holds a NUL byte.") }
  }
}
