// SPDX-License-Identifier: Apache-2.0

import Dispatch

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// This process: its environment, its limits, its end.
enum Process {
  /// The environment.
  static var environment: [String: String] { ProcessInfo.processInfo.environment }

  /// Whether a variable is set to anything.
  static func hasEnvironment(_ name: String) -> Bool { environment[name].map { !$0.isEmpty } ?? false }

  /// The running program's own path, to start it again.
  static var executable: String {
    #if os(Linux)
      "/proc/self/exe"
    #else
      CommandLine.arguments[0]
    #endif
  }

  /// Ends the process.
  static func leave(_ code: Int32) -> Never { exit(code) }

  /// Makes writes to a closed pipe fail instead of killing the process.
  static func ignoreBrokenPipes() { _ = signal(SIGPIPE, SIG_IGN) }

  /// Ends the process as any filter ends whose reader has gone away: by SIGPIPE, without a word.
  static func leaveBrokenPipe() -> Never {
    _ = signal(SIGPIPE, SIG_DFL)
    raise(SIGPIPE)
    exit(0)
  }

  /// Raises the limit of open files to what the system allows this user: one connection takes two.
  static func raiseFileLimit() {
    var limit = rlimit()
    #if os(Linux)
      let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
      let files = RLIMIT_NOFILE
    #endif
    guard unsafe getrlimit(files, &limit) == 0, limit.rlim_cur < limit.rlim_max else { return }
    #if os(macOS)
      // Darwin refuses more than this whatever the hard limit says (setrlimit(2)).
      limit.rlim_cur = min(limit.rlim_max, rlim_t(OPEN_MAX))
    #else
      limit.rlim_cur = limit.rlim_max
    #endif
    _ = unsafe setrlimit(files, &limit)
  }

  /// Runs `body`, which may block, on a thread of its own.
  static func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value
  {
    try await withCheckedThrowingContinuation { continuation in
      DispatchQueue(label: "holdfast.blocking").async { continuation.resume(with: Result { try body() }) }
    }
  }
}
