// SPDX-License-Identifier: Apache-2.0

/// Waits until `condition` holds, looking again every millisecond, for at most `patience`.
///
/// For what another thread or process makes true and nothing announces. It is no assertion of speed: the
/// patience only keeps a broken test from hanging.
/// - Returns: whether the condition held in the end.
public func eventually(
  within patience: Duration = .seconds(60), _ condition: () async throws -> Bool
) async rethrows -> Bool {
  let deadline = ContinuousClock.now + patience
  while try await !condition() {
    guard ContinuousClock.now < deadline else { return false }
    try? await Task.sleep(for: .milliseconds(1))
  }
  return true
}
