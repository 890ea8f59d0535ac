// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// What a runtime started.
public struct WorkerIdentity: Hashable, Sendable {
  /// The process this host started: the worker, or the command line that runs its container.
  public var process: ProcessStamp?
  /// The container's name.
  public var container: String?

  /// Makes an identity.
  public init(process: ProcessStamp?, container: String? = nil) {
    self.process = process
    self.container = container
  }
}

/// How a worker ended.
public enum WorkerExit: Hashable, Sendable, CustomStringConvertible {
  /// It returned this status.
  case exited(Int32)
  /// This signal ended it.
  case signalled(Int32)
  /// It was another host's child: that it is gone is known, and no more.
  case gone
  /// There never was one, for this reason.
  case notStarted(String)

  /// As in `exit 1` or `signal 9`.
  public var description: String {
    switch self {
    case .exited(let status): "exit \(status)"
    case .signalled(let signal): "signal \(signal)"
    case .gone: "gone"
    case .notStarted(let message): "not started: \(message)"
    }
  }
}

/// What happens to a session's worker, for logs and for `--json`.
public enum WorkerNews: Hashable, Sendable {
  /// It was started.
  case started(WorkerIdentity, incarnation: Int64)
  /// It was told to end.
  case stopping(reason: String)
  /// It did not end in time and was killed.
  case killed(reason: String)
  /// It was killed and its end is still not confirmed: nothing is recovered meanwhile.
  case stubborn(reason: String)
  /// It and all it started are gone, and what it left is taken in.
  case ended(WorkerExit, reason: String?, incarnation: Int64)
  /// What it had left half done in a database was undone.
  case recovered(file: String, pages: Int)
  /// It is started again after this pause, having ended so often in a row.
  case pausing(Duration, ends: Int)
  /// It has run for long enough for what was before to be forgotten.
  case healthy
  /// Something about the session failed and is tried again.
  case troubled(stage: String, message: String, failures: Int)
}

extension WorkerNews {
  /// The name of what happened, as it stands in `--json` lines.
  public var name: String {
    switch self {
    case .started: "started"
    case .stopping: "stopping"
    case .killed: "killed"
    case .stubborn: "stubborn"
    case .ended: "ended"
    case .recovered: "recovered"
    case .pausing: "pausing"
    case .healthy: "healthy"
    case .troubled: "troubled"
    }
  }
}
