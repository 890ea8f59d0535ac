// SPDX-License-Identifier: Apache-2.0

import CHoldfast

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Brings a file's written pages to the disk, a little at a time and without flushing the disk's own cache.
///
/// One sync of hundreds of megabytes fills the device's queue, and the commits' own syncs wait behind it. And a flush
/// is of the whole device: those of the commits, hundreds a second, do it anyway, and every more one is one they wait
/// for. What must last is synced by whoever relies on it.
enum WriteBack {
  /// Bytes of the file that are looked at in one go.
  private static let stretch: Int64 = 1 << 20

  /// Writes back what has been written to the file so far, and leaves the disk to others for as long as each stretch
  /// took. Blocks.
  ///
  /// - Parameters:
  ///   - start: where to begin.
  ///   - isStopped: asked between two stretches; true ends it.
  static func run(_ descriptor: Int32, from start: Int64 = 0, unless isStopped: () -> Bool = { false }) {
    var info = stat()
    guard unsafe fstat(descriptor, &info) == 0 else { return }
    for place in stride(from: start, to: Int64(info.st_size), by: Int64.Stride(stretch)) {
      if isStopped() { return }
      let began = ContinuousClock.now
      // Where the system has no such call, the sync that follows does it all.
      guard chf_write_out(descriptor, place, stretch) == 0 else { return }
      let took = began.duration(to: .now)
      if took > .milliseconds(1) { BlockingThread.sleep(min(took, .milliseconds(50))) }
    }
  }
}
