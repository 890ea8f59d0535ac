// SPDX-License-Identifier: Apache-2.0

import Foundation
import GRDB
import HoldfastEngine

/// Forks, uses the handle in the child in every way, and says what came of each.
///
/// The child has only the thread that forked, so nothing in it may wait for another: a refusal must come
/// before the first suspension.
func outcomesInChild(of file: StateFile) async -> [String] {
  var outcomes: [String] = []
  for use in 0..<5 {
    let child = forkProcess()
    if child == 0 {
      // A call that is not refused waits for threads that are not there.
      alarm(20)
      do {
        switch use {
        case 0: try await file.write { try insert(0, $0) }
        case 1: _ = try await file.read { try Int.fetchOne($0, sql: "SELECT 1") }
        case 2: _ = try await file.checkpoint()
        case 3: _ = try await StateFile.open(file.path)
        default:
          await file.close()
          _exit(0)
        }
        _exit(1)
      } catch {
        _exit((error as? StoreError)?.code == .wrongProcess ? 0 : 2)
      }
    }
    var status: Int32 = 0
    unsafe waitpid(child, &status, 0)
    outcomes.append(status == 0 ? "refused" : "status-\(status)")
  }
  return outcomes
}

/// Asked one by one: a listing needs a descriptor itself.
func openDescriptors() -> Int {
  (0..<1024).count { fcntl($0, F_GETFD) >= 0 }
}

/// The names of the engine's threads of this process, in order.
func engineThreads() -> [String] {
  let tasks = (try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/task")) ?? []
  return tasks.compactMap { try? String(contentsOfFile: "/proc/self/task/\($0)/comm", encoding: .utf8) }
    .map { $0.trimmingCharacters(in: .newlines) }.filter { $0.hasPrefix("hf-") }.sorted()
}

func limitDescriptors(to count: UInt) throws {
  var limit = rlimit()
  #if os(Linux)
    let resource = __rlimit_resource_t(RLIMIT_NOFILE.rawValue)
  #else
    let resource = RLIMIT_NOFILE
  #endif
  unsafe getrlimit(resource, &limit)
  limit.rlim_cur = rlim_t(count)
  guard unsafe setrlimit(resource, &limit) == 0 else { throw MissingSetting(name: "descriptor limit") }
}
