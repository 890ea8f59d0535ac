// SPDX-License-Identifier: Apache-2.0

import ArgumentParser
import HoldfastGateway
import HoldfastUsage

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

/// What every command takes.
struct CommonOptions: ParsableArguments {
  @Option(
    name: .long,
    help: ArgumentHelp("Where data lives (default: HOLDFAST_HOME, or ~/.holdfast).", valueName: "dir"))
  var home: String?

  @Flag(name: .long, help: "Print JSON: one object, or one a line where there are several.")
  var json = false

  /// The home directory, absolute.
  var resolvedHome: Home { Home(home) }
}

/// The directory that holds everything Holdfast keeps.
struct Home: Sendable {
  /// Absolute, without a trailing slash.
  let path: String

  /// The directory named on the command line, or by the environment, or the usual one.
  init(_ given: String?) {
    let environment = Process.environment
    path = Self.absolute(
      given ?? environment["HOLDFAST_HOME"].flatMap { $0.isEmpty ? nil : $0 } ?? "~/.holdfast")
  }

  /// A path as given on a command line, absolute and without a trailing slash.
  static func absolute(_ given: String) -> String {
    var text = given
    if text == "~" || text.hasPrefix("~/") {
      text = (Process.environment["HOME"] ?? "") + text.dropFirst()
    }
    if !text.hasPrefix("/") { text = FileManager.default.currentDirectoryPath + "/" + text }
    while text.count > 1, text.hasSuffix("/") { text.removeLast() }
    return text
  }

  /// Where its backups go.
  var backups: String { path + "/backups" }

  /// The databases that lie in it, by name.
  var databases: [String] {
    ((try? FileManager.default.contentsOfDirectory(atPath: path)) ?? []).sorted()
      .filter { $0.hasSuffix(".db") && !$0.hasPrefix(".") }.map { path + "/" + $0 }
  }

  /// Whether there is a file of that name.
  static func exists(_ path: String) -> Bool {
    var found = stat()
    return unsafe stat(path, &found) == 0
  }

  /// Whether it is there.
  var exists: Bool { Self.exists(path) }

  /// Whether dead processes may have left rows that have not landed: there are files in the spool.
  ///
  /// - Parameter stream: of this store.
  func hasSpooledFiles(of stream: String) -> Bool {
    ((try? FileManager.default.contentsOfDirectory(atPath: path + "/spool")) ?? [])
      .contains { $0.hasPrefix(stream + "-") }
  }

  /// Makes the directory, for its owner only.
  ///
  /// - Throws: ``Failure`` with code 73 or 77, naming what is in the way.
  func make() throws {
    var made = ""
    for part in path.split(separator: "/") {
      made += "/" + part
      // The home itself is private whatever the umask; what lies above it is the user's own.
      let isHome = made == path
      if unsafe mkdir(made, isHome ? 0o700 : 0o777) == 0 {
        if isHome { _ = unsafe chmod(made, 0o700) }
        continue
      }
      let code = errno
      if code == EEXIST || code == EISDIR { continue }
      throw refusal(made, code)
    }
    var found = stat()
    guard unsafe stat(path, &found) == 0 else { throw refusal(path, errno) }
    guard found.st_mode & S_IFMT == S_IFDIR else { throw refusal(path, ENOTDIR) }
  }

  private func refusal(_ place: String, _ code: Int32) -> Failure {
    let reason = unsafe String(cString: strerror(code)).lowercased()
    return Failure(
      code == EACCES || code == EPERM || code == EROFS ? ExitStatus.permission : ExitStatus.cannotCreate,
      "The home \(path) cannot be made: \(place): \(reason); name another with --home.")
  }

  /// What `config.yaml` and the environment say.
  ///
  /// - Throws: `GatewayError` with code `configuration`; ``Failure`` when the file cannot be read.
  func configuration() throws -> GatewayConfiguration {
    let file = path + "/config.yaml"
    var yaml: String?
    if let data = FileManager.default.contents(atPath: file) {
      guard let text = String(data: data, encoding: .utf8) else {
        throw Failure(ExitStatus.configuration, "\(file) is not UTF-8 text.")
      }
      yaml = text
    } else if unsafe access(file, F_OK) == 0 {
      throw Failure(ExitStatus.permission, "\(file) cannot be read; give this user the right to read it.")
    }
    return try GatewayConfiguration.load(home: path, environment: Process.environment, yaml: yaml)
  }
}
