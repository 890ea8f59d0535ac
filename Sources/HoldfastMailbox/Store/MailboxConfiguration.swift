// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// How mailboxes are kept.
public struct MailboxConfiguration: Sendable, Hashable {
  /// Which journal their files have, where nothing else is said of the session or the agent: a rollback journal where
  /// the directory is shared with a virtual machine or another host, whatever the filesystem says of itself.
  public var journal = StateFileConfiguration.Journal.automatic
  /// That of an agent's sessions.
  public var journalOfAgent: [String: StateFileConfiguration.Journal] = [:]
  /// That of a session; it has the last word.
  public var journalOfSession: [MailboxAddress: StateFileConfiguration.Journal] = [:]
  /// How long a call waits for its turn.
  public var patience = Duration.seconds(60)
  /// How long a look into the worker's file waits while the worker is in the middle of something; what is not seen
  /// now is seen with the next.
  public var lookPatience = Duration.seconds(2)
  /// The pause before a message is tried again that its worker failed or was lost with: doubled with each try.
  public var firstPause = Duration.seconds(1)
  /// No pause is longer.
  public var longestPause = Duration.seconds(60)
  /// How long what is over is kept: messages that were completed or cancelled, messages of workers' that were
  /// delivered, dead letters that were put back. Zero keeps them for ever.
  public var retention = Duration.seconds(30 * 86_400)
  /// The most mailboxes whose files are kept open.
  public var maximumOpen = 256

  /// The defaults.
  public init() {}

  /// The journal of a mailbox's files. Whoever opens them in one process goes by the same: one who wants another would
  /// take them out of the mode that the others use, or be refused for it.
  func journal(of address: MailboxAddress) -> StateFileConfiguration.Journal {
    journalOfSession[address] ?? journalOfAgent[address.agent] ?? journal
  }

  func inbound(of address: MailboxAddress) -> StateFileConfiguration {
    StateFileConfiguration(patience: patience, maximumReaders: 2, journal: journal(of: address))
  }

  /// What was over before it is removed; nil when everything is kept.
  func pruningTime(_ now: UTCInstant) -> UTCInstant? {
    guard retention > .zero else { return nil }
    return UTCInstant(milliseconds: max(0, now.milliseconds - Self.milliseconds(retention)))
  }

  /// In milliseconds.
  func pause(afterTries tries: Int64) -> Int64 {
    let (first, longest) = (Self.milliseconds(firstPause), Self.milliseconds(longestPause))
    return min(longest, first << min(max(tries, 0), 20))
  }

  private static func milliseconds(_ duration: Duration) -> Int64 {
    duration.components.seconds * 1000 + duration.components.attoseconds / 1_000_000_000_000_000
  }
}
