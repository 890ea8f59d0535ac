// SPDX-License-Identifier: Apache-2.0

import Foundation

/// Several peers that run the same program.
public struct PeerGroup: Sendable {
  /// The peers, by index.
  public private(set) var peers: [PeerProcess]
  private let executable: String
  private let arguments: @Sendable (Int) -> [String]

  /// Starts `count` peers; `arguments` gives each its own by its index.
  public static func start(
    _ count: Int, of executable: String, arguments: @escaping @Sendable (Int) -> [String]
  ) throws -> PeerGroup {
    PeerGroup(
      peers: try (0..<count).map { try PeerProcess.start(executable, arguments: arguments($0)) },
      executable: executable, arguments: arguments)
  }

  private init(
    peers: [PeerProcess], executable: String, arguments: @escaping @Sendable (Int) -> [String]
  ) {
    self.peers = peers
    self.executable = executable
    self.arguments = arguments
  }

  /// Waits until all stand at the gate, then opens it for all: a starting line.
  public func pass(_ gate: String) async throws {
    for peer in peers { try await peer.arrival(at: gate) }
    for peer in peers { peer.open(gate) }
  }

  /// Kills one and starts another in its place.
  public mutating func replace(_ index: Int) async throws {
    await peers[index].kill()
    peers[index] = try PeerProcess.start(executable, arguments: arguments(index))
  }

  /// Kills all of them.
  public func kill() async {
    for peer in peers { await peer.kill() }
  }

  /// Waits until all have ended.
  public func end() async -> [PeerProcess.Ending] {
    var endings: [PeerProcess.Ending] = []
    for peer in peers { endings.append(await peer.end()) }
    return endings
  }
}

extension PeerProcess {
  /// Where a program of the same package was built: beside the running program or test bundle.
  ///
  /// - Throws: ``Failure`` when it is not there; it names the places.
  public static func builtExecutable(named name: String) throws -> String {
    let bundles = Bundle.allBundles.map(\.bundleURL).filter { $0.pathExtension == "xctest" }
    let running = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
    let places = (bundles + [Bundle.main.bundleURL.appendingPathComponent("x"), running])
      .map { $0.deletingLastPathComponent().appendingPathComponent(name).path }
    for place in places where FileManager.default.isExecutableFile(atPath: place) { return place }
    throw Failure(
      description: "The program \(name) is not at \(places.joined(separator: ", ")): build the whole package."
    )
  }
}
