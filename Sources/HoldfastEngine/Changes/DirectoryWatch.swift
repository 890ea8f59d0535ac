// SPDX-License-Identifier: Apache-2.0

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Tells when files of a directory change, from the kernel, without opening any of them.
///
/// The watch is on the directory: opening the database or a sidecar and closing it again would drop the
/// process's locks on it (row B01). One inotify(7) instance and one thread serve the whole process; the
/// thread sleeps in the kernel while nothing happens. Where there is no inotify nothing is ever told, and
/// whoever subscribes must look by itself now and then (``isAvailable``).
package final class DirectoryWatch: Sendable {
  /// What is told of a directory's files.
  package enum Interest {
    /// Their bytes: one event or more for each write(2).
    case content
    /// Their names: created, deleted, moved. Writing to them is free.
    case names
  }

  package static let content = DirectoryWatch(.content)
  package static let names = DirectoryWatch(.names)

  package struct Token: Hashable, Sendable {
    fileprivate let id: Int
    fileprivate let watch: Int32
  }

  private struct Subscriber {
    var watch: Int32
    var names: Set<String>
    var notify: @Sendable () -> Void
  }

  private struct State {
    var descriptor: Int32?
    var subscribers: [Int: Subscriber] = [:]
    var nextID = 0
  }

  private let interest: Interest
  private let monitor = Monitor(State())

  private init(_ interest: Interest) {
    self.interest = interest
  }

  /// Calls `notify`, on the watch's thread, whenever one of the named files of the directory changed.
  /// - Returns: nil where the system offers no watch (no inotify, or its limit of instances is reached).
  package func subscribe(
    directory: String, names: Set<String>, notify: @escaping @Sendable () -> Void
  ) -> Token? {
    #if os(Linux)
      return monitor.withLock { state in
        guard let descriptor = state.descriptor ?? Self.open() else { return nil }
        if state.descriptor == nil {
          state.descriptor = descriptor
          BlockingThread.start(named: "hf-watch") { self.run(descriptor) }
        }
        let watch = unsafe inotify_add_watch(descriptor, directory, mask)
        guard watch >= 0 else { return nil }
        state.nextID += 1
        state.subscribers[state.nextID] = Subscriber(watch: watch, names: names, notify: notify)
        return Token(id: state.nextID, watch: watch)
      }
    #else
      return nil
    #endif
  }

  /// Ends a subscription; the last one of a directory ends its watch.
  package func cancel(_ token: Token) {
    #if os(Linux)
      monitor.withLock { state in
        state.subscribers[token.id] = nil
        if let descriptor = state.descriptor,
          !state.subscribers.values.contains(where: { $0.watch == token.watch })
        {
          inotify_rm_watch(descriptor, token.watch)
        }
      }
    #endif
  }

  #if os(Linux)
    private var mask: UInt32 {
      switch interest {
      case .content: UInt32(IN_MODIFY | IN_CREATE | IN_MOVED_TO)
      case .names: UInt32(IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO)
      }
    }

    private static func open() -> Int32? {
      let descriptor = inotify_init1(Int32(IN_CLOEXEC))
      return descriptor >= 0 ? descriptor : nil
    }

    private func run(_ descriptor: Int32) {
      var buffer = [UInt8](repeating: 0, count: 65_536)
      while true {
        let count = unsafe buffer.withUnsafeMutableBytes { unsafe read(descriptor, $0.baseAddress, $0.count) }
        if count < 0, errno == EINTR { continue }
        guard count > 0 else { return }
        for notify in subscribers(to: Self.events(in: buffer[..<count])) { notify() }
      }
    }

    /// The (watch, name) pairs of a read from inotify(7); an overflow is watch -1 and concerns everybody.
    static func events(in bytes: ArraySlice<UInt8>) -> Set<Event> {
      var events: Set<Event> = []
      var start = bytes.startIndex
      while start + 16 <= bytes.endIndex {
        func word(_ offset: Int) -> UInt32 {
          (0..<4).reduce(0) { $0 | UInt32(bytes[start + offset + $1]) << UInt32(8 * $1) }
        }
        let length = Int(word(12))
        let name = bytes[(start + 16)..<min(start + 16 + length, bytes.endIndex)].prefix { $0 != 0 }
        events.insert(Event(watch: Int32(bitPattern: word(0)), name: String(decoding: name, as: UTF8.self)))
        start += 16 + length
      }
      return events
    }

    struct Event: Hashable {
      var watch: Int32
      var name: String
    }

    private func subscribers(to events: Set<Event>) -> [@Sendable () -> Void] {
      let overflowed = events.contains { $0.watch == -1 }
      return monitor.withLock { state in
        state.subscribers.values.filter { subscriber in
          overflowed || events.contains { $0.watch == subscriber.watch && subscriber.names.contains($0.name) }
        }.map(\.notify)
      }
    }
  #endif
}
