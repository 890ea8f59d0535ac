// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// A value with what is known of it.
public struct StateEntry: Sendable, Hashable {
  /// Where it is.
  public var key: StateKey
  /// The value itself, a secret's too: whoever shows it to people masks it.
  public var value: StateValue
  /// Grows with each change; never the same again for this key, even when the value was deleted between.
  public var version: Int64
  /// Whether it is masked where it is shown.
  public var isSecret: Bool
  /// From when on it is not there any more.
  public var expires: UTCInstant?
  /// When it was last set.
  public var updated: UTCInstant

  /// A value with what is known of it.
  public init(
    key: StateKey, value: StateValue, version: Int64, isSecret: Bool = false, expires: UTCInstant? = nil,
    updated: UTCInstant
  ) {
    self.key = key
    self.value = value
    self.version = version
    self.isSecret = isSecret
    self.expires = expires
    self.updated = updated
  }
}

/// A change of one value.
public struct StateEdit: Sendable, Hashable {
  /// What is done.
  public enum Change: Sendable, Hashable {
    /// The value is set.
    case set(StateValue)
    /// The value is taken away, if there is one.
    case delete
  }

  /// Where.
  public var key: StateKey
  /// What is done.
  public var change: Change
  /// The version the value must have for it, 0 for none at all; nil: whatever there is.
  public var ifVersion: Int64?
  /// From when on a set value is not there any more; nil: it stays.
  public var expires: UTCInstant?
  /// Whether a set value is masked where it is shown; nil: as the one it replaces.
  public var isSecret: Bool?

  /// Sets a value.
  public static func set(
    _ key: StateKey, to value: StateValue, ifVersion: Int64? = nil, expires: UTCInstant? = nil,
    isSecret: Bool? = nil
  ) -> StateEdit {
    StateEdit(key: key, change: .set(value), ifVersion: ifVersion, expires: expires, isSecret: isSecret)
  }

  /// Takes a value away.
  public static func delete(_ key: StateKey, ifVersion: Int64? = nil) -> StateEdit {
    StateEdit(key: key, change: .delete, ifVersion: ifVersion)
  }
}

/// Which values of a namespace are wanted.
public struct StateQuery: Sendable, Hashable {
  /// The namespace.
  public var namespace: String
  /// Only keys that begin like this.
  public var prefix: String
  /// Only keys behind this one: ``StatePage/next`` of the page before.
  public var after: String?
  /// The most values.
  public var limit: Int

  /// All values of a namespace, in pages.
  public init(_ namespace: String, prefix: String = "", after: String? = nil, limit: Int = 1000) {
    self.namespace = namespace
    self.prefix = prefix
    self.after = after
    self.limit = limit
  }
}

/// A page of values, in the order of their keys.
public struct StatePage: Sendable, Hashable {
  /// The values.
  public var entries: [StateEntry] = []
  /// Those that cannot be read; they stay as they are.
  public var faults: [Fault] = []
  /// The last key of the page where there is another page; nil at the end.
  public var next: String?

  /// A value that cannot be read.
  public struct Fault: Sendable, Hashable {
    /// Where it is.
    public var key: StateKey
    /// What is wrong with it, in one sentence.
    public var reason: String

    /// A value that cannot be read.
    public init(key: StateKey, reason: String) { (self.key, self.reason) = (key, reason) }
  }

  /// A page without values.
  public init() {}
}

/// What a state store holds and what went wrong, in this process.
public struct StateStoreStatus: Sendable {
  /// Values set to be written later that wait.
  public var waiting = 0
  /// Values set to be written later that could not be written, and are lost.
  public var lost: UInt64 = 0
  /// The last reason of those; nil when none was lost.
  public var lastLoss: String?
  /// Why the values that wait could not be written so far; nil once they could.
  public var delay: String?
  /// The database; nil while it has not been opened.
  public var file: StateFileStatus?
  /// Why the database cannot be opened or written, while that lasts.
  public var fault: StoreError?

  /// A status in which nothing has happened.
  public init() {}
}
