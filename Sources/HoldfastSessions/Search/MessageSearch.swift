// SPDX-License-Identifier: Apache-2.0

import GRDB
import HoldfastEngine

/// Search over the messages of a store, by any number of processes at once.
///
/// The index is a file of its own, made from the store's change sequence by whichever process has the indexing
/// lease, a kernel lock that dies with its holder. Deleting or damaging it costs a rebuild and never an append,
/// since the store knows nothing of it (row C08). What the index has not followed yet is scanned, so a message
/// is findable as soon as it is acknowledged; while there is no usable index the newest messages are scanned,
/// and the answer says so (row D12).
///
/// ```swift
/// let search = MessageSearch(index: home + "/search.db", feed: store)
/// await search.startIndexing()
/// let answer = try await search.search("\"write ahead\" -vacuum role:user after:7d")
/// await search.close()
/// ```
public actor MessageSearch {
  private let feed: any SearchFeed
  private let file: SearchIndexFile
  private let leasePath: String
  private var lease: LockFile?
  private var indexing: Task<Void, Never>?
  private var sliceSize = 64
  private var isClosed = false

  /// Changes that are scanned at most when the index is behind, and messages when there is no index.
  static let mostScanned = 5000

  /// Names the index and its feed; nothing is opened yet.
  public init(index path: String, feed: any SearchFeed) {
    self.feed = feed
    file = SearchIndexFile(path: path)
    leasePath = path + "-lease"
  }

  // MARK: - Asking

  /// Finds messages by a question as a person types it (``SearchQuery``).
  public nonisolated func search(
    _ question: String, _ options: SearchOptions = .init()
  ) async throws -> SearchAnswer {
    try await search(SearchQuery(question, now: UnixTime.now().milliseconds), options)
  }

  /// Finds messages.
  ///
  /// - Throws: what the feed throws. The index's own troubles never reach the caller as errors.
  public nonisolated func search(
    _ query: SearchQuery, _ options: SearchOptions = .init()
  ) async throws -> SearchAnswer {
    guard !query.isEmpty else {
      return SearchAnswer(route: .nothing, lag: 0, truncated: false, leftOut: query.leftOut, hits: [])
    }
    let identity = try await feed.identity()
    let head = try await feed.head()
    do {
      let found = try await askIndex(query, options, of: identity)
      if let found, found.cursor.isWithin(head) {
        return try await answer(query, options, index: found, head: head)
      }
      return try await scan(
        query, options, lag: head.distance(from: .start),
        why: "The search index is being made; the newest messages were scanned.")
    } catch let fault as IndexUnusable {
      return try await scan(query, options, lag: head.distance(from: .start), why: fault.reason)
    }
  }

  private struct Indexed: Sendable {
    var cursor: SearchPosition
    var hits: [SearchHit]
    var isCut: Bool
  }

  private struct IndexUnusable: Error {
    var reason: String
  }

  /// nil when the index has not begun, or follows another store.
  private nonisolated func askIndex(
    _ query: SearchQuery, _ options: SearchOptions, of identity: String
  ) async throws -> Indexed? {
    do {
      if file.isNewIndexAskedFor {
        throw IndexUnusable(reason: "The search index is damaged and waits to be made anew.")
      }
      // One look anew, should somebody have replaced the file.
      for isLast in [false, true] {
        do {
          let wish = options.groupsByLineage ? options.limit * 8 : options.limit
          // Some of the hits may have changed since, and drop out.
          let limit = wish + 64
          return try await file.file().read(within: .seconds(2)) { db in
            guard let progress = try SearchProgress.read(db), progress.feed == identity,
              progress.format == SearchIndexSchema.format
            else { return nil }
            let hits = try SearchIndexQuery.hits(query, limit: limit, db)
            return Indexed(
              cursor: progress.cursor,
              hits: try hits.enumerated().map { index, hit in
                // Only what may be shown is dressed.
                let isShown = index < wish + 8
                return SearchHit(
                  document: hit.document,
                  snippet: SearchSnippet(isShown ? hit.document.text : "", for: query), score: hit.score,
                  neighbours: isShown && options.neighbours > 0
                    ? try SearchIndexQuery.neighbours(of: hit.document, reach: options.neighbours, db) : [])
              }, isCut: hits.count == limit)
          }
        } catch let error as StoreError {
          switch SearchIndexFault(error) {
          case .replaced where !isLast: await file.letGo()
          case .ruined:
            file.askForNewIndex()
            await file.letGo()
            throw error
          default: throw error
          }
        }
      }
      return nil
    } catch let error as StoreError {
      throw IndexUnusable(
        reason: "The search index cannot be used now, so the newest messages were scanned: \(error.message)")
    }
  }

  /// The index's hits, brought up to date by what changed since.
  private nonisolated func answer(
    _ query: SearchQuery, _ options: SearchOptions, index: Indexed, head: SearchPosition
  ) async throws -> SearchAnswer {
    guard index.cursor != head else {
      return finish(query, options, route: .index, lag: 0, index.hits, isCut: index.isCut, scanned: [])
    }
    let most = Int64(Self.mostScanned)
    let start = SearchPosition(
      messages: max(index.cursor.messages, head.messages - most),
      changes: max(index.cursor.changes, head.changes - most))
    // More may have been appended since `head` was read; what is there is taken.
    let changes = try await feed.changes(after: start, limit: Self.mostScanned * 2)
    var last: [Int64: SearchDocument?] = [:]
    for change in changes.steps { last[change.id] = .some(change.document) }
    let best = index.hits.first?.score ?? 1
    let fresh = last.values.compactMap { $0 }.filter { query.matches($0) }.sorted { $0.id > $1.id }
    let hits =
      fresh.map { SearchHit(document: $0, snippet: SearchSnippet($0.text, for: query), score: best) }
      + index.hits.filter { last[$0.document.id] == nil }
    return finish(
      query, options, route: .indexAndTail, lag: head.distance(from: index.cursor), hits,
      isCut: index.isCut || start != index.cursor, scanned: last.values.compactMap { $0 })
  }

  /// The newest messages, without the index.
  private nonisolated func scan(
    _ query: SearchQuery, _ options: SearchOptions, lag: Int64, why: String
  ) async throws -> SearchAnswer {
    let newest = try await feed.newest(limit: Self.mostScanned)
    let hits = newest.filter { query.matches($0) }
      .map { SearchHit(document: $0, snippet: SearchSnippet($0.text, for: query), score: 1) }
    var answer = finish(
      query, options, route: .scan, lag: lag, hits, isCut: newest.count == Self.mostScanned, scanned: newest)
    answer.degraded = why
    return answer
  }

  private nonisolated func finish(
    _ query: SearchQuery, _ options: SearchOptions, route: SearchAnswer.Route, lag: Int64,
    _ found: [SearchHit],
    isCut: Bool, scanned: [SearchDocument]
  ) -> SearchAnswer {
    var hits = found
    if options.groupsByLineage {
      var places: [String: Int] = [:]
      hits = []
      for hit in found {
        if let place = places[hit.document.lineage] {
          hits[place].others += 1
        } else {
          places[hit.document.lineage] = hits.count
          hits.append(hit)
        }
      }
    }
    let isMore = hits.count > options.limit
    hits = Array(hits.prefix(options.limit))
    if options.neighbours > 0, !scanned.isEmpty { addNeighbours(scanned, to: &hits, options.neighbours) }
    return SearchAnswer(
      route: route, lag: lag, truncated: isMore || isCut, leftOut: query.leftOut, hits: hits)
  }

  private nonisolated func addNeighbours(
    _ scanned: [SearchDocument], to hits: inout [SearchHit], _ reach: Int
  ) {
    let sessions = Dictionary(grouping: scanned, by: \.session)
    for index in hits.indices {
      let hit = hits[index].document
      let near = (sessions[hit.session] ?? []).filter {
        $0.seq != hit.seq && abs($0.seq - hit.seq) <= Int64(reach)
      }
      let ids = Set(near.map(\.id))
      hits[index].neighbours = (hits[index].neighbours.filter { !ids.contains($0.id) } + near)
        .sorted { $0.seq < $1.seq }
    }
  }

  // MARK: - Indexing

  /// Follows the messages until ``close()``, whenever no other process does.
  ///
  /// - Parameter pause: how often to look for messages when there were none.
  public func startIndexing(pause: Duration = .milliseconds(250)) {
    guard indexing == nil, !isClosed else { return }
    indexing = Task { [weak self] in
      var wait = pause
      while !Task.isCancelled {
        do {
          guard let self else { return }
          if try await self.indexSlice() {
            wait = pause
            await Task.yield()
            continue
          }
          wait = pause
        } catch {
          // The store or the disk is out of order for now; answers say how far the index lags.
          wait = min(wait * 2, .seconds(5))
        }
        try? await Task.sleep(for: wait)
      }
    }
  }

  /// Lays one bounded slice of changes into the index, if this process has the lease or can get it.
  ///
  /// A slice holds `search.db` for about 10 ms, and the store's own file not at all: it is only read.
  /// - Returns: whether there may be more to do.
  @discardableResult
  public func indexSlice() async throws -> Bool {
    guard !isClosed, try holdsLease() else { return false }
    do {
      return try await followFeed()
    } catch {
      switch SearchIndexFault(error) {
      case .passing: throw error
      case .replaced: await file.letGo()
      case .ruined: await file.discard()
      }
      return true
    }
  }

  /// Indexes until the index has everything there is now, or another process does it.
  ///
  /// - Parameter within: how long at most; what is left is followed later.
  public func catchUp(within: Duration? = nil) async throws {
    let deadline = within.map { ContinuousClock.now + $0 }
    while try await indexSlice() {
      if let deadline, ContinuousClock.now >= deadline { return }
    }
  }

  /// How many messages and changes the index has not followed yet; nil while there is no index of this store.
  public nonisolated func lag() async throws -> Int64? {
    let head = try await feed.head()
    let identity = try await feed.identity()
    let progress = try await file.file().read(within: .seconds(2)) { try SearchProgress.read($0) }
    guard let progress, progress.feed == identity, progress.format == SearchIndexSchema.format else {
      return nil
    }
    return head.distance(from: progress.cursor)
  }

  private func followFeed() async throws -> Bool {
    if file.isNewIndexAskedFor { await file.discard() }
    let identity = try await feed.identity()
    let index = try await file.file()
    let progress = try await index.read { try SearchProgress.read($0) }
    let head = try await feed.head()
    if let progress {
      let isOurs = progress.feed == identity && progress.format == SearchIndexSchema.format
      // A cursor beyond the end: the store was put back to an earlier state.
      guard isOurs, progress.cursor.isWithin(head) else {
        await file.discard()
        return true
      }
    }
    let cursor = progress?.cursor ?? .start
    if progress != nil, cursor == head { return false }
    let changes = try await feed.changes(after: cursor, limit: sliceSize)
    let slice = SearchIndexSlice(changes, after: cursor, of: identity)
    let (began, _) = try await index.write { db in (ContinuousClock.now, try slice.apply(db)) }
    let held = began.duration(to: .now)
    if held > .milliseconds(20) {
      sliceSize = max(1, sliceSize / 2)
    } else if held < .milliseconds(5) {
      sliceSize = min(sliceSize * 2, 4096)
    }
    return slice.end != head && slice.end != cursor
  }

  /// The lease is a lock of the kernel's: it ends with its process, however that ends.
  private func holdsLease() throws -> Bool {
    if lease != nil { return true }
    let candidate = try LockFile(path: leasePath)
    guard try candidate.tryLock(.exclusive, at: 0) else { return false }
    lease = candidate
    return true
  }

  /// Whether this process is the one that indexes.
  public var isIndexer: Bool { lease != nil }

  /// Merges the index's segments in slices that hold `search.db` for about 10 ms each (row A11).
  public func optimise() async throws {
    guard try holdsLease() else { return }
    try await file.file().maintain(startingWith: 4) { db, units in
      let before = db.totalChangesCount
      try db.execute(sql: "INSERT INTO word(word, rank) VALUES ('merge', ?)", arguments: [-units])
      return db.totalChangesCount - before > 1
    }
  }

  /// Stops indexing, gives the lease up and lets go of the index.
  public func close() async {
    isClosed = true
    indexing?.cancel()
    await indexing?.value
    indexing = nil
    await file.letGo()
    lease?.close()
    lease = nil
  }
}
