// SPDX-License-Identifier: Apache-2.0

/// The bounds beyond which a value cannot be true (failure D15).
public enum UsageLimits {
  /// The most tokens one request may count in one column: 10^12, a million times the largest context known.
  public static let maximumTokens: Int64 = 1_000_000_000_000
  /// The longest text in any column, in UTF-8 bytes.
  public static let maximumTextBytes = 1024
  /// The longest duration of a request, in milliseconds: 31 days.
  public static let maximumDurationMilliseconds: Int64 = 31 * 86_400_000
  /// The largest cost of one request, in micro-dollars: ten million dollars.
  public static let maximumCostMicrodollars: Int64 = 10_000_000_000_000
}
