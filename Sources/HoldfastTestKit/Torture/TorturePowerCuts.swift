// SPDX-License-Identifier: Apache-2.0

import GRDB
import GRDBSQLite
import HoldfastEngine

/// A peer whose disk loses power: the engine itself runs on a ``PowerLossDisk``, and after every event of the
/// disk's log the power is cut, several times with different outcomes, and what is left is looked at.
///
/// The process's default VFS is replaced, so that every connection the engine makes is on that disk. The
/// guard's and the lane's files are real ones beside it; they carry locks and notes, never data.
struct TorturePowerCuts {
  private let peer: TorturePeer
  private let link: PeerLink

  init(_ peer: TorturePeer, _ link: PeerLink) {
    self.peer = peer
    self.link = link
  }

  /// Cuts the power as often as the peer's settings say.
  func run() async throws {
    var random = SplitMix64(seed: peer.seed)
    var left = peer.powerCuts
    while left > 0 {
      let seed = random.next()
      let log = try await recordWorkload(seed: seed)
      let image = PowerLossDisk(seed: seed)
      var done = 0
      log.forEachPowerCut(seed: seed, times: 4, every: 3) { state, notes, cut in
        guard done < left else { return }
        done += 1
        image.load(state)
        look(at: image, promised: notes, cut)
      }
      left -= done
      link.tell("promised \(log.promised)")
      link.tell("cuts \(done)")
    }
  }

  /// Concurrent callers, failing ones among them, and checkpoints every few pages.
  private func recordWorkload(seed: UInt64) async throws -> DiskLog {
    let directory = try TemporaryDirectory()
    let disk = PowerLossDisk(seed: seed)
    disk.becomeDefault()
    defer { disk.resignDefault() }
    let file = try await StateFile.open(
      directory.file("a.db"), configuration: .init(checkpointPages: 24), migrations: TorturePeer.migrations)
    var random = SplitMix64(seed: seed)
    var next: UInt64 = 0
    for _ in 0..<25 {
      let callers = Int.random(in: 1...6, using: &random)
      let sizes = (0..<callers).map { _ in
        Int.random(in: 0...(random.chance(0.1) ? 9000 : 200), using: &random)
      }
      await withTaskGroup(of: Void.self) { group in
        for size in sizes {
          next += 1
          let number = next
          group.addTask {
            do {
              try await file.write { db in
                try db.cachedStatement(sql: "INSERT INTO written(number, text) VALUES (?, ?)")
                  .execute(arguments: [Int64(number), String(repeating: "x", count: size)])
              }
              disk.note(number)
            } catch {
              link.tell("error on a power-loss disk: \(error)")
            }
          }
        }
      }
    }
    await file.close()
    return disk.log
  }

  private func look(at disk: PowerLossDisk, promised: [UInt64], _ cut: PowerCut) {
    do {
      let connection = try ForeignConnection(disk.onlyDatabase ?? "/none.db", vfs: disk.vfsName)
      let verdict = try connection.text("PRAGMA integrity_check")
      guard verdict == "ok" else { return link.tell("integrity \(verdict ?? "?") after \(cut)") }
      guard !promised.isEmpty else { return }
      let list = promised.map(String.init).joined(separator: ",")
      let found = try connection.text("SELECT count(DISTINCT number) FROM written WHERE number IN (\(list))")
      let doubled = try connection.text("SELECT count(*) - count(DISTINCT number) FROM written")
      if let found = found.flatMap(Int.init), found < promised.count {
        link.tell("lost \(promised.count - found) after \(cut)")
      }
      if let doubled = doubled.flatMap(Int.init), doubled > 0 { link.tell("doubled \(doubled) after \(cut)") }
    } catch {
      link.tell("integrity \(error) after \(cut)")
    }
  }
}

extension DiskLog {
  /// Writes that were acknowledged while the log was made.
  fileprivate var promised: Int {
    events.count { if case .note = $0 { true } else { false } }
  }
}

extension PowerLossDisk {
  /// The database on the disk; nil before there is one.
  fileprivate var onlyDatabase: String? {
    state.contents.keys.first { $0.hasSuffix("/a.db") }
  }

  /// Has every connection that names no VFS open on this disk.
  fileprivate func becomeDefault() {
    unsafe sqlite3_vfs_register(sqlite3_vfs_find(vfsName), 1)
  }

  /// Makes the system's own VFS the default again.
  fileprivate func resignDefault() {
    unsafe sqlite3_vfs_register(sqlite3_vfs_find("unix"), 1)
  }
}
