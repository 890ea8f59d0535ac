// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastSessions
import HoldfastTestKit

/// A message table and its search in a directory of a test's own.
struct SearchHome {
  let directory: TemporaryDirectory
  let messages: MessageTable
  let search: MessageSearch

  init() async throws {
    directory = try TemporaryDirectory()
    messages = try await MessageTable.open(directory.file("messages.db"))
    search = MessageSearch(index: directory.file("search.db"), feed: messages.feed)
  }

  var index: String { directory.file("search.db") }

  func close() async {
    await search.close()
    await messages.file.close()
  }

  func ids(_ question: String, limit: Int = 1000) async throws -> [Int64] {
    try await search.search(question, SearchOptions(limit: limit)).hits.map(\.document.id).sorted()
  }
}
