// SPDX-License-Identifier: Apache-2.0

/// A model at a provider: what a request may be sent to, and what may cool down.
public struct RouteID: Codable, Sendable, Hashable, CustomStringConvertible {
  /// The provider's name.
  public var provider: String
  /// The model's id at that provider.
  public var model: String

  /// A route.
  public init(provider: String, model: String) {
    (self.provider, self.model) = (provider, model)
  }

  /// `provider/model`.
  public var description: String { "\(provider)/\(model)" }
}
