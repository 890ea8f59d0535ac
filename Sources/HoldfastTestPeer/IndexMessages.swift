// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastSessions
import HoldfastTestKit

/// Follows a message table with the index named first in `files`, until killed; tells `slice` once it is the one
/// who indexes, and after each slice that leaves more to do.
func indexMessages(_ settings: PeerSettings, _ link: PeerLink) async throws {
  let messages = try await MessageTable.open(settings.required(settings.database, "database"))
  let search = MessageSearch(index: try settings.required(settings.files.first, "files"), feed: messages.feed)
  await link.reach("start")
  var hasTold = false
  while true {
    let isMore = try await search.indexSlice()
    let isIndexer = await search.isIndexer
    if isMore || (isIndexer && !hasTold) {
      // Also when one slice was everything there was.
      hasTold = isIndexer
      link.tell("slice")
    } else {
      try await Task.sleep(for: .milliseconds(1))
    }
  }
}
