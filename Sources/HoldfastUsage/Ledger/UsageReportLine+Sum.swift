// SPDX-License-Identifier: Apache-2.0

extension UsageReportLine {
  /// A line in which nothing has been counted yet.
  public init(emptyFor key: String?) {
    self.init(
      key: key, requests: 0, inputTokens: 0, cacheReadTokens: 0, cacheWrite5mTokens: 0, cacheWrite1hTokens: 0,
      outputTokens: 0, costMicrodollars: 0, unpriced: 0, unknown: 0, incomplete: 0, savedMicrodollars: 0,
      errors: 0)
  }

  /// Adds the numbers of another line; the key stays.
  public mutating func add(_ line: UsageReportLine) {
    requests += line.requests
    inputTokens += line.inputTokens
    cacheReadTokens += line.cacheReadTokens
    cacheWrite5mTokens += line.cacheWrite5mTokens
    cacheWrite1hTokens += line.cacheWrite1hTokens
    outputTokens += line.outputTokens
    costMicrodollars += line.costMicrodollars
    unpriced += line.unpriced
    unknown += line.unknown
    incomplete += line.incomplete
    savedMicrodollars += line.savedMicrodollars
    errors += line.errors
  }
}
