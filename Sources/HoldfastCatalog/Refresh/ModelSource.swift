// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// Asks providers what they offer.
public protocol ModelSource: Sendable {
  /// All pages of a provider's list.
  ///
  /// It ends soon after its task was cancelled.
  /// - Parameters:
  ///   - provider: with the credential it is asked with.
  ///   - time: what the models are stamped with.
  /// - Throws: ``CatalogError`` `provider`, in one sentence that holds no credential.
  func models(of provider: Provider, at time: UTCInstant) async throws -> ModelList
}
