// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// How patiently messages are delivered (row E05).
public struct DeliveryPolicy: Sendable, Hashable {
  /// The pause after the first attempt that failed; doubled with each.
  public var firstPause = Duration.seconds(1)
  /// No pause is longer, but for one a receiver asks for.
  public var longestPause = Duration.seconds(60)
  /// So long after the first attempt the last one is made.
  public var patience = Duration.seconds(30 * 60)
  /// So many attempts are made at most, whatever the machine's clock does in the meantime.
  public var maximumAttempts = 100

  /// The defaults: 1 s doubling to 60 s, for half an hour.
  public init() {}

  /// What becomes of a message after an attempt.
  public enum Verdict: Sendable, Hashable {
    /// It is delivered.
    case delivered
    /// It is tried again, not before `next`.
    case again(next: UTCInstant, error: String)
    /// It is a dead letter.
    case dead(reason: String, error: String)
  }

  /// The pause after so many attempts.
  public func pause(afterAttempts attempts: Int) -> Duration {
    var pause = firstPause
    for _ in 1..<max(attempts, 1) where pause < longestPause { pause *= 2 }
    return min(pause, longestPause)
  }

  /// When a message is tried again should nothing more be heard of the attempt that begins now: not while that may
  /// still go on.
  public func nextAttempt(unheardSince now: UTCInstant, attempt: Int, timeLimit: Duration) -> UTCInstant {
    now.advanced(by: timeLimit + pause(afterAttempts: attempt))
  }

  /// Decides about a message.
  ///
  /// - Parameters:
  ///   - attempt: which attempt it was, from 1 on.
  ///   - first: when the first was made.
  public func verdict(
    _ outcome: DeliveryOutcome, attempt: Int, first: UTCInstant, now: UTCInstant
  ) -> Verdict {
    switch outcome {
    case .delivered: return .delivered
    case .permanent(let reason): return .dead(reason: "rejected", error: Self.bounded(reason))
    case .transient(let reason, let retryAfter):
      let end = first.advanced(by: patience)
      guard now < end, attempt < maximumAttempts else {
        return .dead(reason: "tries-used-up", error: Self.bounded(reason))
      }
      let wanted = max(pause(afterAttempts: attempt), min(max(retryAfter ?? .zero, .zero), patience))
      // The last attempt is at the end, not before it. A clock that was set back does not lengthen the wait.
      let next = min(now.advanced(by: wanted), end, now.advanced(by: patience))
      return .again(next: next, error: Self.bounded(reason))
    }
  }

  /// What is kept of an error, which may be anything a program printed or a server sent.
  private static func bounded(_ text: String) -> String {
    let most = 1000
    let scalars = text.unicodeScalars.prefix(most + 1)
    return scalars.count > most ? String(String.UnicodeScalarView(scalars.prefix(most))) + "…" : text
  }
}
