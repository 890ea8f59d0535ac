// SPDX-License-Identifier: Apache-2.0

import CHoldfast

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Another program, run to its end within bounds.
///
/// It gets an environment of its own, no input, none of our descriptors and none of our signal settings, and a
/// process group of its own, which is killed as a whole when a bound is met or the run ends.
struct BoundedChild {
  /// An absolute path.
  let program: String
  let arguments: [String]
  let environment: [String]
  let timeLimit: Duration
  /// How much it may print.
  let maximumBytes: Int
  /// Asked several times a second; what it throws ends the program and the run.
  let check: () throws -> Void

  /// Runs it and gives what it prints to `output` as it comes. Blocks.
  /// - Returns: why it did not end well, in a clause; nil when it did.
  /// - Throws: what `check` and `output` throw, when the program is gone.
  func run(_ output: (ArraySlice<UInt8>) throws -> Void) throws -> String? {
    guard let (prints, ends) = Self.pipe() else { return "no pipe could be made" }
    guard let (complaints, says) = Self.pipe() else {
      for end in [prints, ends] { _ = close(end) }
      return "no pipe could be made"
    }
    defer { for end in [prints, complaints] { _ = close(end) } }
    let pid = spawn(output: ends, errors: says)
    for end in [ends, says] { _ = close(end) }
    guard let pid else { return "it could not be started" }
    var isGone = false
    defer { if !isGone { Self.end(pid) } }

    let deadline = ContinuousClock.now + timeLimit
    var open = [prints, complaints]
    var buffer = [UInt8](repeating: 0, count: 64 << 10)
    var printed = 0
    var words: [UInt8] = []
    while !open.isEmpty {
      try check()
      guard ContinuousClock.now < deadline else { return "it took longer than \(timeLimit)" }
      var waits = open.map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
      guard unsafe poll(&waits, nfds_t(waits.count), 50) > 0 else { continue }
      for wait in waits where wait.revents != 0 {
        let count = unsafe read(wait.fd, &buffer, buffer.count)
        if count < 0, errno == EINTR { continue }
        guard count > 0 else {
          open.removeAll { $0 == wait.fd }
          continue
        }
        if wait.fd == complaints {
          words += buffer[..<min(count, max(0, 300 - words.count))]
          continue
        }
        printed += count
        guard printed <= maximumBytes else { return "it printed more than \(maximumBytes) bytes" }
        try output(buffer[..<count])
      }
    }
    while !Self.hasEnded(pid) {
      try check()
      guard ContinuousClock.now < deadline else { return "it took longer than \(timeLimit)" }
      _ = poll(nil, 0, 5)
    }
    isGone = true
    let status = Self.end(pid)
    guard status != 0 else { return nil }
    let text = String(decoding: words, as: UTF8.self).split(separator: "\n").joined(separator: " ")
    let ending =
      status & 0x7f == 0 ? "it ended with status \(status >> 8)" : "signal \(status & 0x7f) ended it"
    return text.isEmpty ? ending : text
  }

  private static func pipe() -> (reading: Int32, writing: Int32)? {
    var ends: [Int32] = [-1, -1]
    #if canImport(Glibc)
      let code = unsafe Glibc.pipe(&ends)
    #elseif canImport(Musl)
      let code = unsafe Musl.pipe(&ends)
    #else
      let code = unsafe Darwin.pipe(&ends)
    #endif
    guard code == 0 else { return nil }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    return (ends[0], ends[1])
  }

  /// Whether it has ended; it stays to be waited for, so that nobody else gets its number.
  private static func hasEnded(_ pid: pid_t) -> Bool {
    var info = unsafe siginfo_t()
    guard unsafe waitid(P_PID, id_t(pid), &info, WEXITED | WNOWAIT | WNOHANG) == 0 else {
      return errno != EINTR
    }
    return unsafe info.si_signo != 0
  }

  /// Kills it, with what it started and did not wait for, and waits for its end.
  @discardableResult private static func end(_ pid: pid_t) -> Int32 {
    _ = kill(-pid, SIGKILL)
    var status: Int32 = 0
    while unsafe waitpid(pid, &status, 0) < 0, errno == EINTR {}
    return status
  }

  private func spawn(output: Int32, errors: Int32) -> pid_t? {
    #if os(Linux)
      var actions = unsafe posix_spawn_file_actions_t()
      var attributes = posix_spawnattr_t()
    #else
      var actions: posix_spawn_file_actions_t?
      var attributes: posix_spawnattr_t?
    #endif
    unsafe posix_spawn_file_actions_init(&actions)
    unsafe posix_spawnattr_init(&attributes)
    defer {
      unsafe posix_spawn_file_actions_destroy(&actions)
      unsafe posix_spawnattr_destroy(&attributes)
    }
    unsafe posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    unsafe posix_spawn_file_actions_adddup2(&actions, output, 1)
    unsafe posix_spawn_file_actions_adddup2(&actions, errors, 2)
    var none = sigset_t()
    unsafe sigemptyset(&none)
    var all = sigset_t()
    unsafe sigfillset(&all)
    unsafe posix_spawnattr_setsigmask(&attributes, &none)
    unsafe posix_spawnattr_setsigdefault(&attributes, &all)
    unsafe posix_spawnattr_setpgroup(&attributes, 0)
    var flags = Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP)
    #if canImport(Darwin)
      flags |= Int16(POSIX_SPAWN_CLOEXEC_DEFAULT)
    #else
      // Without this call a lock or a log of ours could outlive us in there: better no program at all.
      guard unsafe chf_closes_from(&actions, 3) == 0 else { return nil }
    #endif
    unsafe posix_spawnattr_setflags(&attributes, flags)
    var words = unsafe ([program] + arguments).map { unsafe strdup($0) } + [nil]
    var variables = unsafe environment.map { unsafe strdup($0) } + [nil]
    defer {
      unsafe words.forEach { unsafe free($0) }
      unsafe variables.forEach { unsafe free($0) }
    }
    var pid = pid_t()
    return unsafe posix_spawn(&pid, program, &actions, &attributes, &words, &variables) == 0 ? pid : nil
  }
}
