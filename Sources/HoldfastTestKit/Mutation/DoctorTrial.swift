// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// One damaged file put before the doctor, the engine and the repair, with everything that must hold checked.
public struct DoctorTrial: Sendable {
  /// What the doctor found it to be; nil when there was no file.
  public private(set) var verdict: String?
  /// What became of it: `well`, `refused`, or `repaired`.
  public private(set) var outcome = "well"
  /// Rows a plain scan read before.
  public private(set) var scanned = 0
  /// Rows a plain scan reads after the repair.
  public private(set) var recovered = 0
  /// Rows that were read before and are others now (``ForeignScan/replaced(in:)``).
  public private(set) var replaced = 0
  /// What did not hold, a sentence each.
  public private(set) var failures: [String] = []

  private let file: MutatedFile
  private let before: ForeignScan

  /// Runs the trial of a number.
  public static func run(seed: UInt64) async throws -> DoctorTrial {
    var trial = try DoctorTrial(MutatedFile(seed: seed))
    try await trial.examine()
    try await trial.openAsForeign()
    if seed % 2 == 0 {
      try await trial.repairStore()
    } else {
      let place = try Place(trial.file.set)
      try await trial.repair(place, isUntouched: true)
    }
    return trial
  }

  private init(_ file: MutatedFile) throws {
    self.file = file
    before = try ForeignScan(of: file.set)
    scanned = before.total
  }

  /// A directory with the damaged set in it.
  private struct Place {
    let directory: TemporaryDirectory
    var path: String { directory.file("given.db") }

    init(_ set: FileSet) throws {
      directory = try TemporaryDirectory()
      try set.write(to: path)
    }

    /// Every file below the directory with its size and the time it was last changed.
    var names: [String: String] {
      get throws {
        var found: [String: String] = [:]
        for name in try FileManager.default.subpathsOfDirectory(atPath: directory.path) {
          let attributes = try FileManager.default.attributesOfItem(atPath: directory.file(name))
          found[name] = "\(attributes[.size] ?? "") \(attributes[.modificationDate] ?? "")"
        }
        return found
      }
    }
  }

  private mutating func require(_ holds: Bool, _ what: String) {
    if !holds { failures.append(what) }
  }

  /// Looking changes nothing.
  private mutating func examine() async throws {
    let place = try Place(file.set)
    let names = try place.names
    do {
      for subject in try Doctor.subjects(of: place.path) {
        verdict = try await Doctor.examine(subject).verdict.rawValue
      }
    } catch let error as StoreError {
      require(
        error.code == .cannotOpen && file.set.files[.database] == nil, "examining it failed: \(error)")
    }
    require(FileSet(at: place.path) == file.set, "examining it changed it")
    require(try place.names == names, "examining it left a trace")
  }

  /// The engine does not make it worse; what it refuses by its first bytes it leaves as it is.
  private mutating func openAsForeign() async throws {
    let place = try Place(file.set)
    let refusal = await Self.open(place.path)
    let begins = file.set.files[.database]?.starts(with: Array("SQLite format 3\0".utf8)) ?? false
    if !begins, refusal != nil {
      require(FileSet(at: place.path) == file.set, "the engine refused it and changed it")
    }
    let after = try ForeignScan(of: FileSet(at: place.path))
    let missing = before.shortfall(in: after)
    require(missing == 0, "\(missing) of \(before.total) rows were gone after the engine had opened it")
    require(
      !FileManager.default.fileExists(atPath: place.directory.file("quarantine")),
      "the engine moved a file that was not its own")
  }

  private static func open(_ path: String) async -> StoreError.Code? {
    do {
      let file = try await StateFile.open(
        path, configuration: .init(durability: .processDeathOnly, patience: .seconds(20)))
      await file.close()
      return nil
    } catch {
      return (error as? StoreError)?.code ?? .misuse
    }
  }

  /// As a store of the engine's: opened by it, perhaps set aside, then repaired.
  private mutating func repairStore() async throws {
    let place = try Place(FileSet())
    _ = await Self.open(place.path)
    for part in FileSet.Part.allCases {
      try? FileManager.default.removeItem(atPath: place.path + part.rawValue)
    }
    try file.set.write(to: place.path)
    _ = await Self.open(place.path)
    let hasQuarantine = FileManager.default.fileExists(atPath: place.directory.file("quarantine"))
    if hasQuarantine {
      let kept = try Self.kept(in: place)
      require(
        kept.contains { $0 == file.set }, "the engine put the set aside and did not keep it as it was")
    }
    try await repair(place, isUntouched: false)
  }

  private mutating func repair(_ place: Place, isUntouched: Bool) async throws {
    let names = try place.names
    let report: RepairReport?
    do {
      guard let subject = try Doctor.subjects(of: place.path).first else { return }
      let plan = try await DoctorRepair.examine(subject).plan
      require(try place.names == names, "planning a repair left a trace")
      if plan.action == .nothing {
        try check(place)
        return
      }
      report = try await DoctorRepair.carryOut(plan)
      outcome = "repaired"
    } catch let error as StoreError {
      outcome = "refused"
      report = nil
      if isUntouched {
        require(FileSet(at: place.path) == file.set, "a repair that was refused changed it: \(error.message)")
        require(
          try place.names.keys.allSatisfy { names[$0] != nil || $0.hasPrefix("quarantine") },
          "a repair that was refused left a trace")
      }
      let isOther = error.code == .newerSchema || error.code == .permission
      require(
        scanned == 0 || isOther, "\(scanned) rows could be read and it was not repaired: \(error.message)")
    }
    guard let report else { return }
    require(
      report.isHealthy,
      "it was repaired and is \(report.diagnosis?.verdict.rawValue ?? "not examined"): \(report.problems)")
    try check(place)
    if isUntouched {
      let kept = try Self.kept(in: place)
      var original = file.set
      original.files[.sharedMemory] = nil
      require(
        kept.contains { set in original.files.allSatisfy { set.files[$0] == $1 } },
        "the old files were not kept as they were")
    }
    require(
      !(try place.names.keys.contains { $0.contains("repairing") || $0.contains(".moving") }),
      "the repair left a temporary behind")
  }

  /// Sound, and with every row that could be read before.
  private mutating func check(_ place: Place) throws {
    let after = try ForeignScan(of: FileSet(at: place.path), checks: true)
    recovered = after.total
    if FileSet(at: place.path).files[.database]?.isEmpty == false {
      require(after.integrity == "ok", "after it integrity_check says \(after.integrity ?? "nothing")")
    }
    let missing = before.shortfall(in: after)
    replaced = before.replaced(in: after)
    require(missing == 0, "\(missing) of \(before.total) rows that could be read are gone")
  }

  /// The sets in quarantine.
  private static func kept(in place: Place) throws -> [FileSet] {
    let directory = place.directory.file("quarantine")
    guard FileManager.default.fileExists(atPath: directory) else { return [] }
    return try FileManager.default.contentsOfDirectory(atPath: directory).map {
      FileSet(at: "\(directory)/\($0)/given.db")
    }
  }
}

extension DoctorTrial: CustomStringConvertible {
  /// One line: number, verdict, outcome, rows, and what did not hold.
  public var description: String {
    let kinds = file.kinds.map(\.rawValue).joined(separator: "+")
    return "\(file.seed) \(verdict ?? "absent") \(outcome) \(scanned) \(recovered) \(replaced) \(kinds)"
      + failures.map { " | \($0.replacing("\n", with: " "))" }.joined()
  }
}
