// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// What the providers were last known to offer, held in memory: a value, so that a request may be routed by it without
/// asking anything.
public struct CatalogSnapshot: Sendable {
  /// One provider's part.
  public struct Entry: Sendable, Hashable {
    /// The provider's name.
    public var provider: String
    /// The API it speaks.
    public var kind: ProviderKind
    /// Whether requests without a provider in their path may go to it, and whether it is asked for its models.
    public var isEnabled: Bool
    /// Its models as last listed, in the provider's order; a genuine empty list is empty with a stamp.
    public var models: [CatalogModel]
    /// When it last listed them; nil: never.
    public var fetchedAt: UTCInstant?

    /// A provider's part.
    public init(
      provider: String, kind: ProviderKind, isEnabled: Bool = true, models: [CatalogModel] = [],
      fetchedAt: UTCInstant? = nil
    ) {
      self.provider = provider
      self.kind = kind
      self.isEnabled = isEnabled
      self.models = models
      self.fetchedAt = fetchedAt
    }
  }

  /// All providers, by name, in the order of their names.
  public let entries: [Entry]
  private let places: [String: Int]
  /// Where each name is: the id first, then aliases of providers that have no such id.
  private let names: [String: [Place]]

  private struct Place {
    var entry: Int
    var model: Int
    var isAlias: Bool
  }

  /// A catalogue without providers.
  public static let empty = CatalogSnapshot([])

  /// A catalogue; of several entries for one provider the last counts.
  public init(_ entries: [Entry]) {
    var byName: [String: Entry] = [:]
    for entry in entries { byName[entry.provider] = entry }
    let sorted = byName.values.sorted { $0.provider < $1.provider }
    var places: [String: Int] = [:]
    var names: [String: [Place]] = [:]
    for (index, entry) in sorted.enumerated() {
      places[entry.provider] = index
      for (number, model) in entry.models.enumerated() {
        names[model.id, default: []].append(Place(entry: index, model: number, isAlias: false))
        for alias in model.aliases where alias != model.id {
          names[alias, default: []].append(Place(entry: index, model: number, isAlias: true))
        }
      }
    }
    self.entries = sorted
    self.places = places
    self.names = names
  }

  /// The provider's part; nil for a name nobody configured.
  public subscript(provider: String) -> Entry? { places[provider].map { entries[$0] } }

  /// Whether no provider has listed a model yet.
  public var isEmpty: Bool { names.isEmpty }

  /// Those that go by a name, one a provider at most: by its id, or else by the first alias that fits.
  ///
  /// - Parameter includingDisabled: also those of providers that were disabled.
  /// - Returns: in the order of the providers' names.
  public func lookup(_ name: String, includingDisabled: Bool = false) -> [CatalogModel] {
    var chosen: [Int: Place] = [:]
    for place in names[name] ?? [] where includingDisabled || entries[place.entry].isEnabled {
      if let earlier = chosen[place.entry], !earlier.isAlias || place.isAlias { continue }
      chosen[place.entry] = place
    }
    return chosen.values.sorted { $0.entry < $1.entry }.map { entries[$0.entry].models[$0.model] }
  }

  /// All models, by provider and then in the provider's order.
  public var models: [CatalogModel] { entries.flatMap(\.models) }
}
