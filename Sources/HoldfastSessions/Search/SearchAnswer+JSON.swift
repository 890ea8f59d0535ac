// SPDX-License-Identifier: Apache-2.0

// The JSON of `holdfast sessions search` and `/api/search`: fields may be added, never renamed.

extension SearchAnswer: Encodable {
  private enum CodingKeys: String, CodingKey {
    case route, lag, truncated, degraded, hits
    case leftOut = "left_out"
  }

  /// Writes `{route, lag, truncated, hits}`, and what else is to be known where there is anything.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(route, forKey: .route)
    try fields.encode(lag, forKey: .lag)
    try fields.encode(truncated, forKey: .truncated)
    try fields.encodeIfPresent(degraded, forKey: .degraded)
    if leftOut > 0 { try fields.encode(leftOut, forKey: .leftOut) }
    try fields.encode(hits, forKey: .hits)
  }
}

extension SearchHit: Encodable {
  private enum CodingKeys: String, CodingKey {
    case session, lineage, seq, uid, role, source, snippet, highlights, score, time, neighbours, others
  }

  /// Writes `{session, seq, uid, role, snippet, score, time}` and more; `highlights` are pairs of UTF-8 offsets
  /// into the snippet, the second exclusive.
  public func encode(to encoder: any Encoder) throws {
    var fields = encoder.container(keyedBy: CodingKeys.self)
    try fields.encode(document.session, forKey: .session)
    try fields.encode(document.lineage, forKey: .lineage)
    try fields.encode(document.seq, forKey: .seq)
    try fields.encode(document.uid, forKey: .uid)
    try fields.encode(document.role, forKey: .role)
    if !document.source.isEmpty { try fields.encode(document.source, forKey: .source) }
    try fields.encode(snippet.text, forKey: .snippet)
    try fields.encode(snippet.highlights.map { [$0.lowerBound, $0.upperBound] }, forKey: .highlights)
    try fields.encode(score, forKey: .score)
    try fields.encode(SessionTime.text(document.timeMilliseconds), forKey: .time)
    if !neighbours.isEmpty { try fields.encode(neighbours.map(Neighbour.init), forKey: .neighbours) }
    if others > 0 { try fields.encode(others, forKey: .others) }
  }

  private struct Neighbour: Encodable {
    var seq: Int64
    var uid: String
    var role: String
    var text: String

    init(_ document: SearchDocument) {
      (seq, uid, role, text) = (document.seq, document.uid, document.role, document.text)
    }
  }
}
