// SPDX-License-Identifier: Apache-2.0

import AsyncHTTPClient
import Foundation
import HoldfastMailbox
import NIOCore
import NIOHTTP1

/// Carries messages to an HTTP server: one POST a message, with the message as JSON and the header `Idempotency-Key`.
///
/// 2xx is delivered. 408, 425, 429, 5xx and every failure to connect, to send or to hear in time may pass, and a
/// `Retry-After` is heeded; anything else does not pass (row E05). A redirection is followed within the same origin when
/// it keeps the method (307, 308): the message and its credentials go nowhere else.
struct WebhookAdapter: DeliveryAdapter {
  let webhook: DeliveryConfiguration.Webhook
  let timeLimit: Duration
  let client: HTTPClient

  /// So much of an answer is read; a connection with more left is closed.
  private static let answerBytes = 64 << 10
  private static let redirections = 3

  var name: String { "webhook" }

  func deliver(_ delivery: Delivery) async -> DeliveryOutcome {
    do {
      return await deliver(try delivery.json(), key: delivery.idempotencyKey)
    } catch {
      return .permanent(reason: "the message cannot be written as JSON: \(error)")
    }
  }

  /// Posts these bytes.
  ///
  /// - Parameter key: by what the server tells that it has had them before.
  func deliver(_ bytes: [UInt8], key: String) async -> DeliveryOutcome {
    let deadline = ContinuousClock.now + timeLimit
    do {
      let body = ByteBuffer(bytes: bytes)
      var url = webhook.url
      for _ in 0...Self.redirections {
        let response = try await client.execute(
          request(url, body, key: key), deadline: Self.deadline(in: deadline - .now))
        let status = Int(response.status.code)
        let answer = await Self.beginning(of: response.body, until: deadline)
        guard status == 307 || status == 308, let place = response.headers.first(name: "location") else {
          return Self.outcome(
            status, retryAfter: response.headers.first(name: "retry-after"), answer, now: Date())
        }
        guard let next = Self.place(place, from: url) else {
          return .permanent(
            reason: "HTTP \(status) leads to another server (\(place)), where the message is not sent")
        }
        url = next
      }
      return .permanent(reason: "\(webhook.url) leads from one place to the next without end")
    } catch let error as HTTPClientError {
      return .transient(reason: "no answer from \(Self.origin(webhook.url)): \(error.shortDescription)")
    } catch {
      return .transient(reason: "no answer from \(Self.origin(webhook.url)): \(error)")
    }
  }

  private func request(_ url: String, _ body: ByteBuffer, key: String) -> HTTPClientRequest {
    var request = HTTPClientRequest(url: url)
    request.method = .POST
    for (name, value) in webhook.headers.sorted(by: { $0.key < $1.key }) {
      request.headers.add(name: name, value: value)
    }
    request.headers.replaceOrAdd(name: "content-type", value: "application/json")
    request.headers.replaceOrAdd(name: "idempotency-key", value: Self.fieldValue(key))
    if !request.headers.contains(name: "user-agent") {
      request.headers.add(name: "user-agent", value: "holdfast")
    }
    request.body = .bytes(body)
    return request
  }

  private static func deadline(in time: Duration) -> NIODeadline {
    let (seconds, attoseconds) = max(time, .zero).components
    return .now() + .nanoseconds(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
  }

  /// A key as a header field may carry it: what is no visible ASCII is percent-encoded, and so is the percent sign.
  static func fieldValue(_ key: String) -> String {
    var value = ""
    for byte in key.utf8 {
      if (0x21...0x7e).contains(byte), byte != UInt8(ascii: "%") {
        value.unicodeScalars.append(Unicode.Scalar(byte))
      } else {
        let digits = String(byte, radix: 16, uppercase: true)
        value += byte < 16 ? "%0\(digits)" : "%\(digits)"
      }
    }
    return value
  }

  static func outcome(_ status: Int, retryAfter: String?, _ answer: String, now: Date) -> DeliveryOutcome {
    let reason = "HTTP \(status)" + (answer.isEmpty ? "" : ": \(answer)")
    switch status {
    case 200..<300: return .delivered
    case 408, 425, 429, 500...:
      return .transient(reason: reason, retryAfter: retryAfter.flatMap { pause($0, now: now) })
    default: return .permanent(reason: reason)
    }
  }

  /// `Retry-After`: seconds, or a date (RFC 9110, 10.2.3).
  static func pause(_ text: String, now: Date) -> Duration? {
    if let seconds = Int64(text) { return seconds >= 0 ? .seconds(min(seconds, 1 << 31)) : nil }
    let format = DateFormatter()
    format.locale = Locale(identifier: "en_US_POSIX")
    format.timeZone = TimeZone(identifier: "GMT")
    format.dateFormat = "EEE, dd MMM yyyy HH:mm:ss zzz"
    guard let date = format.date(from: text) else { return nil }
    return .seconds(max(0, date.timeIntervalSince(now).rounded()))
  }

  /// Where a redirection leads, when that is the same origin.
  static func place(_ location: String, from url: String) -> String? {
    guard let base = URL(string: url), let next = URL(string: location, relativeTo: base)?.absoluteURL,
      origin(next.absoluteString) == origin(url)
    else { return nil }
    return next.absoluteString
  }

  /// Scheme, host and port; without what may be a secret.
  static func origin(_ url: String) -> String {
    guard let parts = URLComponents(string: url), let scheme = parts.scheme?.lowercased() else { return "" }
    let port = parts.port ?? (scheme == "https" ? 443 : 80)
    return "\(scheme)://\(parts.host?.lowercased() ?? ""):\(port)"
  }

  /// Reads an answer to its end or its bound, for the connection's sake, and keeps the beginning.
  private static func beginning(
    of body: HTTPClientResponse.Body, until deadline: ContinuousClock.Instant
  ) async -> String {
    await withTaskGroup(of: String?.self) { group in
      group.addTask {
        var kept: [UInt8] = []
        var count = 0
        do {
          for try await piece in body {
            count += piece.readableBytes
            kept += piece.readableBytesView.prefix(max(0, 300 - kept.count))
            if count > answerBytes { break }
          }
        } catch {
          // The status has said what came of it.
        }
        let text = String(decoding: kept, as: UTF8.self)
        return text.split(whereSeparator: \.isNewline).joined(separator: " ")
      }
      group.addTask {
        try? await Task.sleep(until: deadline, clock: .continuous)
        return nil
      }
      let first = await group.next()
      group.cancelAll()
      return (first ?? nil) ?? ""
    }
  }
}
