// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine

/// A peer's own end of the line to the test that started it (``PeerProcess``).
///
/// Its standard input and output belong to this; what it prints itself is passed on to the test's standard
/// error. When the test is gone, so is the peer.
public final class PeerLink: Sendable {
  private let gates = Monitor<[String: DispatchSemaphore]>([:])
  private let writing = Monitor(false)

  /// The link of this process. Make one, once.
  public init() {
    let reader = Reader(descriptor: 0)
    Thread.detachNewThread { [self] in
      while let line = reader.line() {
        guard line.hasPrefix("open ") else { continue }
        semaphore(of: String(line.dropFirst(5))).signal()
      }
      _exit(0)
    }
  }

  /// Says that this peer stands at the gate, and waits until the test opens it.
  ///
  /// Each opening lets one pass, whichever stands there.
  public func reach(_ gate: String) async {
    await withCheckedContinuation { continuation in
      Thread.detachNewThread { [self] in
        reachBlocking(gate)
        continuation.resume()
      }
    }
  }

  /// As ``reach(_:)``, for code that is not asynchronous and may block: the body of a transaction, say.
  public func reachBlocking(_ gate: String) {
    say("gate \(gate)")
    semaphore(of: gate).wait()
  }

  /// Counts how often the gate was opened and nobody has passed yet.
  private func semaphore(of gate: String) -> DispatchSemaphore {
    gates.withLock { gates in
      if let semaphore = gates[gate] { return semaphore }
      let semaphore = DispatchSemaphore(value: 0)
      gates[gate] = semaphore
      return semaphore
    }
  }

  /// Tells the test something, as one line (``PeerProcess/word()``).
  public func tell(_ text: String) {
    say("tell \(text)")
  }

  private func say(_ line: String) {
    let bytes = Array((line + "\n").utf8)
    writing.withLock { _ in
      // One write of less than PIPE_BUF bytes is never cut, not even by a kill.
      _ = unsafe bytes.withUnsafeBytes { unsafe write(1, $0.baseAddress, $0.count) }
    }
  }
}
