// SPDX-License-Identifier: Apache-2.0

extension Spool {
  /// Where a spool lives and how much it may hold.
  public struct Configuration: Sendable {
    /// The directory of the segment files; made with mode 0700 when it is missing. Several processes, and
    /// several streams, may share one.
    public var directory: String
    /// The stream's name, the first part of each segment's file name: 1 to 32 of `a`–`z`, `0`–`9`, `_`.
    /// Whoever drains a stream adopts what dead processes left of the same stream.
    public var stream: String
    /// The most this process may hold on disk in bytes, undrained or set aside for the next appends.
    public var capacity: Int
    /// The size of one segment file in bytes. A record must fit into one.
    public var segmentBytes: Int
    /// How long a first record waits for company before a batch is written. Not waited for by
    /// ``Spool/flush(within:)``, by ``Spool/close(within:)``, or once a whole batch is there.
    public var linger: Duration
    /// How often a draining spool looks for segments of processes that have died since, and every spool
    /// whether its own file is still in its place.
    public var adoptionInterval: Duration

    /// A configuration; every limit has a default fit for usage rows of a few hundred bytes.
    public init(
      directory: String, stream: String, capacity: Int = 64 << 20, segmentBytes: Int = 1 << 20,
      linger: Duration = .milliseconds(5), adoptionInterval: Duration = .seconds(5)
    ) {
      self.directory = directory
      self.stream = stream
      self.capacity = capacity
      self.segmentBytes = segmentBytes
      self.linger = linger
      self.adoptionInterval = adoptionInterval
    }
  }
}

extension Spool.Configuration {
  /// What is wrong with it, or nil.
  var fault: String? {
    let legal = stream.utf8.allSatisfy { byte in
      switch byte {
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
        true
      default: false
      }
    }
    if stream.isEmpty || stream.utf8.count > 32 || !legal {
      return "the stream's name must be 1 to 32 of a-z, 0-9 and _, not \"\(stream)\""
    }
    if segmentBytes < 16 << 10 || segmentBytes % 4096 != 0 || segmentBytes > 1 << 30 {
      return "a segment must be a multiple of 4096 bytes from 16 KiB to 1 GiB, not \(segmentBytes)"
    }
    if capacity < 2 * segmentBytes {
      return "the capacity (\(capacity)) must be at least two segments of \(segmentBytes) bytes"
    }
    return nil
  }

  /// The largest payload that fits into a record.
  var largestPayload: Int {
    segmentBytes - SegmentFormat.headerBytes - SegmentFormat.recordHeaderBytes
  }
}
