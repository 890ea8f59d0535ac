// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage
import NIOCore

/// Keeps the copy of one exchange until its end, for its session, and has its usage recorded as ever.
///
/// What it holds is bounded; beyond the bound this one exchange is let go of, and counted. It copies bytes and does
/// nothing else on the event loop.
final class CaptureTap: ExchangeTap {
  private let usage: UsageTap
  private let capture: SessionCapture
  private let session: String
  private let kind: WireKind
  private let requestCoding: ContentDecoder.Coding
  private var responseCoding = ContentDecoder.Coding.identity
  private var isStream = false
  private var isWanted = true
  private var request: [UInt8] = []
  private var response: [UInt8] = []

  /// - Parameters:
  ///   - usage: records the usage of the same exchange.
  ///   - session: the session's id, of 1 to 256 characters.
  init(
    usage: UsageTap, _ head: RequestHead, kind: WireKind, session: String, capture: SessionCapture
  ) {
    (self.usage, self.kind, self.session, self.capture) = (usage, kind, session, capture)
    requestCoding = ContentDecoder.Coding(head.fields.first(.contentEncoding))
  }

  func sent(to provider: String) { usage.sent(to: provider) }

  func requestBody(_ bytes: ByteBuffer) {
    usage.requestBody(bytes)
    if isWanted, reserve(bytes.readableBytes) { request.append(contentsOf: bytes.readableBytesView) }
  }

  func responseHead(_ head: ResponseHead) {
    usage.responseHead(head)
    // What was refused was not said; the client tells it again.
    guard (200..<300).contains(head.status) else { return letGo() }
    responseCoding = ContentDecoder.Coding(head.fields.first(.contentEncoding))
    isStream = head.fields.first(.contentType)?.lowercased().hasPrefix("text/event-stream") ?? false
  }

  func responseBody(_ bytes: ByteBuffer) {
    usage.responseBody(bytes)
    guard isWanted, responseCoding != .unsupported, reserve(bytes.readableBytes) else { return }
    response.append(contentsOf: bytes.readableBytesView)
  }

  func ended(_ end: ExchangeEnd) {
    usage.ended(end)
    guard isWanted, let row = usage.row, (200..<300).contains(end.status ?? 0) else { return letGo() }
    isWanted = false
    capture.take(
      CapturedExchange(
        session: session, kind: kind, request: request, response: response, requestCoding: requestCoding,
        responseCoding: responseCoding, isStream: isStream, isComplete: end.outcome == .complete, row: row))
  }

  /// - Returns: whether there is room for so many bytes more.
  private func reserve(_ count: Int) -> Bool {
    guard request.count + response.count + count <= SessionCapture.mostOfOne else {
      capture.counts.noteSkip(
        .tooLarge, "A request and its answer were more than \(SessionCapture.mostOfOne >> 20) MB together.")
      letGo()
      return false
    }
    guard capture.counts.reserve(count) else {
      capture.counts.noteSkip(
        .memory, "More than \(SessionCapture.mostHeld >> 20) MB were waiting to be read.")
      letGo()
      return false
    }
    return true
  }

  private func letGo() {
    guard isWanted else { return }
    isWanted = false
    capture.counts.release(request.count + response.count)
    (request, response) = ([], [])
  }
}
