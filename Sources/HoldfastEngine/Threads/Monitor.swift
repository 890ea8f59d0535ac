// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// State behind a mutex, with one condition to wait on: what a thread of ours sleeps in.
///
/// `Synchronization.Mutex` has no condition, and on Linux Thread Sanitizer does not see it and reports races that are
/// none; a semaphore cannot wait for a predicate.
///
/// `@unchecked Sendable`: `state` is read and written only between `pthread_mutex_lock` and
/// `pthread_mutex_unlock` of `mutex`; both C objects live at fixed addresses until `deinit`, when no
/// other reference is left.
@safe package final class Monitor<State>: @unchecked Sendable {
  private let mutex: UnsafeMutablePointer<pthread_mutex_t>
  private let condition: UnsafeMutablePointer<pthread_cond_t>
  private var state: State

  package init(_ initial: sending State) {
    state = initial
    unsafe mutex = .allocate(capacity: 1)
    unsafe condition = .allocate(capacity: 1)
    unsafe mutex.initialize(to: pthread_mutex_t())
    unsafe condition.initialize(to: pthread_cond_t())
    var attributes = pthread_condattr_t()
    unsafe pthread_condattr_init(&attributes)
    #if os(Linux)
      // Deadlines must not move when somebody sets the clock.
      unsafe pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC)
    #endif
    unsafe precondition(pthread_mutex_init(mutex, nil) == 0, "pthread_mutex_init failed")
    unsafe precondition(pthread_cond_init(condition, &attributes) == 0, "pthread_cond_init failed")
    unsafe pthread_condattr_destroy(&attributes)
  }

  deinit {
    unsafe pthread_cond_destroy(condition)
    unsafe pthread_mutex_destroy(mutex)
    unsafe condition.deallocate()
    unsafe mutex.deallocate()
  }

  /// Runs `body` with the state, alone.
  package func withLock<Result: ~Copyable, Failure: Error>(
    _ body: (inout State) throws(Failure) -> Result
  ) throws(Failure) -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    return try body(&state)
  }

  /// Waits until `body` returns a value, trying again after every ``signal()``.
  package func wait<Result>(_ body: (inout State) -> Result?) -> Result {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    while true {
      if let result = body(&state) { return result }
      unsafe pthread_cond_wait(condition, mutex)
    }
  }

  /// As ``wait(_:)``, but returns nil once `deadline` has passed and `body` still has no value.
  package func wait<Result>(until deadline: ContinuousClock.Instant, _ body: (inout State) -> Result?)
    -> Result?
  {
    unsafe pthread_mutex_lock(mutex)
    defer { unsafe pthread_mutex_unlock(mutex) }
    while true {
      if let result = body(&state) { return result }
      let left = ContinuousClock.now.duration(to: deadline)
      if left <= .zero { return nil }
      sleepOnCondition(for: left)
    }
  }

  /// Wakes every thread that waits here.
  package func signal() {
    unsafe pthread_cond_broadcast(condition)
  }

  /// Wakes one of the threads that wait here: for state that any of them may take and only one can.
  package func signalOne() {
    unsafe pthread_cond_signal(condition)
  }

  private func sleepOnCondition(for duration: Duration) {
    // A far deadline is cut to an hour: the caller looks again anyway, and nothing overflows.
    let (seconds, attoseconds) = min(duration, .seconds(3600)).components
    var time = timespec()
    #if os(Linux)
      unsafe clock_gettime(CLOCK_MONOTONIC, &time)
      time.tv_sec += Int(seconds)
      time.tv_nsec += Int(attoseconds / 1_000_000_000)
      if time.tv_nsec >= 1_000_000_000 {
        time.tv_sec += 1
        time.tv_nsec -= 1_000_000_000
      }
      unsafe pthread_cond_timedwait(condition, mutex, &time)
    #else
      time.tv_sec = Int(seconds)
      time.tv_nsec = Int(attoseconds / 1_000_000_000)
      unsafe pthread_cond_timedwait_relative_np(condition, mutex, &time)
    #endif
  }
}
