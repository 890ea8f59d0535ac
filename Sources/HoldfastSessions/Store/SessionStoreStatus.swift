// SPDX-License-Identifier: Apache-2.0

public import HoldfastEngine

/// What a session store holds, in this process.
public struct SessionStoreStatus: Sendable {
  /// Messages accepted and not yet in the database, those of dead processes included.
  public var depth = 0
  /// The spool; nil for a store that has none.
  public var spool: SpoolStatus?
  /// The database; nil while it has not been opened.
  public var file: StateFileStatus?
  /// Why the database cannot be opened or written, while that lasts.
  public var fault: StoreError?
  /// Who holds the database, when accepted messages or its opening have waited for it for a second or more.
  public var holders: [LockHolder] = []

  /// A status in which nothing has happened.
  public init() {}
}
