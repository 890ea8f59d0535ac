// SPDX-License-Identifier: Apache-2.0

#if os(Linux)
  import Foundation
  import Glibc

  /// A disk of a given size that only one thread sees, in memory, and that is gone with the thread.
  enum SmallDisk {
    struct Failure: Error, CustomStringConvertible { let description: String }

    /// Whether this user may mount one here.
    static let isAllowed: Bool = {
      let place = FileManager.default.temporaryDirectory.path
      let answer = Answer<Bool>()
      start {
        answer.value = (try? mount(at: place, bytes: 1 << 20)) != nil
        answer.isThere.signal()
      }
      answer.isThere.wait()
      return answer.value ?? false
    }()

    /// Runs `body` on a thread that sees an empty disk of so many bytes at `directory`.
    static func run<Result: Sendable>(
      at directory: String, bytes: Int, _ body: @escaping @Sendable () throws -> Result
    ) async throws -> Result {
      try await withCheckedThrowingContinuation { continuation in
        start {
          continuation.resume(
            with: Swift.Result {
              try mount(at: directory, bytes: bytes)
              return try body()
            })
        }
      }
    }

    private static func start(_ body: @escaping @Sendable () -> Void) {
      let thread = Thread(block: body)
      // SQLite and a debug build's frames.
      thread.stackSize = 8 << 20
      thread.start()
    }

    /// Gives the calling thread a mount namespace of its own, and mounts the disk in it.
    private static func mount(at directory: String, bytes: Int) throws {
      typealias Unshare = @convention(c) (Int32) -> Int32
      typealias Mount =
        @convention(c) (
          UnsafePointer<CChar>?, UnsafePointer<CChar>, UnsafePointer<CChar>?, UInt, UnsafeRawPointer?
        ) -> Int32
      guard let unshare = unsafe dlsym(nil, "unshare"), let mount = unsafe dlsym(nil, "mount") else {
        throw Failure(description: "there is no mount(2)")
      }
      let newNamespace: Int32 = 0x20000  // CLONE_NEWNS
      let privately: UInt = 0x4000 | 0x40000  // MS_REC | MS_PRIVATE
      let call = unsafe unsafeBitCast(mount, to: Mount.self)
      guard unsafe unsafeBitCast(unshare, to: Unshare.self)(newNamespace) == 0,
        unsafe call(nil, "/", nil, privately, nil) == 0,
        unsafe "size=\(bytes)".withCString({ unsafe call("tmpfs", directory, "tmpfs", 0, $0) }) == 0
      else { throw Failure(description: "mounting was refused (error \(errno))") }
    }

    /// `@unchecked Sendable`: written before the signal, read behind the wait.
    private final class Answer<Value>: @unchecked Sendable {
      var value: Value?
      let isThere = DispatchSemaphore(value: 0)
    }
  }
#endif
