// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// The host's side of mailboxes: what it sends to workers, what they sent, and what became of both. Implemented on
/// SQLite by ``SQLiteMailboxStore``.
///
/// Every call is about one mailbox, and what is wrong with one is told for that one alone (row E03).
public protocol MailboxStore: Sendable {
  /// Puts a message into a mailbox, durably, and makes the mailbox when it is missing.
  ///
  /// A message whose id is there with the same kind and content changes nothing; with another content it is kept
  /// under a new id, and the receipt says so (row E12).
  ///
  /// - Throws: ``MailboxError`` `invalid`; a store's own error when it cannot be written.
  @discardableResult
  func send(_ message: NewMailboxMessage, to address: MailboxAddress) async throws -> MailboxReceipt

  /// Takes a message back that is not done with. Returns whether there was anything to take back.
  @discardableResult
  func cancel(_ id: String, in address: MailboxAddress) async throws -> Bool

  /// Brings what the worker wrote to where the host acts on it: what it finished, and what it sent (rows E07, E08).
  @discardableResult
  func drain(_ address: MailboxAddress) async throws -> MailboxDrain

  /// What the worker sent and nobody has taken yet, in its order; drains first. What is not to be delivered yet is
  /// left out before it is counted (row E11).
  func receive(from address: MailboxAddress, limit: Int, after seq: Int64?) async throws -> OutboundPage

  /// Marks a message of the worker's as delivered; doing it again changes nothing.
  ///
  /// - Throws: ``MailboxError`` `notFound`.
  @discardableResult
  func acknowledge(_ id: String, in address: MailboxAddress) async throws -> MailboxReceipt

  /// The messages that workers have taken and not finished, each for the try at hand.
  func claims(in address: MailboxAddress) async throws -> [MailboxClaim]

  /// Gives up the tries that workers up to an incarnation hold: those workers are known to be dead. Drain first, so
  /// that what they finished counts. Returns how many.
  @discardableResult
  func releaseClaims(through incarnation: Int64, in address: MailboxAddress) async throws -> Int

  /// How many messages are due that start a worker.
  func dueCount(in address: MailboxAddress) async throws -> Int

  /// What may be delivered now, in the worker's order, so many of each kind: what may not is left out before anything
  /// is counted, and no kind crowds out another (row E11). What was tried and waits holds back what comes after it of
  /// its kind; what cannot be read becomes a dead letter, so that nothing waits behind it (row E13).
  func dueDeliveries(in address: MailboxAddress, perKind limit: Int, now: UTCInstant) async throws
    -> [DueDelivery]

  /// Writes down that a delivery is about to be tried, and when again should nothing more be heard of it: before the
  /// attempt, so that a host that is killed in it tries again (row E04). Returns false when it is not pending any more,
  /// or not due at `now`: another host is trying it.
  func beginDelivery(
    _ id: String, in address: MailboxAddress, nextAttempt: UTCInstant, now: UTCInstant
  ) async throws -> Bool

  /// Writes down that an attempt failed for a reason that may pass, and when the next is due.
  func postponeDelivery(
    _ id: String, in address: MailboxAddress, error: String, nextAttempt: UTCInstant
  ) async throws

  /// Gives a message of the worker's up: it becomes a dead letter with its bytes, and the worker is told by a message of
  /// kind `delivery-failed`, in one step. Returns false when it is not pending any more.
  @discardableResult
  func giveUpDelivery(
    _ id: String, in address: MailboxAddress, reason: String, error: String?
  ) async throws -> Bool

  /// How things are with a mailbox; drains first.
  func summary(of address: MailboxAddress) async throws -> MailboxSummary

  /// Messages for the worker of the states wanted, in their order; drains first.
  func messages(
    in address: MailboxAddress, states: Set<InboundStatus>, limit: Int, after seq: Int64?
  ) async throws -> InboundPage

  /// The messages that went no further, the oldest first; those put back since are left out.
  func deadLetters(in address: MailboxAddress) async throws -> DeadLetterList

  /// Puts dead letters back to be tried again, those of these ids or, when nil, all. Returns how many.
  @discardableResult
  func retry(_ ids: [String]?, in address: MailboxAddress) async throws -> Int

  /// Keeps a schedule, and makes the mailbox when it is missing. In place of one with its name it is due when that was,
  /// if both go by the same rule, else from now on; and it is paused if that was.
  ///
  /// - Throws: ``MailboxError`` `invalid`: what is wrong with its expression, its zone or anything else.
  @discardableResult
  func putSchedule(
    _ schedule: NewMailboxSchedule, in address: MailboxAddress, now: UTCInstant
  ) async throws -> MailboxSchedule

