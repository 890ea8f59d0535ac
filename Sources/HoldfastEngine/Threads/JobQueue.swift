// SPDX-License-Identifier: Apache-2.0

import DequeModule

/// A first-come-first-served queue of jobs, with deadlines that fire whatever the serving thread does.
///
/// A thread of ours may be stuck in a kernel lock, in a slow body or in SQLite; the deadline of whoever
/// waits behind it is watched by ``DeadlineWatch`` and fires all the same.
final class JobQueue: Sendable {
  private struct State {
    var jobs: Deque<Job> = []
    /// Jobs in `jobs` that still wait: the others have been withdrawn and are skipped when reached.
    var waiting = 0
    var isClosed = false
    /// When ``DeadlineWatch`` will look here next.
    var alarm: ContinuousClock.Instant?
  }

  /// What a serving thread gets.
  enum Turn {
    case work
    /// The time is up and there is nothing to do.
    case idle
    case closed
  }

  private let monitor = Monitor(State())
  /// Makes the error for a job whose deadline passed; may take milliseconds (it reads the lock table).
  private let deadlineError: @Sendable (Duration) -> any Error
  private let closedError: @Sendable () -> any Error
  /// Called after a submission, without any lock held: starts a thread where one is needed.
  private let onSubmit: @Sendable () -> Void

  init(
    deadlineError: @escaping @Sendable (Duration) -> any Error,
    closedError: @escaping @Sendable () -> any Error,
    onSubmit: @escaping @Sendable () -> Void
  ) {
    self.deadlineError = deadlineError
    self.closedError = closedError
    self.onSubmit = onSubmit
  }

  func submit(_ job: Job) {
    enum Result { case queued(alarm: Bool), cancelled, closed }
    let result: Result = monitor.withLock { state in
      if job.phase == .cancelledEarly { return .cancelled }
      if state.isClosed {
        job.phase = .finished
        return .closed
      }
      job.phase = .waiting
      state.jobs.append(job)
      state.waiting += 1
      if let alarm = state.alarm, alarm <= job.deadline { return .queued(alarm: false) }
      state.alarm = job.deadline
      return .queued(alarm: true)
    }
    switch result {
    case .cancelled: job.fail(Self.cancelledError)
    case .closed: job.fail(closedError())
    case .queued(let alarm):
      if alarm { DeadlineWatch.shared.look(at: self, when: job.deadline) }
      // Whoever serves the queue may take it; to wake them all for one job costs each of them a look.
      monitor.signalOne()
      onSubmit()
    }
  }

  /// Withdraws a job that still waits; one that runs is left to its end.
  func cancel(_ job: Job) {
    let withdrawn = monitor.withLock { state in
      if job.phase == .new { job.phase = .cancelledEarly }
      guard job.phase == .waiting else { return false }
      job.phase = .finished
      state.waiting -= 1
      return true
    }
    if withdrawn { job.fail(Self.cancelledError) }
  }

  private static var cancelledError: StoreError {
    StoreError(.cancelled, "The call was cancelled before its turn; nothing was done.")
  }

  /// Tells every waiting job whose deadline has passed; returns when to look again.
  func expire(at now: ContinuousClock.Instant) -> ContinuousClock.Instant? {
    let (expired, next) = monitor.withLock { state in
      var expired: [Job] = []
      var next: ContinuousClock.Instant?
      for job in state.jobs where job.phase == .waiting {
        if job.deadline <= now {
          job.phase = .finished
          state.waiting -= 1
          expired.append(job)
        } else {
          next = min(next ?? job.deadline, job.deadline)
        }
      }
      if state.waiting == 0 { state.jobs.removeAll() }
      state.alarm = next
      return (expired, next)
    }
    for job in expired { job.fail(deadlineError(job.submitted.duration(to: now))) }
    return next
  }

  /// Waits until a job waits, the queue is closed and empty, or the time is up.
  func awaitWork(until time: ContinuousClock.Instant? = nil) -> Turn {
    let look: (inout State) -> Turn? = { state in
      if state.waiting > 0 { return .work }
      return state.isClosed ? .closed : nil
    }
    guard let time else { return monitor.wait(look) }
    return monitor.wait(until: time, look) ?? .idle
  }

  /// Takes the next waiting job, if `condition` accepts it.
  func take(where condition: (Job) -> Bool = { _ in true }) -> Job? {
    monitor.withLock { state in
      while let job = state.jobs.first {
        guard job.phase == .waiting else {
          state.jobs.removeFirst()
          continue
        }
        guard condition(job) else { return nil }
        state.jobs.removeFirst()
        state.waiting -= 1
        job.phase = .running
        return job
      }
      return nil
    }
  }

  /// Takes every waiting job that `condition` accepts from the front on.
  func takeAll(where condition: (Job) -> Bool) -> [Job] {
    var jobs: [Job] = []
    while let job = take(where: condition) { jobs.append(job) }
    return jobs
  }

  /// Waits for a job and takes it; nil when the queue is closed and empty, or the time is up.
  func takeNext(until time: ContinuousClock.Instant) -> Job? {
    while awaitWork(until: time) == .work {
      if let job = take() { return job }
    }
    return nil
  }

  /// Puts jobs back in front, in their order, to be run again.
  func putBack(_ jobs: [Job], as style: Job.Style?) {
    guard !jobs.isEmpty else { return }
    monitor.withLock { state in
      for job in jobs.reversed() {
        job.phase = .waiting
        if let style { job.style = style }
        state.jobs.prepend(job)
      }
      state.waiting += jobs.count
    }
    // Their deadlines may be earlier than the alarm that was set without them.
    if let earliest = jobs.map(\.deadline).min() { DeadlineWatch.shared.look(at: self, when: earliest) }
  }

  /// Moves jobs a thread has taken to their end; the caller then tells them.
  func finish(_ jobs: [Job]) {
    monitor.withLock { _ in
      for job in jobs { job.phase = .finished }
    }
  }

  /// Takes out everything that waits, as finished; the caller tells them.
  func finishAllWaiting() -> [Job] {
    monitor.withLock { state in
      let waiting = state.jobs.filter { $0.phase == .waiting }
      for job in waiting { job.phase = .finished }
      state.jobs.removeAll()
      state.waiting = 0
      return Array(waiting)
    }
  }

  /// How the next waiting job is to be run; nil when none waits.
  var nextStyle: Job.Style? {
    monitor.withLock { $0.jobs.first { $0.phase == .waiting }?.style }
  }

  var waitingCount: Int { monitor.withLock { $0.waiting } }

  /// Refuses new jobs from now on; those that wait are still served.
  func close() {
    monitor.withLock { $0.isClosed = true }
    monitor.signal()
  }
}
