// SPDX-License-Identifier: Apache-2.0

// The JSON of `holdfast sessions show`, `/api/sessions` and what lies below it: fields may be added, never renamed.

extension SessionTranscript: Encodable {
  private enum CodingKeys: String, CodingKey {
    case session, messages, next, previous, unreadable
  }

  /// Writes `{session, messages}`; `next` and `previous` where a piece was asked for and there is more; and
  /// `unreadable` for rows that were left out.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(session, forKey: .session)
    try fields.encode(messages, forKey: .messages)
    try fields.encodeIfPresent(next, forKey: .next)
    try fields.encodeIfPresent(previous, forKey: .previous)
    if !faults.isEmpty { try fields.encode(faults, forKey: .unreadable) }
  }
}

extension SessionList: Encodable {
  private enum CodingKeys: String, CodingKey {
    case sessions, next, unreadable
  }

  /// Writes `{sessions, next}`, where `next` is null at the end, and `unreadable` for rows that were left out.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(sessions, forKey: .sessions)
    try fields.encode(next?.description, forKey: .next)
    if !faults.isEmpty { try fields.encode(faults, forKey: .unreadable) }
  }
}
