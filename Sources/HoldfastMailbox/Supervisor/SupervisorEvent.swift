// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// One thing that happened to one worker, as `holdfast supervise --json` prints it.
public struct SupervisorEvent: Sendable, Encodable {
  /// When.
  public var time: UTCInstant
  /// Whose worker.
  public var mailbox: MailboxAddress
  /// What.
  public var news: WorkerNews

  /// Makes an event.
  public init(mailbox: MailboxAddress, news: WorkerNews) {
    time = UTCInstant(milliseconds: UnixTime.now().milliseconds)
    self.mailbox = mailbox
    self.news = news
  }

  private enum CodingKeys: String, CodingKey {
    case time, mailbox, event, incarnation, pid, container, reason, exit, file, pages
    case pauseSeconds = "pause_seconds"
    case ends, stage, message, failures
  }

  /// Writes the fields that the event has.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(time.description, forKey: .time)
    try fields.encode(mailbox, forKey: .mailbox)
    try fields.encode(news.name, forKey: .event)
    switch news {
    case .started(let identity, let incarnation):
      try fields.encode(incarnation, forKey: .incarnation)
      try fields.encodeIfPresent(identity.process?.pid, forKey: .pid)
      try fields.encodeIfPresent(identity.container, forKey: .container)
    case .stopping(let reason), .killed(let reason), .stubborn(let reason):
      try fields.encode(reason, forKey: .reason)
    case .ended(let exit, let reason, let incarnation):
      try fields.encode(incarnation, forKey: .incarnation)
      try fields.encode(exit.description, forKey: .exit)
      try fields.encodeIfPresent(reason, forKey: .reason)
    case .recovered(let file, let pages):
      try fields.encode(file, forKey: .file)
      try fields.encode(pages, forKey: .pages)
    case .pausing(let pause, let ends):
      try fields.encode(pause / .seconds(1), forKey: .pauseSeconds)
      try fields.encode(ends, forKey: .ends)
    case .healthy: break
    case .troubled(let stage, let message, let failures):
      try fields.encode(stage, forKey: .stage)
      try fields.encode(message, forKey: .message)
      try fields.encode(failures, forKey: .failures)
    }
  }
}

extension WorkerNews {
  /// A sentence for a person, without whose worker it is.
  public var sentence: String {
    switch self {
    case .started(let identity, let incarnation):
      "started, number \(incarnation)"
        + (identity.process.map { ", process \($0.pid)" } ?? "")
        + (identity.container.map { ", container \($0)" } ?? "")
    case .stopping(let reason): "told to end: \(reason)"
    case .killed(let reason): "killed: \(reason)"
    case .stubborn(let reason): "killed and not gone yet: \(reason)"
    case .ended(let exit, let reason, let incarnation):
      "number \(incarnation) ended: \(exit)" + (reason.map { " (\($0))" } ?? "")
    case .recovered(let file, let pages):
      "a transaction it left half done in \(file) was undone (\(pages) pages)"
    case .pausing(let pause, let ends):
      "starts again in \(Int((pause / .seconds(1)).rounded())) s, after \(ends) ends in a row"
    case .healthy: "healthy again"
    case .troubled(let stage, let message, let failures):
      "trouble at \(stage), \(failures) in a row: \(message)"
    }
  }
}
