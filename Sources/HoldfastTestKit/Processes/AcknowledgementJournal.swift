// SPDX-License-Identifier: Apache-2.0

import Foundation

/// What a peer has been promised, written down where a kill cannot take it back: one number for each
/// acknowledged write, synced before the peer goes on.
public final class AcknowledgementJournal: Sendable {
  /// Where it is.
  public let path: String
  private let descriptor: Int32
  private let isSynced: Bool

  /// Opens the journal for appending; makes it when it is missing.
  ///
  /// - Parameter synced: whether each entry is synced to the device. A kill needs no sync; a power cut does.
  public init(path: String, synced: Bool = true) throws {
    self.path = path
    isSynced = synced
    descriptor = unsafe Foundation.open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
    guard descriptor >= 0 else {
      throw PeerProcess.Failure(description: "The journal \(path) cannot be opened (error \(errno)).")
    }
  }

  deinit { close(descriptor) }

  /// Notes that the write with this number was acknowledged.
  public func acknowledge(_ number: UInt64) {
    var bytes = number.littleEndian
    let count = unsafe withUnsafeBytes(of: &bytes) { unsafe write(descriptor, $0.baseAddress, $0.count) }
    precondition(count == 8, "the acknowledgement journal \(path) cannot be written: error \(errno)")
    if isSynced {
      precondition(fsync(descriptor) == 0, "the journal \(path) cannot be synced: error \(errno)")
    }
  }

  /// The numbers acknowledged so far, in order; none where there is no journal. May be read while it grows.
  public static func numbers(in path: String) -> [UInt64] {
    guard let data = FileManager.default.contents(atPath: path) else { return [] }
    return unsafe data.withUnsafeBytes { bytes in
      (0..<bytes.count / 8).map { index in
        UInt64(littleEndian: unsafe bytes.loadUnaligned(fromByteOffset: index * 8, as: UInt64.self))
      }
    }
  }

  /// How many there are so far.
  public static func count(in path: String) -> Int {
    let size = (try? FileManager.default.attributesOfItem(atPath: path)[.size]) as? Int
    return (size ?? 0) / 8
  }
}

/// What was acknowledged, against what is there.
///
/// A write may be there without its acknowledgement (the kill came between the two), but at most once.
public struct AcknowledgementCheck: Hashable, Sendable {
  /// How many were acknowledged.
  public let acknowledged: Int
  /// How many are there.
  public let found: Int
  /// Acknowledged and not there.
  public let lost: [UInt64]
  /// There more than once.
  public let doubled: [UInt64]
  /// There behind a larger number of the same writer.
  public let misordered: [UInt64]

  /// Compares.
  ///
  /// - Parameters:
  ///   - acknowledged: what the journals say.
  ///   - found: what the store says, in its order.
  ///   - writer: whose a number is; order is looked at within each writer. nil looks at no order.
  public init(
    acknowledged: [UInt64], found: [UInt64], writer: ((UInt64) -> UInt64)? = nil
  ) {
    self.acknowledged = acknowledged.count
    self.found = found.count
    var counts: [UInt64: Int] = [:]
    for number in found { counts[number, default: 0] += 1 }
    lost = acknowledged.filter { counts[$0] == nil }
    doubled = counts.filter { $0.value > 1 }.keys.sorted()
    var misordered: [UInt64] = []
    if let writer {
      var largest: [UInt64: UInt64] = [:]
      for number in found {
        let writer = writer(number)
        if let last = largest[writer], number < last { misordered.append(number) }
        largest[writer] = max(number, largest[writer] ?? 0)
      }
    }
    self.misordered = misordered
  }

  /// Whether every promise was kept.
  public var holds: Bool { lost.isEmpty && doubled.isEmpty && misordered.isEmpty }
}

extension AcknowledgementCheck: CustomStringConvertible {
  /// The counts, and the first few numbers of what went wrong.
  public var description: String {
    func list(_ numbers: [UInt64]) -> String {
      numbers.isEmpty
        ? "0" : "\(numbers.count) (\(numbers.prefix(8).map(String.init).joined(separator: " ")))"
    }
    return "acknowledged \(acknowledged), found \(found), lost \(list(lost)), doubled \(list(doubled)), "
      + "misordered \(list(misordered))"
  }
}
