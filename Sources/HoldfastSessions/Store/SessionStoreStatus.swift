// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// What a session store holds, in this process.
public struct SessionStoreStatus: Sendable {
  /// Messages accepted and not yet in the database, those of dead processes included.
  public internal(set) var depth = 0
  /// The spool; nil for a store that has none.
  public internal(set) var spool: SpoolStatus?
  /// The database; nil while it has not been opened.
  public internal(set) var file: StateFileStatus?
  /// Why the database cannot be opened or written, while that lasts.
  public internal(set) var fault: StoreError?
  /// Who holds the database, when accepted messages or its opening have waited for it for a second or more.
  public internal(set) var holders: [LockHolder] = []

  /// A status in which nothing has happened.
  public init() {}
}