  /// The schedules of a mailbox, by name; those that were ended, too.
  func schedules(in address: MailboxAddress) async throws -> ScheduleList

  /// Has a schedule send nothing until it is resumed: times that come meanwhile are not missed.
  ///
  /// - Throws: ``MailboxError`` `notFound`; `refused` for one that was ended.
  @discardableResult
  func pauseSchedule(_ series: String, in address: MailboxAddress) async throws -> MailboxSchedule

  /// Has a schedule that was paused or retired send again, from its next time on.
  ///
  /// - Throws: ``MailboxError`` `notFound`; `refused` for one that was cancelled; `invalid` when it cannot be run.
  @discardableResult
  func resumeSchedule(
    _ series: String, in address: MailboxAddress, now: UTCInstant
  ) async throws -> MailboxSchedule

  /// Ends a schedule; its messages that wait stay.
  ///
  /// - Throws: ``MailboxError`` `notFound`.
  @discardableResult
  func cancelSchedule(_ series: String, in address: MailboxAddress) async throws -> MailboxSchedule

  /// Sends a message of a schedule at once, beside those of its times; of a paused one, too.
  ///
  /// - Throws: ``MailboxError`` `notFound`; `refused` for one that was ended.
  @discardableResult
  func runSchedule(
    _ series: String, in address: MailboxAddress, now: UTCInstant
  ) async throws -> MailboxReceipt

  /// Runs the schedules that are due: each is moved on and its message sent, with the id `SERIES@TIME`, in one step, so
  /// that of many hosts one does it, and once (row E10). One that cannot be run any more is retired with the reason.
  @discardableResult
  func runDueSchedules(in address: MailboxAddress, now: UTCInstant) async throws -> ScheduleRuns

  /// The mailboxes there are.
  func addresses() async throws -> [MailboxAddress]

  /// Lets go of every file.
  func close() async
}

/// What a drain brought over.
public struct MailboxDrain: Sendable, Hashable {
  /// Messages the worker had sent since the last one.
  public var sent = 0
  /// Tries the worker had finished since the last one.
  public var finished = 0
  /// Messages that went no further and are dead letters now.
  public var dead = 0

  /// One that brought nothing.
  public init() {}

  init(sent: Int, finished: Int, dead: Int) { (self.sent, self.finished, self.dead) = (sent, finished, dead) }
}

/// Messages for a worker, and the rows that could not be read.
public struct InboundPage: Sendable, Hashable {
  /// The messages, in their order.
  public var messages: [InboundMessage] = []
  /// What could not be read.
  public var faults: [MailboxFault] = []
  /// The `seq` behind which the next piece begins; nil at the end.
  public var next: Int64?
}

/// Dead letters, and those that could not be read.
public struct DeadLetterList: Sendable, Hashable {
  /// The letters, the oldest first.
  public var letters: [DeadLetter] = []
  /// What could not be read.
  public var faults: [MailboxFault] = []
}

/// How things are with a mailbox.
public struct MailboxSummary: Sendable, Hashable, Codable {
  /// Whose it is.
  public var mailbox: MailboxAddress
  /// Messages the worker is not done with.
  public var pending = 0
  /// Those of them that may be worked on now.
  public var due = 0
  /// Those of them that a worker has taken.
  public var claimed = 0
  /// Messages the worker is done with.
  public var completed = 0
  /// Messages of the worker's that nobody has taken yet.
  public var undelivered = 0
  /// Messages of the worker's that were delivered.
  public var delivered = 0
  /// Messages of either direction that went no further and were not put back.
  public var deadLetters = 0
  /// The worker's number; 0 before the first.
  public var incarnation: Int64 = 0
  /// What the host last knew of the worker, as in `running`.
  public var worker = "stopped"
  /// Whether a worker is wanted.
  public var wanted = true
  /// When the worker last said that it is well; nil when it has not.
  public var heartbeat: UTCInstant?
  /// Why the worker's file could not be read, and so ``claimed`` is not known and the rest may lag.
  public var fault: String?

  private enum CodingKeys: String, CodingKey {
    case mailbox, pending, due, claimed, completed, undelivered, delivered, incarnation, worker, wanted,
      heartbeat
    case fault
    case deadLetters = "dead_letters"
  }

  /// An empty mailbox.
  public init(_ mailbox: MailboxAddress) { self.mailbox = mailbox }
}
