// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// JSON values by namespace and key, which any number of tasks and processes share.
///
/// Every store keeps the same promises, wherever it keeps its values; `StateStoreConformance` of the TestKit asks for
/// them.
public protocol StateStore: Sendable {
  /// The value of a key; nil when there is none, or it has expired.
  ///
  /// - Throws: ``CatalogError`` `unreadable`, naming the key, for bytes that are no JSON; they stay.
  func get(_ key: StateKey) async throws -> StateEntry?

  /// Makes changes in one atomic step: all or none, durable on return.
  ///
  /// What was set to be written later before the call is written before it.
  /// - Returns: the new version of each value, 0 for one that was taken away and was not there.
  /// - Throws: ``CatalogError`` `versionConflict` with the version of the first value that has another than asked for.
  @discardableResult
  func apply(_ edits: [StateEdit]) async throws -> [Int64]

  /// The values of a namespace, a page at a time, in the order of the keys' UTF-8.
  func list(_ query: StateQuery) async throws -> StatePage

  /// Takes a value to be written soon; of several for one key the last counts.
  ///
  /// Writes that fail are made again where that may help; those that are lost are counted in ``status()`` and told by
  /// the next ``flush()``.
  /// - Throws: ``CatalogError`` `invalid`, `closed`, or `writesLost` when too much waits.
  func setLater(_ edit: StateEdit) throws

  /// Waits until everything that was set to be written later before the call is settled.
  ///
  /// - Throws: what went wrong since the last call, once; what may still be written is tried again.
  func flush() async throws

  /// Removes values that have expired, in pieces short enough for nobody to be held up.
  ///
  /// - Returns: how many.
  @discardableResult
  func removeExpired() async throws -> Int

  /// What the store holds and what went wrong; waits for nothing.
  func status() async -> StateStoreStatus

  /// Writes what waits, refuses further work and lets go of its files.
  func close() async
}

extension StateStore {
  /// Sets a value; durable on return.
  ///
  /// - Parameters:
  ///   - ifVersion: the version it must have, 0 for none at all; nil: whatever there is.
  ///   - expires: from when on it is not there any more; nil: it stays.
  ///   - isSecret: whether it is masked where it is shown; nil: as the one it replaces.
  /// - Returns: its new version.
  @discardableResult
  public func set(
    _ key: StateKey, to value: StateValue, ifVersion: Int64? = nil, expires: UTCInstant? = nil,
    isSecret: Bool? = nil
  ) async throws -> Int64 {
    try await apply([.set(key, to: value, ifVersion: ifVersion, expires: expires, isSecret: isSecret)])[0]
  }

  /// Sets a value to anything JSON has a form for; durable on return.
  @discardableResult
  public func set(
    _ key: StateKey, encoding value: some Encodable & Sendable, ifVersion: Int64? = nil,
    expires: UTCInstant? = nil, isSecret: Bool? = nil
  ) async throws -> Int64 {
    try await set(
      key, to: StateValue(value), ifVersion: ifVersion, expires: expires, isSecret: isSecret)
  }

  /// Takes a value away.
  ///
  /// - Returns: whether there was one.
  @discardableResult
  public func delete(_ key: StateKey, ifVersion: Int64? = nil) async throws -> Bool {
    try await apply([.delete(key, ifVersion: ifVersion)])[0] != 0
  }

  /// The value of a key as a type of one's own.
  public func get<Value: Decodable>(_ key: StateKey, as type: Value.Type) async throws -> Value? {
    guard let entry = try await get(key) else { return nil }
    do {
      return try entry.value.decode(as: type)
    } catch {
      throw CatalogError(
        error.code, "\(key): \(error.message)", version: entry.version, underlying: error.underlying)
    }
  }

  /// Takes a value to be written soon; of several for one key the last counts.
  public func setLater(_ key: StateKey, encoding value: some Encodable) throws {
    try setLater(.set(key, to: StateValue(value)))
  }

  /// Changes a value by what it is, however many do so at once: read, change, compare and set, again if need be.
  ///
  /// - Parameter change: is given the value there is, or nil; may run several times.
  /// - Returns: what was set.
  @discardableResult
  public func update<Value: Codable & Sendable>(
    _ key: StateKey, as type: Value.Type = Value.self,
    _ change: @Sendable (Value?) throws -> Value
  ) async throws -> Value {
    while true {
      try Task.checkCancellation()
      let entry = try await get(key)
      let value = try change(try entry?.value.decode(as: type))
      do {
        try await set(
          key, encoding: value, ifVersion: entry?.version ?? 0, expires: entry?.expires,
          isSecret: entry?.isSecret)
        return value
      } catch let error as CatalogError {
        guard error.code == .versionConflict else { throw error }
      }
    }
  }

  /// All values of a namespace whose keys begin with `prefix`, page after page.
  public func all(_ namespace: String, prefix: String = "") async throws -> StatePage {
    var whole = StatePage()
    var query = StateQuery(namespace, prefix: prefix)
    repeat {
      let page = try await list(query)
      whole.entries += page.entries
      whole.faults += page.faults
      query.after = page.next
    } while query.after != nil
    return whole
  }
}
