// SPDX-License-Identifier: Apache-2.0

import NIOCore
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// How many connections the gateway holds at a time, clients' and upstreams' together (row G07).
///
/// Without a bound of its own a server runs into the process's descriptors: then it can neither accept nor say so, and
/// the stores cannot open a file either. So some descriptors are left to the rest of the process, and a quarter of
/// the others to connections to upstreams.
final class ConnectionBudget: Sendable {
  /// What becomes of a new client connection.
  enum Admission: Sendable {
    case welcome
    /// One too many: its first request is answered with 503.
    case turnedAway
    /// Far too many: closed without a word.
    case dropped
  }

  /// Left to the stores, the spool, backups and whatever else the process opens.
  static let kept = 192
  /// Most connections above the bound that are answered before they are closed.
  static let mostAnswered = 64

  /// Most client connections that are served.
  let clients: Int
  private let answered: Int
  /// Clients' that are served, and upstreams'.
  private let everything: Int
  private let openClients = Atomic<Int>(0)
  private let openUpstreams = Atomic<Int>(0)

  /// - Parameters:
  ///   - descriptors: the process's limit of open files.
  ///   - clients: a lower bound for clients' connections, where one is wanted.
  init(descriptors: Int, clients: Int? = nil) {
    let usable = max(min(descriptors, 1 << 16) - Self.kept, 24)
    answered = min(Self.mostAnswered, usable / 8)
    everything = usable - answered
    self.clients = min(clients ?? .max, max(everything / 4 * 3, 16))
  }

  /// The bound for this process as it is now.
  static func ofThisProcess(clients: Int? = nil) -> ConnectionBudget {
    var limit = rlimit()
    #if os(Linux)
      let files = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
    #else
      let files = RLIMIT_NOFILE
    #endif
    guard unsafe getrlimit(files, &limit) == 0 else {
      return ConnectionBudget(descriptors: 1024, clients: clients)
    }
    return ConnectionBudget(descriptors: Int(clamping: limit.rlim_cur), clients: clients)
  }

  /// How many clients are connected just now, those that are turned away included.
  var connected: Int { openClients.load(ordering: .relaxed) }

  /// Counts a new client connection, whatever becomes of it; ``leave()`` when it has ended.
  func admit() -> Admission {
    let count = openClients.add(1, ordering: .relaxed).newValue
    if count <= clients { return .welcome }
    return count <= clients + answered ? .turnedAway : .dropped
  }

  func leave() { openClients.subtract(1, ordering: .relaxed) }

  /// Counts a new connection to an upstream, where there is room for it; ``leaveUpstream()`` when it has ended.
  func admitUpstream() -> Bool {
    let count = openUpstreams.add(1, ordering: .relaxed).newValue
    // Those that are turned away have a share of their own: they must not cost the others their upstreams.
    if count + min(openClients.load(ordering: .relaxed), clients) <= everything { return true }
    leaveUpstream()
    return false
  }

  func leaveUpstream() { openUpstreams.subtract(1, ordering: .relaxed) }
}

extension ProxyFault {
  /// The answer to a connection above the bound.
  static let tooManyConnections = ProxyFault(
    .tooManyConnections,
    "Holdfast holds as many connections as it may; send the request again in a moment, or close idle ones.")
}
