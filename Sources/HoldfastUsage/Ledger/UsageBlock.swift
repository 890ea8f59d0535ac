// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// Five hours of use as subscriptions meter them: a block begins with the hour of its first request and ends five hours
/// later; the next begins with the hour of the first request after that.
public struct UsageBlock: Sendable, Hashable, Encodable {
  /// How fast an active block is used up.
  public struct Burn: Sendable, Hashable, Codable {
    /// Tokens of all kinds a minute.
    public var tokensPerMinute: Double
    /// Micro-dollars an hour.
    public var costMicrodollarsPerHour: Double

    enum CodingKeys: String, CodingKey {
      case tokensPerMinute = "tokens_per_minute"
      case costMicrodollarsPerHour = "cost_microusd_per_hour"
    }
  }

  /// What an active block comes to when it goes on as it has.
  public struct Projection: Sendable, Hashable, Codable {
    /// Tokens of all kinds.
    public var tokens: Int64
    /// Micro-dollars.
    public var costMicrodollars: Int64

    enum CodingKeys: String, CodingKey {
      case tokens
      case costMicrodollars = "cost_microusd"
    }
  }

  /// How long a block is, in hours.
  public static let hours: Int64 = 5

  /// The hour it begins with.
  public var start: UTCInstant
  /// Five hours later.
  public var end: UTCInstant
  /// Whether it has not ended yet.
  public var isActive: Bool
  /// When its first request was made; nil where its rows have been removed for their age.
  public var first: UTCInstant?
  /// When its last request was made.
  public var last: UTCInstant?
  /// Its sums; their key is nil.
  public var line: UsageReportLine
  /// How fast it is used up, from its first request (or its start) until now, a minute at least; nil when it has ended.
  public var burn: Burn?
  /// What it comes to at that rate; nil when it has ended.
  public var projection: Projection?

  /// A block of which only its time and its sums are known.
  public init(start: UTCInstant, isActive: Bool, line: UsageReportLine) {
    self.start = start
    end = start.advanced(by: .seconds(Self.hours * 3600))
    self.isActive = isActive
    self.line = line
  }

  private enum CodingKeys: String, CodingKey {
    case start, end, active, first, last, burn, projection
  }

  /// Writes the line's fields, and the block's beside them.
  public func encode(to encoder: any Encoder) throws {
    try line.encode(to: encoder)
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(start, forKey: .start)
    try fields.encode(end, forKey: .end)
    try fields.encode(isActive, forKey: .active)
    try fields.encode(first, forKey: .first)
    try fields.encode(last, forKey: .last)
    try fields.encode(burn, forKey: .burn)
    try fields.encode(projection, forKey: .projection)
  }

  /// The blocks of hours in which there was something, the earliest first.
  ///
  /// - Parameters:
  ///   - hours: the sums of each, by hours since 1970, in order. The first begins a block: it is one before which there
  ///     was nothing for five hours, or the first there is.
  ///   - now: what has not ended by then is active.
  static func blocks(of hours: [(hour: Int64, line: UsageReportLine)], now: UTCInstant) -> [UsageBlock] {
    var blocks: [UsageBlock] = []
    var end = Int64.min
    for (hour, line) in hours {
      if hour >= end {
        end = hour + Self.hours
        let isActive = now.milliseconds < end * 3_600_000
        blocks.append(
          UsageBlock(
            start: UTCInstant(milliseconds: hour * 3_600_000), isActive: isActive,
            line: UsageReportLine(emptyFor: nil)))
      }
      blocks[blocks.count - 1].line.add(line)
    }
    return blocks
  }

  /// Works out the rates of an active block.
  mutating func project(now: UTCInstant) {
    guard isActive else { return }
    let begin = first ?? start
    let elapsed = Double(max(60_000, now.milliseconds - begin.milliseconds))
    let rest = Double(max(0, end.milliseconds - max(now, begin).milliseconds))
    let tokens = Double(line.totalTokens) / elapsed
    let cost = Double(line.costMicrodollars) / elapsed
    burn = Burn(tokensPerMinute: tokens * 60_000, costMicrodollarsPerHour: cost * 3_600_000)
    projection = Projection(
      tokens: line.totalTokens + Int64(tokens * rest),
      costMicrodollars: line.costMicrodollars + Int64(cost * rest))
  }
}
