// SPDX-License-Identifier: Apache-2.0

import GRDB

@testable import HoldfastEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Closed until opened; whoever passes waits for that.
final class Gate: Sendable {
  private let state = Monitor<(isOpen: Bool, waiting: [CheckedContinuation<Void, Never>])>((false, []))

  func pass() async {
    await withCheckedContinuation { continuation in
      let isOpen = state.withLock { state in
        if !state.isOpen { state.waiting.append(continuation) }
        return state.isOpen
      }
      if isOpen { continuation.resume() }
    }
  }

  func open() {
    let waiting = state.withLock { state in
      defer { state = (true, []) }
      return state.waiting
    }
    for continuation in waiting { continuation.resume() }
  }
}

/// A database that is held by somebody until a gate opens.
final class GatedSink: SpoolSink {
  private let file: StateFile
  private let gate: Gate

  init(_ file: StateFile, _ gate: Gate) {
    self.file = file
    self.gate = gate
  }

  func land(
    _ body: @escaping @Sendable (Database) throws -> SpoolLanding.Outcome,
    end: @escaping @Sendable (Result<SpoolLanding.Outcome, any Error>) -> Void
  ) -> @Sendable () -> Void {
    Task { [gate, file] in
      await gate.pass()
      _ = file.land(body, end: end)
    }
    // It commits even when its caller has given up on it.
    return {}
  }
}

/// The permission bits of a file.
func fileMode(_ path: String) -> mode_t {
  var status = stat()
  return unsafe stat(path, &status) == 0 ? status.st_mode & 0o777 : 0
}
