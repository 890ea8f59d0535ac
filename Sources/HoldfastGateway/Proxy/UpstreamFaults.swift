// SPDX-License-Identifier: Apache-2.0

import NIOCore
import NIOPosix
import NIOSSL

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What an upstream's failures are called towards the client.
enum UpstreamFaults {
  /// The connection could not be made.
  static func connecting(to upstream: Upstream, _ error: any Error) -> ProxyFault {
    if let fault = error as? ProxyFault { return fault }
    let place = "\(upstream.name) (\(upstream.authority))"
    if isTimeout(error) {
      return ProxyFault(
        .upstreamConnectTimeout,
        "Holdfast could not connect to \(place) in time; check the network, or the provider's base_url.")
    }
    return ProxyFault(
      .upstreamUnreachable,
      "Holdfast could not connect to \(place): \(cause(error)); check the network, or the provider's base_url."
    )
  }

  /// The connection ended before a response.
  static func closed(_ upstream: Upstream, _ error: (any Error)?) -> ProxyFault {
    let why = error.map { " (\(cause($0)))" } ?? ""
    return ProxyFault(
      .upstreamClosed,
      "\(upstream.name) (\(upstream.authority)) closed the connection without an answer\(why);"
        + " it may have worked on the request.")
  }

  /// The answer was no HTTP.
  static func malformed(_ upstream: Upstream, _ fault: MessageFault) -> ProxyFault {
    ProxyFault(
      .upstreamMalformed,
      "\(upstream.name) (\(upstream.authority)) gave an answer that is no HTTP/1.1: \(fault.message).")
  }

  /// No answer came.
  static func silent(_ upstream: Upstream, _ bound: TimeAmount) -> ProxyFault {
    ProxyFault(
      .upstreamTimeout,
      "\(upstream.name) (\(upstream.authority)) sent nothing for \(bound.nanoseconds / 1_000_000_000) s.")
  }

  private static func isTimeout(_ error: any Error) -> Bool {
    switch error {
    case ChannelError.connectTimeout: true
    case let error as NIOConnectionError:
      error.connectionErrors.contains { isTimeout($0.error) }
    case let error as IOError: error.errnoCode == ETIMEDOUT
    default: false
    }
  }

  /// The cause in a few words.
  private static func cause(_ error: any Error) -> String {
    switch error {
    case let error as NIOConnectionError:
      if let first = error.connectionErrors.first { return cause(first.error) }
      if error.dnsAError != nil || error.dnsAAAAError != nil { return "the name \(error.host) is not known" }
      return "no address answered"
    case let error as IOError:
      return unsafe String(cString: strerror(error.errnoCode)).lowercased()
    case let error as NIOSSLError:
      return "TLS: \(error)"
    case let error as NIOSSLExtraError:
      return "TLS: \(error)"
    case ChannelError.eof, ChannelError.ioOnClosedChannel, ChannelError.alreadyClosed:
      return "it closed the connection"
    default:
      return String(describing: error)
    }
  }
}
