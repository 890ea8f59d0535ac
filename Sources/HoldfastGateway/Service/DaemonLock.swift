// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

#if canImport(FoundationEssentials)
  import FoundationEssentials
#else
  import Foundation
#endif

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// Who serves a home.
public struct DaemonDescription: Codable, Sendable, Hashable {
  /// The daemon's process id.
  public var pid: Int32
  /// When it began, in RFC 3339.
  public var since: String
  /// Where it listens; nil until it does.
  public var port: Int?
  /// The address it listens on; nil until it does.
  public var host: String?

  /// Makes a description.
  public init(pid: Int32, since: String, port: Int? = nil, host: String? = nil) {
    self.pid = pid
    self.since = since
    self.port = port
    self.host = host
  }

  /// This process, from now.
  static func ofThisProcess() -> DaemonDescription {
    DaemonDescription(pid: getpid(), since: UnixTime.now().description)
  }
}

/// One daemon per home: a kernel lock on `HOME/daemon.lock`, which dies with its holder.
///
/// The file says who holds the lock, for people and for `holdfast status`; it means nothing while the lock is
/// free, whatever it says (rows B07 and B14).
public final class DaemonLock: Sendable {
  /// The file's name within a home.
  public static let fileName = "daemon.lock"
  /// The locked byte lies beyond anything that is written.
  private static let lockedByte: Int64 = 1 << 30

  private let file: LockFile
  private let description: DaemonDescription

  private init(file: LockFile, description: DaemonDescription) {
    self.file = file
    self.description = description
  }

  /// Takes the lock of a home.
  ///
  /// - Throws: ``GatewayError`` with code `alreadyRunning`, naming the daemon that has it; `home` or `permission`
  ///   when the file cannot be used.
  public static func acquire(home: String) throws(GatewayError) -> DaemonLock {
    let path = home + "/" + fileName
    do {
      let file = try LockFile(path: path)
      if try file.tryLock(.exclusive, at: lockedByte) {
        let lock = DaemonLock(file: file, description: .ofThisProcess())
        try lock.write(lock.description)
        return lock
      }
    } catch let error as StoreError {
      throw GatewayError(error.code == .permission ? .permission : .home, error.message, underlying: error)
    } catch let error as GatewayError {
      throw error
    } catch {
      throw GatewayError(.home, "The daemon's lock cannot be taken in \(home).", underlying: error)
    }
    guard let other = holder(home: home) else {
      throw GatewayError(
        .alreadyRunning, "Another daemon is just starting on \(home); try again in a moment.")
    }
    let place = other.port.map { " on port \($0)" } ?? ""
    throw GatewayError(
      .alreadyRunning,
      "A daemon already serves \(home): pid \(other.pid), since \(other.since)\(place); stop it, or use another --home."
    )
  }

  /// Who holds the lock: this process.
  var holder: DaemonDescription { description }

  /// Writes down where the daemon listens.
  public func noteListening(host: String, port: Int) throws(GatewayError) {
    var description = self.description
    description.host = host
    description.port = port
    try write(description)
  }

  /// The daemon that serves a home right now, or nil when none does.
  public static func holder(home: String) -> DaemonDescription? {
    let path = home + "/" + fileName
    // A home nobody served yet stays as it is.
    guard unsafe access(path, F_OK) == 0, let file = try? LockFile(path: path) else { return nil }
    // A holder takes the lock an instant before it writes who it is: a few looks bridge that.
    for _ in 0..<100 {
      guard file.isBlocked(.exclusive, at: lockedByte) else { return nil }
      if let text = file.text,
        let found = try? JSONDecoder().decode(DaemonDescription.self, from: Data(text)),
        kill(found.pid, 0) == 0 || errno == EPERM
      {
        return found
      }
      usleep(2000)
    }
    return nil
  }

  private func write(_ description: DaemonDescription) throws(GatewayError) {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
    guard var bytes = (try? encoder.encode(description)).map(Array.init) else { return }
    bytes.append(ASCII.lineFeed)
    guard ftruncate(file.descriptor, 0) == 0 else { throw Self.writing(file.path) }
    let written = unsafe bytes.withUnsafeBytes { unsafe pwrite(file.descriptor, $0.baseAddress, $0.count, 0) }
    guard written == bytes.count else { throw Self.writing(file.path) }
  }

  private static func writing(_ path: String) -> GatewayError {
    let reason = unsafe String(cString: strerror(errno))
    return GatewayError(.home, "Writing \(path) failed (\(reason)): free some space, or check its directory.")
  }
}

extension LockFile {
  /// The file's first bytes.
  fileprivate var text: [UInt8]? {
    var bytes = [UInt8](repeating: 0, count: 4096)
    let count = unsafe bytes.withUnsafeMutableBytes { unsafe pread(descriptor, $0.baseAddress, $0.count, 0) }
    return count > 0 ? Array(bytes.prefix(count)) : nil
  }
}
