// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// Which routes are left alone for a while because they failed, as a pure value: it is told of outcomes with their
/// time, and asked with the time.
///
/// One failure is a strike and changes nothing. A second within 210 s has the route cool down for 10 s; each further
/// failure, once that is over, for twice as long as the last, up to 600 s. A success forgets all of it, and so do
/// 210 s without a failure after the route was free again. What a provider asks for itself (Retry-After) is granted
/// at once, up to 600 s. Failures of requests that were under way before the cool-down began are not counted again.
///
/// A route is a model at a provider; a failure to reach the provider at all counts for all of its routes (see
/// ``RouteID/everything(of:)``). A clock that was set back ends the cool-downs it would prolong.
public struct CooldownMachine: Sendable, Equatable {
  /// How far apart two strikes may be.
  public static let window = Duration.seconds(210)
  /// The first cool-down.
  public static let shortest = Duration.seconds(10)
  /// The longest.
  public static let longest = Duration.seconds(600)

  /// A route that cools down, or has a strike.
  public struct Record: Codable, Sendable, Hashable {
    /// The provider.
    public var provider: String
    /// The model; nil for all that the provider has.
    public var model: String?
    /// Cool-downs in a row; 0 for a single strike.
    public var cooldowns: Int
    /// When it last failed.
    public var failedAt: UTCInstant
    /// When it is tried again; nil for a single strike.
    public var until: UTCInstant?

    private enum CodingKeys: String, CodingKey {
      case provider, model, cooldowns, until
      case failedAt = "failed_at"
    }
  }

  private var records: [RouteID: Record] = [:]

  /// Nothing has failed yet.
  public init() {}

  /// Notes a failure.
  ///
  /// - Parameters:
  ///   - at: the time now.
  ///   - retryAfter: how long the provider asked to be left alone.
  public mutating func failure(_ route: RouteID, at now: UTCInstant, retryAfter: Duration? = nil) {
    forget(at: now)
    var record =
      records[route]
      ?? Record(
        provider: route.provider, model: route.isWholeProvider ? nil : route.model, cooldowns: -1,
        failedAt: now)
    let isCooling = record.until.map { $0 > now } ?? false
    if !isCooling {
      record.cooldowns += 1
      record.failedAt = now
      record.until = record.cooldowns == 0 ? nil : now.advanced(by: Self.length(record.cooldowns))
    }
    if let retryAfter, retryAfter > .zero {
      let until = now.advanced(by: min(retryAfter, Self.longest))
      if record.until.map({ $0 < until }) ?? true { record.until = until }
    }
    records[route] = record
  }

  /// Notes a success: the route works, and so its provider can be reached.
  ///
  /// - Returns: whether there was anything to forget.
  @discardableResult
  public mutating func success(_ route: RouteID) -> Bool {
    if records.isEmpty { return false }
    let had = records.removeValue(forKey: route) != nil
    return records.removeValue(forKey: .everything(of: route.provider)) != nil || had
  }

  /// Until when a route is left alone, by its own failures or its provider's; nil when it may be tried.
  public func until(_ route: RouteID, at now: UTCInstant) -> UTCInstant? {
    if records.isEmpty { return nil }
    return [route, .everything(of: route.provider)].compactMap { route in
      records[route].flatMap { Self.isOver($0, at: now) ? nil : $0.until }
    }.max()
  }

  /// Takes over what another one knew, but for routes of which this one knows better.
  public mutating func recall(_ earlier: CooldownMachine) {
    records.merge(earlier.records) { own, _ in own }
  }

  /// What cools down just now, and what has a strike, in the order of their names.
  public func current(at now: UTCInstant) -> [Record] {
    records.values.filter { !Self.isForgotten($0, at: now) }
      .map { record in
        var record = record
        if Self.isOver(record, at: now) { record.until = nil }
        return record
      }
      .sorted { ($0.provider, $0.model ?? "") < ($1.provider, $1.model ?? "") }
  }

  /// Drops what has no effect any more.
  public mutating func forget(at now: UTCInstant) {
    records = records.filter { !Self.isForgotten($0.value, at: now) }
  }

  private static func length(_ cooldowns: Int) -> Duration {
    // Six doublings are beyond the longest.
    min(shortest * (1 << min(cooldowns - 1, 6)), longest)
  }

  private static func isOver(_ record: Record, at now: UTCInstant) -> Bool {
    guard let until = record.until else { return true }
    return until <= now || until > now.advanced(by: longest)
  }

  private static func isForgotten(_ record: Record, at now: UTCInstant) -> Bool {
    // The clock was set back past the failure: what is to come cannot be told from it.
    if record.failedAt > now { return true }
    return (record.until ?? record.failedAt).advanced(by: window) < now
  }
}

extension CooldownMachine: Codable {
  /// Where the gateway keeps it in the state store.
  public static let stateNamespace = "routing"
  /// Its key there.
  public static let stateKey = "cooldowns"

  /// Reads the list of records.
  public init(from decoder: any Decoder) throws {
    var container = try decoder.unkeyedContainer()
    while !container.isAtEnd {
      let record = try container.decode(Record.self)
      records[RouteID(provider: record.provider, model: record.model ?? RouteID.whole)] = record
    }
  }

  /// Writes the list of records, in the order of their names.
  public func encode(to encoder: any Encoder) throws {
    var container = encoder.unkeyedContainer()
    let sorted = records.values.sorted { ($0.provider, $0.model ?? "") < ($1.provider, $1.model ?? "") }
    for record in sorted { try container.encode(record) }
  }
}

extension RouteID {
  /// No model has an empty name.
  static let whole = ""

  /// All models of a provider.
  public static func everything(of provider: String) -> RouteID { RouteID(provider: provider, model: whole) }

  /// Whether it stands for all models of its provider.
  public var isWholeProvider: Bool { model == Self.whole }
}
