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
  /// Long words that are in the index for sure, so that they need not be looked up again.
  private var knownWords: Set<String> = []
  private static let mostKnownWords = 100_000
  private var isClosed = false

  /// What was last known to lie behind the index.
  private let tails = Monitor<KnownTail?>(nil)
  private var merging = SlicePacer(units: 16)
  /// Whether the index may have segments to be merged; another process may have left some.
  private var isMergeDue = true

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
    // Both files are asked at the same time: what the index has not followed is known but for the newest.
    let known = tails.withLock { $0?.identity == identity ? $0 : nil }
    let early = Task { [feed] () -> SearchTail? in
      guard let known else { return nil }
      return try? await feed.tail(after: known.end, limit: Self.mostScanned)
    }
    defer { early.cancel() }
    do {
      guard var found = try await askIndex(query, options, of: identity) else {
        return try await scan(
          query, options, lag: try await feed.head().distance(from: .start),
          why: "The search index is being made; the newest messages were scanned.")
      }
      let tail: SearchTail
      if let reached = await reach(known, early.value, from: found.cursor) {
        tail = reached
      } else {
        // Looked at after the index, which would be ahead of it otherwise.
        tail = try await feed.tail(after: found.cursor, limit: Self.mostScanned)
        let kept = KnownTail(tail.changes, after: found.cursor, of: identity)
        tails.withLock { $0 = tail.isCut ? nil : kept }
      }
      guard found.cursor.isWithin(tail.head) else {
        return try await scan(
          query, options, lag: tail.head.distance(from: .start),
          why: "The search index is of another state of the store; the newest messages were scanned.")
      }
      let changed = Set(tail.changes.steps.map(\.id))
      if found.drop(changed, wish: options.wish) {
        // Many of the best have changed since: the rest is looked up as well.
        guard let all = try await askIndex(query, options, of: identity, everything: true) else {
          throw IndexUnusable(reason: "The search index is made anew; the newest messages were scanned.")
        }
        found = all
        _ = found.drop(changed, wish: 0)
      }
      return answer(query, options, index: found, tail: tail)
    } catch let fault as IndexUnusable {
      return try await scan(
        query, options, lag: try await feed.head().distance(from: .start), why: fault.reason)
    }
  }

  /// The tail behind the index, out of what was known of it and what was read since; nil when that does not fit.
  private nonisolated func reach(
    _ known: KnownTail?, _ more: SearchTail?, from cursor: SearchPosition
  ) -> SearchTail? {
    guard var known, let more, !more.isCut, known.end.isWithin(more.head) else { return nil }
    known.extend(by: more.changes)
    guard known.drop(through: cursor) else { return nil }
    let kept = known
    tails.withLock { $0 = kept }
    return SearchTail(
      head: more.head, changes: SearchChanges(steps: kept.steps, end: kept.end), isCut: false)
  }

  private struct Indexed: Sendable {
    struct Hit: Sendable {
      var id: Int64
      var score: Double
      var document: SearchDocument?
      var neighbours: [SearchDocument] = []
    }

    var cursor: SearchPosition
    var hits: [Hit]
    var isCut: Bool

    /// Takes out what has changed since the index had it, and is in the tail or gone.
    ///
    /// - Parameter wish: how many are wanted.
    /// - Returns: whether fewer are left that were looked up, and others could be.
    mutating func drop(_ changed: Set<Int64>, wish: Int) -> Bool {
      hits.removeAll { changed.contains($0.id) }
      let known = hits.prefix { $0.document != nil }.count
      return known < min(wish, hits.count)
    }
  }

  private struct IndexUnusable: Error {
    var reason: String
  }

  /// nil when the index has not begun, or follows another store.
  ///
  /// - Parameter everything: look every hit up, not only those likely to be shown.
  private nonisolated func askIndex(
    _ query: SearchQuery, _ options: SearchOptions, of identity: String, everything: Bool = false
  ) async throws -> Indexed? {
    do {
      if file.isNewIndexAskedFor {
        throw IndexUnusable(reason: "The search index is damaged and waits to be made anew.")
      }
      // One look anew, should somebody have replaced the file.
      for isLast in [false, true] {
        do {
          // Some of the hits may have changed since, and drop out.
          let limit = options.wish + 64
          let documents = everything ? limit : options.wish + 8
          return try await file.file().read(within: .seconds(2)) { db in
            guard let progress = try SearchProgress.read(db), progress.feed == identity,
              progress.format == SearchIndexSchema.format
            else { return nil }
            let found = try SearchIndexQuery.hits(query, limit: limit, documents: documents, db)
            return Indexed(
              cursor: progress.cursor,
              hits: try found.hits.map { hit in
                Indexed.Hit(
                  id: hit.id, score: hit.score, document: hit.document,
                  neighbours: try hit.document.map {
                    options.neighbours > 0
                      ? try SearchIndexQuery.neighbours(of: $0, reach: options.neighbours, db) : []
                  } ?? [])
              }, isCut: found.isCut)
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
    _ query: SearchQuery, _ options: SearchOptions, index: Indexed, tail: SearchTail
  ) -> SearchAnswer {
    let indexed = index.hits.compactMap { hit in
      hit.document.map { FoundHit(document: $0, score: hit.score, neighbours: hit.neighbours) }
    }
    let isCut = index.isCut || indexed.count < index.hits.count
    guard index.cursor != tail.head else {
      return finish(query, options, route: .index, lag: 0, indexed, isCut: isCut, scanned: [])
    }
    var last: [Int64: SearchDocument?] = [:]
    for change in tail.changes.steps { last[change.id] = .some(change.document) }
    let best = indexed.first?.score ?? 1
    let fresh = last.values.compactMap { $0 }.filter { query.matches($0) }.sorted { $0.id > $1.id }
    return finish(
      query, options, route: .indexAndTail, lag: tail.head.distance(from: index.cursor),
      fresh.map { FoundHit(document: $0, score: best) } + indexed, isCut: isCut || tail.isCut,
      scanned: last.values.compactMap { $0 })
  }

  /// The newest messages, without the index.
  private nonisolated func scan(
    _ query: SearchQuery, _ options: SearchOptions, lag: Int64, why: String
  ) async throws -> SearchAnswer {
    let newest = try await feed.newest(limit: Self.mostScanned)
    let hits = newest.filter { query.matches($0) }.map { FoundHit(document: $0, score: 1) }
    var answer = finish(
      query, options, route: .scan, lag: lag, hits, isCut: newest.count == Self.mostScanned, scanned: newest)
    answer.degraded = why
    return answer
  }

  /// A hit that may be shown.
  private struct FoundHit {
    var document: SearchDocument
    var score: Double
    var neighbours: [SearchDocument] = []
    var others = 0
  }

  private nonisolated func finish(
    _ query: SearchQuery, _ options: SearchOptions, route: SearchAnswer.Route, lag: Int64,
    _ found: [FoundHit], isCut: Bool, scanned: [SearchDocument]
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
      route: route, lag: lag, truncated: isMore || isCut, leftOut: query.leftOut,
      hits: hits.map {
        SearchHit(
          document: $0.document, snippet: SearchSnippet($0.document.text, for: query), score: $0.score,
          neighbours: $0.neighbours, others: $0.others)
      })
  }

  private nonisolated func addNeighbours(
    _ scanned: [SearchDocument], to hits: inout [FoundHit], _ reach: Int
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
          switch try await self.laySlice() {
          case .more:
            await Task.yield()
            continue
          // Where messages come, more are to come.
          case .all: wait = min(pause, Self.shortPause)
          case .nothing: wait = try await self.mergeSlice() ?? min(wait * 2, pause)
          }
        } catch {
          // The store or the disk is out of order for now; answers say how far the index lags.
          wait = min(wait * 2, .seconds(5))
        }
        try? await Task.sleep(for: wait)
      }
    }
  }

  /// How often to look while messages are being appended: what is not indexed is scanned at every question.
  private static let shortPause = Duration.milliseconds(100)

  /// Lays one bounded slice of changes into the index, if this process has the lease or can get it.
  ///
  /// A slice holds `search.db` for about 20 ms, and the store's own file not at all: it is only read.
  /// - Returns: whether there may be more to do.
  @discardableResult
  public func indexSlice() async throws -> Bool { try await laySlice() == .more }

  /// What a slice left to do.
  private enum Slice {
    /// There was nothing to do.
    case nothing
    /// Everything there was is in the index.
    case all
    /// There may be more.
    case more
  }

  private func laySlice() async throws -> Slice {
    guard !isClosed, try holdsLease() else { return .nothing }
    do {
      return try await followFeed()
    } catch {
      switch SearchIndexFault(error) {
      case .passing: throw error
      case .replaced: await file.letGo()
      case .ruined: await file.discard()
      }
      knownWords = []
      return .more
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

  private func followFeed() async throws -> Slice {
    if file.isNewIndexAskedFor {
      knownWords = []
      await file.discard()
    }
    let identity = try await feed.identity()
    let index = try await file.file()
    let progress = try await index.read { try SearchProgress.read($0) }
    let head = try await feed.head()
    if let progress {
      let isOurs = progress.feed == identity && progress.format == SearchIndexSchema.format
      // A cursor beyond the end: the store was put back to an earlier state.
      guard isOurs, progress.cursor.isWithin(head) else {
        knownWords = []
        await file.discard()
        return .more
      }
    } else {
      knownWords = []
    }
    let cursor = progress?.cursor ?? .start
    if progress != nil, cursor == head { return .nothing }
    let changes = try await feed.changes(after: cursor, limit: sliceSize)
    let slice = SearchIndexSlice(changes, after: cursor, of: identity, knowing: knownWords)
    let (began, isLaid) = try await index.write { db in (ContinuousClock.now, try slice.apply(db)) }
    let held = began.duration(to: .now)
    if held > .milliseconds(40) {
      sliceSize = max(1, sliceSize / 2)
    } else if held < .milliseconds(15) {
      sliceSize = min(sliceSize * 2, 4096)
    }
    if isLaid {
      isMergeDue = true
      if knownWords.count > Self.mostKnownWords { knownWords = [] }
      knownWords.formUnion(slice.longWords)
    }
    return slice.end != head && slice.end != cursor ? .more : .all
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

  /// Merges segments of the index, each of which every question looks at, while there is nothing to index; holds
  /// `search.db` for about 10 ms (row A11).
  ///
  /// - Returns: how long to leave the file to others; nil when there is nothing to merge.
  private func mergeSlice() async throws -> Duration? {
    guard lease != nil, isMergeDue else { return nil }
    let units = merging.units
    let (began, more) = try await file.file().write { db in
      (ContinuousClock.now, try SearchIndexSchema.merge(units, db))
    }
    isMergeDue = more
    return merging.held(began.duration(to: .now))
  }

  /// Merges the index's segments now, in slices that hold `search.db` for about 10 ms each (row A11).
  public func optimise() async throws {
    guard try holdsLease() else { return }
    try await file.file().maintain(startingWith: 16) { try SearchIndexSchema.merge($1, $0) }
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
