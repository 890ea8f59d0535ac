// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import Foundation

/// Sixteen processes on one file.
struct Crowd {
  var side: Side
  var callers: Int
  var hold = 0
  var processes = 16

  func turns(in directory: String, seconds: Double) async throws -> RunResult {
    let file = "\(directory)/\(side.rawValue)-\(UUID().uuidString).db"
    let crowd = self
    let children = try (0..<processes).map { _ in try Child(crowd, file: file, seconds: seconds) }
    let writers = try await onThread {
      for child in children { child.waitUntilReady() }
      for child in children { child.go() }
      return try children.map { try $0.turns() }
    }
    return RunResult(writers: writers, seconds: seconds)
  }
}

/// A process of the crowd: says `ready`, waits for the end of its input, writes, and prints its turns as JSON.
struct Worker: AsyncParsableCommand {
  static let configuration = CommandConfiguration(shouldDisplay: false)
  static let ready = "ready\n"

  @Option var side: Side
  @Option var file: String
  @Option var callers: Int
  @Option var hold: UInt32
  @Option var seconds: Double

  func run() async throws {
    let turns = try await write(side, to: file, callers: callers, hold: hold, seconds: seconds) {
      try FileHandle.standardOutput.write(contentsOf: Data(Self.ready.utf8))
      try await onThread { _ = FileHandle.standardInput.readDataToEndOfFile() }
    }
    let all = Turns(waits: turns.flatMap(\.waits))
    try FileHandle.standardOutput.write(contentsOf: JSONEncoder().encode(all))
  }
}

/// A worker as its parent sees it.
private final class Child: Sendable {
  private let process = Process()
  private let input = Pipe()
  private let output = Pipe()

  init(_ crowd: Crowd, file: String, seconds: Double) throws {
    process.executableURL = Bundle.main.executableURL
    process.arguments = [
      "worker", "--side", crowd.side.rawValue, "--file", file, "--callers", "\(crowd.callers)",
      "--hold", "\(crowd.hold)", "--seconds", "\(seconds)",
    ]
    process.standardInput = input
    process.standardOutput = output
    try process.run()
  }

  func waitUntilReady() { _ = try? output.fileHandleForReading.read(upToCount: Worker.ready.utf8.count) }

  func go() { try? input.fileHandleForWriting.close() }

  func turns() throws -> Turns {
    let printed = output.fileHandleForReading.readDataToEndOfFile()
    process.waitUntilExit()
    guard process.terminationStatus == 0 else { throw ValidationError("a process of the crowd failed") }
    return try JSONDecoder().decode(Turns.self, from: printed)
  }
}

/// Runs what blocks on a thread of its own: Swift's cooperative threads must never wait.
func onThread<T: Sendable>(_ body: @escaping @Sendable () throws -> T) async throws -> T {
  try await withCheckedThrowingContinuation { continuation in
    Thread.detachNewThread { continuation.resume(with: Result(catching: body)) }
  }
}
