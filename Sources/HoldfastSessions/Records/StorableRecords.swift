// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine

// What every store does with what it is given before it keeps it.

extension NewMessage {
  /// The message with everything storable and its identity and time filled in, and the names of the fields that were
  /// repaired (row D01).
  ///
  /// - Throws: ``SessionError`` `invalid` for a message that cannot be kept: no role, a count below 0 or above 10^15, a
  ///   time that is none, a uid of no or too many characters.
  package func storable() throws(SessionError) -> (message: NewMessage, repaired: [String]) {
    var message = self
    var repaired: [String] = []
    func mend(_ name: String, _ text: inout String) {
      guard let mended = TextRepair.withoutNUL(text) else { return }
      text = mended
      repaired.append(name)
    }
    func mend(_ name: String, _ text: inout String?) {
      guard var some = text else { return }
      mend(name, &some)
      text = some
    }
    mend("role", &message.role)
    mend("uid", &message.uid)
    mend("tool_call_id", &message.toolCallID)
    mend("model", &message.model)
    mend("finish_reason", &message.finishReason)
    switch message.content {
    case .text(var text):
      mend("content", &text)
      message.content = .text(text)
    case .json(let value):
      let (mended, changed) = value.repaired()
      if changed { repaired.append("content") }
      message.content = .json(mended)
    }
    if let (mended, changed) = message.toolCalls?.repaired() {
      if changed { repaired.append("tool_calls") }
      message.toolCalls = mended
    }
    guard !message.role.isEmpty else { throw SessionError(.invalid, "A message's role is not empty.") }
    let counts = [
      message.inputTokens, message.cacheReadTokens, message.cacheWriteTokens, message.outputTokens,
      message.costMicrodollars,
    ]
    for (name, count) in zip(SessionSchema.measures, counts) {
      guard (0...1_000_000_000_000_000).contains(count ?? 0) else {
        throw SessionError(.invalid, "\(name) is a count from 0 to 10^15, not \(count ?? 0).")
      }
    }
    if let time = message.time { _ = try SessionTime.milliseconds(time) }
    if let uid = message.uid, !(1...1024).contains(uid.unicodeScalars.count) {
      throw SessionError(.invalid, "A message's uid has 1 to 1024 characters.")
    }
    message.uid = message.uid ?? UUID().uuidString.lowercased()
    message.time = message.time ?? SessionTime.text(SessionTime.now())
    return (message, repaired)
  }
}

extension NewSession {
  /// The session with every text storable, and the names of the fields that were repaired (row D01).
  package func storable() -> (session: NewSession, repaired: [String]) {
    var new = self
    var repaired: [String] = []
    func mend(_ name: String, _ field: WritableKeyPath<NewSession, String?>) {
      guard let mended = new[keyPath: field].flatMap(TextRepair.withoutNUL) else { return }
      new[keyPath: field] = mended
      repaired.append(name)
    }
    mend("source", \.source)
    mend("title", \.title)
    mend("model", \.model)
    mend("cwd", \.cwd)
    mend("git_branch", \.gitBranch)
    if let (metadata, changed) = new.metadata?.repaired() {
      new.metadata = metadata
      if changed { repaired.append("metadata") }
    }
    return (new, repaired)
  }

  /// - Throws: ``SessionError`` `invalid` for what is no session's id.
  package static func check(id: String) throws(SessionError) {
    guard (1...256).contains(id.unicodeScalars.count), !id.utf8.contains(0) else {
      throw SessionError(.invalid, "A session's id has 1 to 256 characters and no NUL.")
    }
  }
}
