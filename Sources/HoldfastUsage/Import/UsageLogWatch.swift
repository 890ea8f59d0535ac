// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// Imports programs' logs as they are written, until it is cancelled.
///
/// It looks at everything once, and then at what the kernel says was written to (inotify). Every few seconds it looks
/// whether a program has been installed meanwhile, and now and then at everything again, which costs what the system
/// says of each file. Reading and waiting happen on threads of its own.
public struct UsageLogWatch: Sendable {
  private let formats: [UsageLogFormat]
  private let paths: [String]
  private let environment: [String: String]
  private let interval: Duration

  /// A watch of programs where they keep their logs, and of files and directories.
  ///
  /// - Parameters:
  ///   - paths: absolute; whose each file is is told by what is in it.
  ///   - environment: of the process, which says where programs keep their logs.
  ///   - interval: how often everything is looked at.
  public init(
    _ formats: [UsageLogFormat], paths: [String] = [], environment: [String: String],
    interval: Duration = .seconds(300)
  ) {
    (self.formats, self.paths) = (formats, paths)
    (self.environment, self.interval) = (environment, interval)
  }

  /// Imports what there is and what comes.
  ///
  /// - Parameters:
  ///   - onReport: called with what came of each program's logs: of all of them the first time, then of those where
  ///     something came of it.
  ///   - onError: called when the ledger could not be written; it is tried again.
  /// - Throws: `CancellationError`.
  public func run(
    into ledger: some UsageLedger,
    onReport: @Sendable (UsageImportReport) -> Void,
    onError: @Sendable (any Error) -> Void = { _ in }
  ) async throws {
    let watch = TreeWatch()
    try await withTaskCancellationHandler {
      var isFirst = true
      var known: Set<UsageLogRoot> = []
      var change: TreeWatch.Change? = .everything
      var lastWhole = ContinuousClock.now
      while var now = change {
        try Task.checkCancellation()
        do {
          let roots = try await roots()
          if now == .nothing, roots != known || lastWhole.duration(to: .now) >= interval { now = .everything }
          if now == .everything { (known, lastWhole) = (roots, .now) }
          for (format, places) in try await look(at: now, roots, watch) {
            let report = try await ledger.importLogs(places, of: format)
            let isNews = report.rowsNew + report.rowsMerged + report.refused > 0
            if isFirst || isNews { onReport(report) }
          }
          isFirst = false
          change = try await BlockingThread.run(named: "hf-log-watch") {
            watch.wait(atMost: Self.newcomers)
          }
        } catch let error as CancellationError {
          throw error
        } catch {
          onError(error)
          try await Task.sleep(for: .seconds(5))
          change = .everything
        }
      }
      try Task.checkCancellation()
    } onCancel: {
      watch.stop()
    }
  }

  /// How often it is looked whether a program has been installed.
  private static let newcomers = Duration.seconds(3)

  private func roots() async throws -> Set<UsageLogRoot> {
    try await BlockingThread.run(named: "hf-log-watch") { [formats, environment] in
      Set(formats.flatMap { UsageLogRoot.usual($0, environment: environment) })
    }
  }

  private func look(
    at change: TreeWatch.Change, _ roots: Set<UsageLogRoot>, _ watch: TreeWatch
  ) async throws -> [(UsageLogFormat, [UsageLogPlace])] {
    try await BlockingThread.run(named: "hf-log-watch") { [self] in
      var places: [UsageLogPlace] = []
      switch change {
      case .nothing: break
      case .everything:
        // First watched and then looked through: what comes in between is told twice, not never.
        for root in roots { watch.add(root.path, depth: root.depth) }
        for path in paths {
          let isDirectory = UsageLogPlace.isDirectory(path)
          watch.add(isDirectory ? path : Self.directory(of: path), depth: isDirectory ? 32 : 0)
          // What cannot be told whose it is may be so later.
          places += (try? UsageLogPlace.all(at: path)) ?? []
        }
        places += roots.flatMap(\.places)
      case .files(let files):
        for file in files {
          if let root = roots.first(where: { file.hasPrefix($0.path + "/") }) {
            if let place = root.place(file) { places.append(place) }
          } else if paths.contains(where: { file == $0 || file.hasPrefix($0 + "/") }) {
            places += (try? UsageLogPlace.all(at: file)) ?? []
          }
        }
      }
      let ordered = UsageLogPlace.inOrder(places)
      return UsageLogFormat.allCases.compactMap { format in
        let own = ordered.filter { $0.format == format }
        return own.isEmpty ? nil : (format, own)
      }
    }
  }

  private static func directory(of path: String) -> String {
    let directory = path.split(separator: "/").dropLast().joined(separator: "/")
    return "/" + directory
  }
}
