// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine

/// A state store that leaves everything to another and breaks one promise at most.
///
/// Made of nothing but what the protocol shows, so it also says that another module can make one.
struct AlteredStateStore: StateStore {
  private struct State {
    var held: [StateEdit] = []
    var isClosed = false
  }

  private let base: any StateStore
  private let alteration: StateAlteration?
  private let state = Monitor(State())

  init(_ base: any StateStore, _ alteration: StateAlteration?) {
    (self.base, self.alteration) = (base, alteration)
  }

  func get(_ key: StateKey) async throws -> StateEntry? {
    var entry = try await base.get(key)
    switch alteration {
    case .respells:
      if let value = entry?.value { entry?.value = try StateValue(json: value.compact) }
    case .showsExpired:
      if entry == nil, key.key.hasPrefix("past") {
        entry = StateEntry(key: key, value: try StateValue(json: "0"), version: 1, updated: .now)
      }
    default: break
    }
    return entry
  }

  func apply(_ edits: [StateEdit]) async throws -> [Int64] {
    var edits = edits
    switch alteration {
    case .takesAnyKey: if edits.contains(where: { $0.key.key.isEmpty }) { return edits.map { _ in 1 } }
    case .comparesNothing: for index in edits.indices { edits[index].ifVersion = nil }
    case .comparesApart:
      // Looks first, and sets then whatever there is.
      for index in edits.indices {
        guard let wanted = edits[index].ifVersion else { continue }
        let found = try await base.get(edits[index].key)?.version ?? 0
        guard found == wanted else { throw CatalogError(.versionConflict, "Another.", version: found) }
        await Task.yield()
        edits[index].ifVersion = nil
      }
    case .oneByOne:
      var versions: [Int64] = []
      for edit in edits { versions += try await base.apply([edit]) }
      return versions
    case .forgetsSecrets:
      for index in edits.indices where edits[index].isSecret == nil { edits[index].isSecret = false }
    case .overtakes:
      let versions = try await base.apply(edits)
      // What was given before is written after.
      let late = state.withLock { state in
        defer { state.held = [] }
        return state.held
      }
      if !late.isEmpty { try await base.apply(late) }
      return versions
    default: break
    }
    var versions = try await base.apply(edits)
    if alteration == .versionsRepeat { versions = versions.map { ($0 + 1) / 2 } }
    return versions
  }

  func list(_ query: StateQuery) async throws -> StatePage {
    var query = query
    if alteration == .pagesSkip, let after = query.after { query.after = after + "0" }
    if alteration == .prefixIsIgnored { query.prefix = "" }
    return try await base.list(query)
  }

  func setLater(_ edit: StateEdit) throws {
    var edit = edit
    switch alteration {
    case .firstCounts:
      let isFirst = state.withLock { state in
        defer { state.held.append(edit) }
        return !state.held.contains { $0.key == edit.key }
      }
      if !isFirst { return }
    case .overtakes:
      state.withLock { $0.held.append(edit) }
      return
    case .holdsInSilence:
      state.withLock { $0.held.append(edit) }
      return
    case .dropsVersions: edit.ifVersion = nil
    case .closeForgets:
      if state.withLock({ $0.isClosed }) { break }
      state.withLock { $0.held.append(edit) }
      return
    default: break
    }
    try base.setLater(edit)
  }

  func flush() async throws {
    if alteration == .overtakes || alteration == .holdsInSilence || alteration == .closeForgets {
      let held = state.withLock { state in
        defer { state.held = [] }
        return state.held
      }
      for edit in held { try await base.apply([edit]) }
    }
    if alteration == .flushIsNoBarrier { return }
    try await base.flush()
  }

  func removeExpired() async throws -> Int { try await base.removeExpired() }

  func status() async -> StateStoreStatus { await base.status() }

  func close() async {
    state.withLock { $0.isClosed = true }
    await base.close()
  }
}
