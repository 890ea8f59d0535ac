// SPDX-License-Identifier: Apache-2.0

/// How patient the supervisor is with one worker, and how it goes on after an end.
public struct WorkerPolicy: Hashable, Sendable {
  /// When a worker is started.
  public enum Start: String, Hashable, Sendable {
    /// As long as it is wanted it runs; an end is followed by a start.
    case always
    /// When a message that wakes is due.
    case onMessage = "on-message"
  }

  /// When it is started.
  public var start = Start.onMessage
  /// A worker whose heartbeat is older is killed (row E01).
  public var heartbeatCeiling = Duration.seconds(30 * 60)
  /// A worker that holds a claim for longer, and gave no sign since it took it, is killed (row E01).
  public var claimCeiling = Duration.seconds(60)
  /// The longest that a tool of this worker takes, as declared: it raises both ceilings.
  public var toolTime = Duration.zero
  /// How long after its start nothing is held against a worker.
  public var spawnGrace = Duration.seconds(60)
  /// How long a worker has to end after SIGTERM before it is killed.
  public var stopGrace = Duration.seconds(10)
  /// The pause after the first end that was not wanted; each further one doubles it.
  public var firstPause = Duration.seconds(1)
  /// The longest of these pauses.
  public var longestPause = Duration.seconds(60)
  /// A worker that ran for so long is healthy: what was before it is forgotten.
  public var healthyAfter = Duration.seconds(5 * 60)
  /// So many ends in a row and the worker counts as broken.
  public var breakerEnds = 10
  /// A broken worker is tried again after this long, since what broke it may have passed.
  public var brokenPause = Duration.seconds(10 * 60)

  /// The usual patience.
  public init() {}

  /// The pause after so many ends in a row that were not wanted.
  func pause(afterEnds ends: Int) -> Duration {
    guard ends > 0 else { return .zero }
    if ends >= breakerEnds { return brokenPause }
    return min(longestPause, firstPause * (1 << min(ends - 1, 20)))
  }
}
