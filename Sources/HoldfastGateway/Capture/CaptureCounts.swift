// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import NIOCore
import Synchronization

/// What was captured and what was not, and the memory that is held meanwhile. One short lock.
final class CaptureCounts: Sendable {
  /// Why a request and its answer, or a part of them, is not in a session.
  enum Reason: String, Sendable, CaseIterable {
    /// Too much was waiting to be read.
    case memory
    /// It alone is more than is held of one.
    case tooLarge = "too_large"
    /// It is not what its API sends.
    case unreadable
    /// The answer was compressed in a way that cannot be read; the request was captured.
    case compressed
    /// The spool did not take it.
    case spoolRefused = "spool_refused"
    /// The daemon was stopped first.
    case stopped
  }

  /// Everything counted, at one moment.
  struct Snapshot: Sendable {
    /// Requests whose messages were taken.
    var turns: UInt64 = 0
    /// Messages that were new and were accepted.
    var messages: UInt64 = 0
    /// Messages told in other words than before; the transcript stayed as it was.
    var edits: UInt64 = 0
    var skipped: [Reason: UInt64] = [:]
    /// Bytes of requests and answers held.
    var bytes = 0
    /// Requests that wait to be taken.
    var waiting = 0
    /// The last that was skipped.
    var lastSkip: (reason: Reason, at: UnixTime, message: String)?
  }

  private let limit: Int
  private let state = Mutex(Snapshot())

  /// - Parameter limit: bytes that may be held at once.
  init(limit: Int) { self.limit = limit }

  /// Everything counted so far.
  var snapshot: Snapshot { state.withLock { $0 } }

  /// Takes memory; false when there is none left.
  func reserve(_ bytes: Int) -> Bool {
    state.withLock { state in
      guard state.bytes + bytes <= limit else { return false }
      state.bytes += bytes
      return true
    }
  }

  func release(_ bytes: Int) { state.withLock { $0.bytes -= bytes } }

  func noteWaiting(_ change: Int) { state.withLock { $0.waiting += change } }

  func noteTurn(messages: Int, edits: Int) {
    state.withLock { state in
      state.turns += 1
      state.messages += UInt64(messages)
      state.edits += UInt64(edits)
    }
  }

  /// Notes what is not in a session.
  func noteSkip(_ reason: Reason, _ message: String) {
    state.withLock { state in
      state.skipped[reason, default: 0] += 1
      state.lastSkip = (reason, .now(), message)
    }
  }
}
