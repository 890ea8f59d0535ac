// SPDX-License-Identifier: Apache-2.0

package import HoldfastEngine

/// A provider as `holdfast models providers --json` and `/api/models` tell of it.
package struct ProviderLine: Encodable, Sendable {
  package let status: ModelCatalog.ProviderStatus
  /// Until when it is not routed to, because it failed; nil when it is.
  package let cooldownUntil: UTCInstant?

  package init(_ status: ModelCatalog.ProviderStatus, cooldownUntil: UTCInstant?) {
    (self.status, self.cooldownUntil) = (status, cooldownUntil)
  }

  private enum CodingKeys: String, CodingKey {
    case name, kind, enabled, usable, models, error
    case lastSuccess = "last_success"
    case lastFailure = "last_failure"
    case cooldownUntil = "cooldown_until"
  }

  /// What is not known is null.
  package func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(status.name, forKey: .name)
    try fields.encode(status.kind, forKey: .kind)
    try fields.encode(status.isEnabled, forKey: .enabled)
    try fields.encode(status.isUsable, forKey: .usable)
    try fields.encode(status.models, forKey: .models)
    try fields.encode(status.lastSuccess, forKey: .lastSuccess)
    try fields.encode(status.lastFailure, forKey: .lastFailure)
    try fields.encode(status.error, forKey: .error)
    try fields.encode(cooldownUntil, forKey: .cooldownUntil)
  }
}
