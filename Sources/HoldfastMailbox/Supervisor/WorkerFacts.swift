// SPDX-License-Identifier: Apache-2.0

/// A claim as it stands in the worker's file.
public struct WorkerClaim: Hashable, Sendable {
  /// The inbound message's id.
  public var message: String
  /// Which try of the message it is for.
  public var attempt: Int64
  /// The incarnation of the worker that holds it.
  public var incarnation: Int64
  /// When it was taken, in milliseconds since 1970 by the worker's clock; nil when the row says nothing readable.
  public var claimedAt: Int64?
  /// Until when it holds without being renewed; nil when the row says nothing readable.
  public var leaseUntil: Int64?

  /// Makes a claim.
  public init(
    message: String, attempt: Int64, incarnation: Int64, claimedAt: Int64?, leaseUntil: Int64? = nil
  ) {
    self.message = message
    self.attempt = attempt
    self.incarnation = incarnation
    self.claimedAt = claimedAt
    self.leaseUntil = leaseUntil
  }

  /// How long the worker said it may take: the lease it asked for.
  var toolTime: Duration {
    guard let claimedAt, let leaseUntil, claimedAt > 0, leaseUntil > claimedAt,
      case let (length, false) = leaseUntil.subtractingReportingOverflow(claimedAt)
    else { return .zero }
    // A lease of a year says nothing; a day is more than any tool takes.
    return min(.milliseconds(length), .seconds(86_400))
  }
}

/// What a look at a mailbox told, each part by itself: a part that could not be read is nil, and nothing is
/// concluded from it (row E03).
public struct WorkerFacts: Hashable, Sendable {
  /// When the heartbeat file was last touched, in nanoseconds since 1970; nil when there is none.
  public var heartbeat: Int64?
  /// The claims that are held.
  public var claims: [WorkerClaim]?
  /// How many messages that wake a worker are due.
  public var due: Int?
  /// Whether the worker is wanted (the durable stop intent says otherwise).
  public var isWanted: Bool?
  /// A number that changes whenever the worker finishes or sends something.
  public var progress: Int64?

  /// Makes facts.
  public init(
    heartbeat: Int64? = nil, claims: [WorkerClaim]? = nil, due: Int? = nil, isWanted: Bool? = nil,
    progress: Int64? = nil
  ) {
    self.heartbeat = heartbeat
    self.claims = claims
    self.due = due
    self.isWanted = isWanted
    self.progress = progress
  }
}

/// Turns what is seen from look to look into ages, by a clock that nobody sets.
///
/// The stamps of a heartbeat and of a claim are by the wall clock of whoever wrote them, which may step or be
/// another machine's. So an age is how long *this* process has seen the stamp unchanged; only the order of two
/// stamps of the same worker is taken from the stamps.
struct WorkerWatch<Instant: InstantProtocol>: Hashable, Sendable
where Instant.Duration == Duration, Instant: Sendable {
  private struct ClaimKey: Hashable {
    var message: String
    var attempt: Int64
    var claimedAt: Int64?
  }

  private let spawned: Instant
  private let incarnation: Int64
  private var heartbeat: Int64?
  private var heartbeatSeen: Instant?
  private var claims: [ClaimKey: Instant] = [:]
  private var last: [WorkerClaim] = []

  /// A watch over a worker that was just started, its heartbeat cleared.
  init(incarnation: Int64, spawned: Instant) {
    self.incarnation = incarnation
    self.spawned = spawned
  }

  /// How long the worker has been running.
  func uptime(at now: Instant) -> Duration { spawned.duration(to: now) }

  /// Takes a look in and says what is known now.
  mutating func look(_ facts: WorkerFacts, at now: Instant) -> WorkerSigns {
    if let stamp = facts.heartbeat, stamp != heartbeat {
      heartbeat = stamp
      heartbeatSeen = now
    }
    if let held = facts.claims {
      // An earlier incarnation's claims are orphans, whatever they say (row E02).
      last = held.filter { $0.incarnation == incarnation }
      var seen: [ClaimKey: Instant] = [:]
      for claim in last { seen[Self.key(claim)] = claims[Self.key(claim)] ?? now }
      claims = seen
    }
    return WorkerSigns(
      uptime: uptime(at: now), heartbeatAge: heartbeatSeen.map { $0.duration(to: now) },
      claims: last.map { sign($0, at: now) })
  }

  private func sign(_ claim: WorkerClaim, at now: Instant) -> WorkerSigns.Claim {
    let seen = claims[Self.key(claim)]
    let heartbeatMilliseconds = heartbeat.map { $0 / 1_000_000 }
    let isNewer =
      if let heartbeatMilliseconds, let claimedAt = claim.claimedAt { heartbeatMilliseconds > claimedAt } else
      {
        false
      }
    return WorkerSigns.Claim(
      message: claim.message,
      age: claim.claimedAt == nil ? nil : seen.map { $0.duration(to: now) },
      toolTime: claim.toolTime, heartbeatIsNewer: isNewer)
  }

  private static func key(_ claim: WorkerClaim) -> ClaimKey {
    ClaimKey(message: claim.message, attempt: claim.attempt, claimedAt: claim.claimedAt)
  }
}
