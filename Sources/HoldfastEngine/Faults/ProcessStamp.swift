// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// A process known beyond its number, which is another's once it has ended (row B07).
///
/// Two processes have the same stamp only if they are one: the number is unique in a pid namespace at a time, the
/// start is the kernel's count of ticks, and the boot is its random id.
public struct ProcessStamp: Hashable, Sendable, Codable {
  /// The process id, as seen from here.
  public let pid: Int32
  /// When it started, in clock ticks since the machine did (field 22 of `/proc/PID/stat`, proc(5)).
  public let start: Int64
  /// The boot and the pid namespace: `/proc/sys/kernel/random/boot_id` and what `/proc/self/ns/pid` links to.
  public let boot: String

  /// A stamp that was kept.
  public init(pid: Int32, start: Int64, boot: String) {
    (self.pid, self.start, self.boot) = (pid, start, boot)
  }

  #if os(Linux)
    /// The process that has this number now.
    /// - Returns: nil when there is none, and for one that has ended and was not yet waited for.
    public init?(pid: Int32) {
      guard pid > 0, let start = Self.start(of: pid) else { return nil }
      self.init(pid: pid, start: start, boot: Self.here)
    }

    /// This boot and this pid namespace, as a stamp has them.
    static let here: String = {
      let boot = String(decoding: ProcFile.bytes("/proc/sys/kernel/random/boot_id"), as: UTF8.self)
      var name = [CChar](repeating: 0, count: 64)
      let count = unsafe readlink("/proc/self/ns/pid", &name, name.count)
      let link = name.prefix(max(0, count)).map { UInt8(bitPattern: $0) }
      return boot.filter { $0 != "\n" } + " " + String(decoding: link, as: UTF8.self)
    }()

    private static func start(of pid: Int32) -> Int64? {
      let text = String(decoding: ProcFile.bytes("/proc/\(pid)/stat"), as: UTF8.self)
      // The command is in parentheses and may have some of its own; the third field stands behind the last one.
      guard let paren = text.lastIndex(of: ")") else { return nil }
      let fields = text[text.index(after: paren)...].split(separator: " ")
      guard fields.count > 19, fields[0] != "Z", fields[0] != "X" else { return nil }
      return Int64(fields[19])
    }
  #else
    /// The process that has this number now; when it started is not asked here.
    public init?(pid: Int32) {
      guard pid > 0, kill(pid, 0) == 0 || errno == EPERM else { return nil }
      self.init(pid: pid, start: 0, boot: Self.here)
    }

    static let here = "-"
  #endif

  /// Whether the very process lives. One of another pid namespace cannot be seen from here, and does not.
  public var isAlive: Bool { ProcessStamp(pid: pid) == self }

  /// Sends it a signal, if it lives.
  /// - Returns: whether it was there.
  @discardableResult public func send(_ signal: Int32) -> Bool {
    isAlive && kill(pid, signal) == 0
  }
}
