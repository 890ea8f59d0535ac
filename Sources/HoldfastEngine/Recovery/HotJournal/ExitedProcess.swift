// SPDX-License-Identifier: Apache-2.0

import CHoldfast

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A process that has ended, known by evidence: nothing is ever concluded from a file's age or a silence.
///
/// A supervisor that started the process has the status waitpid(2) gave it; anybody else may ask the kernel.
/// All locks of a process are gone before either says that it has ended.
public struct ExitedProcess: Hashable, Sendable {
  /// Its process id, while it lived.
  public let pid: Int32

  private init(pid: Int32) { self.pid = pid }

  /// A child whose end waitpid(2) has reported.
  ///
  /// - Parameters:
  ///   - pid: what waitpid returned.
  ///   - status: the status it stored, as it is.
  /// - Returns: nil when that status is not of an end: the process was stopped, or goes on.
  public init?(reaped pid: Int32, status: Int32) {
    // WIFSTOPPED is 0x7f in the low byte, WIFCONTINUED all of 0xffff (wait(2)); Swift has no such macros.
    guard pid > 0, status & 0xff != 0x7f, status & 0xffff != 0xffff else { return nil }
    self.init(pid: pid)
  }

  /// Waits until the kernel says that the process has ended, child of this one or not.
  ///
  /// A process that is not there has ended. The number of one that ended long ago may be another's by now: then
  /// this waits for that one, and never says too early that a process is gone.
  ///
  /// - Parameter patience: how long to wait for its end.
  /// - Throws: ``StoreError`` with code `deadline` when it still runs, or `misuse` for what is no process id.
  public static func confirm(
    pid: Int32, within patience: Duration = .zero
  ) async throws(StoreError) -> ExitedProcess {
    guard pid > 0 else {
      throw StoreError(.misuse, "\(pid) is not the id of a process: give that of the one that has ended.")
    }
    let deadline = ContinuousClock.now + patience
    let hasEnded = try? await BlockingThread.run(named: "hf-exit") { wait(for: pid, until: deadline) }
    guard hasEnded == true else {
      throw StoreError(
        .deadline, "Process \(pid) still runs, so nothing it left was touched; try again when it has ended.")
    }
    return ExitedProcess(pid: pid)
  }

  private static func wait(for pid: Int32, until deadline: ContinuousClock.Instant) -> Bool {
    let descriptor = chf_pidfd_open(pid)
    if descriptor == -ESRCH { return true }
    guard descriptor >= 0 else { return waitWithoutDescriptor(for: pid, until: deadline) }
    defer { _ = close(descriptor) }
    while true {
      var asked = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
      let (seconds, attoseconds) = max(.zero, deadline - .now).components
      let milliseconds = seconds * 1000 + (attoseconds + 999_999_999_999_999) / 1_000_000_000_000_000
      let found = unsafe poll(&asked, 1, Int32(clamping: milliseconds))
      if found > 0 { return true }
      guard found == 0 || errno == EINTR, ContinuousClock.now < deadline else { return false }
    }
  }

  /// For kernels without pidfd_open(2): before Linux 5.3, and elsewhere.
  private static func waitWithoutDescriptor(for pid: Int32, until deadline: ContinuousClock.Instant) -> Bool {
    while true {
      if kill(pid, 0) != 0, errno == ESRCH { return true }
      guard ContinuousClock.now < deadline else { return false }
      BlockingThread.sleep(.milliseconds(5))
    }
  }
}
