// SPDX-License-Identifier: Apache-2.0

import CHoldfast

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Threads of our own for calls that block: SQLite, lock waits, file I/O.
///
/// The cooperative pool has one thread per core and an event loop has one in all; a lock wait on either
/// stalls everything else (row A07).
package enum BlockingThread {
  /// Starts a detached thread that runs `body` to its end.
  static func start(named name: String, _ body: @escaping @Sendable () -> Void) {
    let box = unsafe Unmanaged.passRetained(Box(name: name, body: body)).toOpaque()
    #if os(Linux)
      var thread: pthread_t = 0
      let status = unsafe pthread_create(&thread, nil, blockingThreadMain, box)
      let started: pthread_t? = thread
    #else
      var started: pthread_t?
      let status = unsafe pthread_create(&started, nil, blockingThreadMain, box)
    #endif
    guard status == 0, let started else { fatalError("cannot start a thread: error \(status)") }
    pthread_detach(started)
  }

  /// Runs `body` on a thread made for it and returns what it returned.
  ///
  /// For rare calls (opening, closing); frequent ones have threads that stay.
  package static func run<Result: Sendable>(
    named name: String, _ body: @escaping @Sendable () throws -> Result
  ) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
      start(named: name) { continuation.resume(with: Swift.Result { try body() }) }
    }
  }

  /// Sleeps; for threads of ours only.
  static func sleep(_ duration: Duration) {
    let (seconds, attoseconds) = duration.components
    usleep(UInt32(clamping: seconds * 1_000_000 + attoseconds / 1_000_000_000_000))
  }

  fileprivate final class Box: Sendable {
    let name: String
    let body: @Sendable () -> Void
    init(name: String, body: @escaping @Sendable () -> Void) {
      self.name = name
      self.body = body
    }
  }
}

#if os(Linux)
  private func blockingThreadMain(_ pointer: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
    unsafe pointer.map { unsafe enterBlockingThread($0) }
    return nil
  }
#else
  private func blockingThreadMain(_ pointer: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer? {
    unsafe enterBlockingThread(pointer)
    return nil
  }
#endif

private func enterBlockingThread(_ pointer: UnsafeMutableRawPointer) {
  let box = unsafe Unmanaged<BlockingThread.Box>.fromOpaque(pointer).takeRetainedValue()
  unsafe chf_name_thread(box.name)
  box.body()
}
