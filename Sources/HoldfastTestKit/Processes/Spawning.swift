// SPDX-License-Identifier: Apache-2.0

import CHoldfast
import Foundation
import HoldfastEngine

/// Held while descriptors of this harness could leak into a program started by another thread: from the
/// making of a pipe to its close-on-exec mark, and while a program is started. A peer that held the end of
/// another's pipe would keep that one's ending from being seen. (pipe2(2) would do, and is not in every
/// system's Swift module.)
private let spawning = Monitor(false)

/// A pipe that the programs this process starts do not inherit.
func makePipe() throws -> (reading: Int32, writing: Int32) {
  var ends: [Int32] = [-1, -1]
  let code = spawning.withLock { _ in
    let code = unsafe pipe(&ends)
    if code == 0 { for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) } }
    return code
  }
  guard code == 0 else { throw PeerProcess.Failure(description: "No pipe could be made (error \(errno)).") }
  return (ends[0], ends[1])
}

/// Starts a process with these as its standard input and output, with no signal blocked or ignored: a test
/// runner's own settings would otherwise decide which signals reach it.
func spawn(
  _ arguments: [String], environment: [String], input: Int32, output: Int32
) throws -> pid_t {
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
  unsafe posix_spawn_file_actions_adddup2(&actions, input, 0)
  unsafe posix_spawn_file_actions_adddup2(&actions, output, 1)
  var none = sigset_t()
  unsafe sigemptyset(&none)
  var all = sigset_t()
  unsafe sigfillset(&all)
  unsafe posix_spawnattr_setsigmask(&attributes, &none)
  unsafe posix_spawnattr_setsigdefault(&attributes, &all)
  unsafe posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF))
  var words = unsafe arguments.map { unsafe strdup($0) } + [nil]
  var variables = unsafe environment.map { unsafe strdup($0) } + [nil]
  defer {
    unsafe words.forEach { unsafe free($0) }
    unsafe variables.forEach { unsafe free($0) }
  }
  var pid = pid_t()
  // What other code of this process opened without the mark, at this very moment too, is not for a peer, whose
  // descriptors and locks may be what a test counts. Marking is what can be done where the system cannot close.
  let mustMark = unsafe chf_closes_from(&actions, 3) != 0
  let code = spawning.withLock { _ in
    for descriptor in 3..<Int32(mustMark ? 1024 : 3) {
      let flags = fcntl(descriptor, F_GETFD)
      if flags >= 0, flags & FD_CLOEXEC == 0 { _ = fcntl(descriptor, F_SETFD, flags | FD_CLOEXEC) }
    }
    return unsafe posix_spawn(&pid, arguments[0], &actions, &attributes, &words, &variables)
  }
  guard code == 0 else {
    throw PeerProcess.Failure(description: "\(arguments[0]) could not be started (error \(code)).")
  }
  return pid
}

/// Waits for the end of a child.
func reap(_ pid: pid_t) -> PeerProcess.Ending {
  var status: Int32 = 0
  while unsafe waitpid(pid, &status, 0) < 0 {
    guard errno == EINTR else { return .exited(-1) }
  }
  let signal = status & 0x7f
  return signal == 0 ? .exited((status >> 8) & 0xff) : .killed(signal: signal)
}

/// Lines from a descriptor, one at a time.
///
/// `@unchecked Sendable`: handed from the thread that makes it to the one that reads, and used by that one
/// only.
final class Reader: @unchecked Sendable {
  private let descriptor: Int32
  private var pending: [UInt8] = []
  private var buffer = [UInt8](repeating: 0, count: 4096)

  init(descriptor: Int32) {
    self.descriptor = descriptor
  }

  deinit { close(descriptor) }

  /// The next line without its end; nil at the end of the stream.
  func line() -> String? {
    while true {
      if let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
        let line = String(decoding: pending[..<end], as: UTF8.self)
        pending.removeSubrange(...end)
        return line
      }
      let count = unsafe read(descriptor, &buffer, buffer.count)
      if count < 0, errno == EINTR { continue }
      guard count > 0 else { return nil }
      pending += buffer[..<count]
    }
  }
}
