// SPDX-License-Identifier: Apache-2.0

/// What is known of a running worker at one moment, in ages.
struct WorkerSigns: Hashable, Sendable {
  /// A claim that the worker holds.
  struct Claim: Hashable, Sendable {
    /// The inbound message's id.
    var message: String
    /// How long it has been held; nil when its time cannot be read, and then nothing follows from it.
    var age: Duration?
    /// The longest that the worker said it may take.
    var toolTime = Duration.zero
    /// Whether the worker gave a sign after it had taken the claim.
    var heartbeatIsNewer: Bool
  }

  /// How long it has been running.
  var uptime: Duration
  /// How long ago it gave a sign; nil when it never did.
  var heartbeatAge: Duration?
  /// What it holds.
  var claims: [Claim] = []
}

/// Whether a worker is to be killed, decided by ages alone (row E01).
enum WorkerHealth: Hashable, Sendable {
  /// It goes on.
  case fine
  /// No heartbeat for longer than the ceiling.
  case silent
  /// It sits on this message and gave no sign since it took it.
  case stuck(message: String)

  /// Judges a worker.
  ///
  /// No age counts for more than the worker's own: a heartbeat or a claim that is older than the process was
  /// left by another (row E02).
  static func judge(_ signs: WorkerSigns, by policy: WorkerPolicy) -> WorkerHealth {
    guard signs.uptime >= policy.spawnGrace else { return .fine }
    let silence = min(signs.heartbeatAge ?? signs.uptime, signs.uptime)
    let declared = signs.claims.map(\.toolTime).reduce(policy.toolTime, max)
    if silence > max(policy.heartbeatCeiling, declared) { return .silent }
    for claim in signs.claims {
      guard let age = claim.age, !claim.heartbeatIsNewer else { continue }
      let limit = max(policy.claimCeiling, max(policy.toolTime, claim.toolTime))
      if min(age, signs.uptime) > limit { return .stuck(message: claim.message) }
    }
    return .fine
  }
}
