// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine
public import HoldfastMailbox

/// How a worker ended its work on a message.
public enum MailboxWorkerEnd: Sendable, Hashable {
  /// It is done.
  case completed
  /// It did not work this time, for this reason.
  case failed(String)
  /// It never will, for this reason.
  case refused(String)
}

/// The other side of a mailbox, as ``MailboxStoreConformance`` drives it.
public protocol MailboxWorker: Sendable {
  /// The first message that it may take now, claimed; nil when there is none.
  func take() async throws -> String?
  /// Claims the first try of a message at a moment, for a minute.
  func claim(_ message: String, at now: UTCInstant) async throws -> Bool
  /// Ends its work on a message; false when another has taken over.
  func finish(_ message: String, as end: MailboxWorkerEnd) async throws -> Bool
  /// Says something.
  func say(_ id: String, kind: String, _ content: String, deliverAfter: UTCInstant?) async throws
}

/// What every `MailboxStore` promises, asked of one implementation.
///
/// A method is a promise: it returns when it is kept and throws ``BrokenPromise`` when it is not. Each wants stores that
/// nothing has been written to, in which a message that failed is due again at once; make one of these for each.
public struct MailboxStoreConformance: StoreConformance {
  typealias Refusal = MailboxError

  /// Opens the mailboxes; called again, the same once more, as another process would have them.
  public typealias Opening = @Sendable () async throws -> any MailboxStore
  /// A worker of a mailbox that has been made.
  public typealias Working =
    @Sendable (
      _ address: MailboxAddress, _ incarnation: Int64, _ name: String
    ) async throws -> any MailboxWorker
  /// Notes that a mailbox's worker has this number now.
  public typealias Counting = @Sendable (_ address: MailboxAddress, _ incarnation: Int64) async throws -> Void

  private let opening: Opening
  private let working: Working
  private let counting: Counting

  /// The promises, to be asked of the stores that `open` opens.
  public init(open: @escaping Opening, worker: @escaping Working, count: @escaping Counting) {
    (opening, working, counting) = (open, worker, count)
  }

  /// The stores of one promise.
  struct Trial: Sendable {
    fileprivate let conformance: MailboxStoreConformance
    fileprivate let opened = Monitor<[any MailboxStore]>([])
    /// The mailbox it is about.
    let address: MailboxAddress

    func store() async throws -> any MailboxStore {
      let store = try await conformance.opening()
      opened.withLock { $0.append(store) }
      return store
    }

    func worker(_ incarnation: Int64 = 1, _ name: String = "w") async throws -> any MailboxWorker {
      try await conformance.working(address, incarnation, name)
    }

    func count(_ incarnation: Int64) async throws { try await conformance.counting(address, incarnation) }
  }

  /// Runs a promise, and closes what it opened, whether it is kept or not.
  func trial(_ body: (Trial) async throws -> Void) async throws {
    let trial = Trial(conformance: self, address: try MailboxAddress("writer/session-1"))
    try await finishing {
      for store in trial.opened.withLock({ $0 }) { await store.close() }
    } _: {
      try await body(trial)
    }
  }

  /// A message.
  static func message(_ id: String?, _ json: String = "1", kind: String = "message") throws
    -> NewMailboxMessage
  {
    NewMailboxMessage(id: id, kind: kind, content: try MailboxContent(json: json))
  }
}
