// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastSessions
import HoldfastTestKit

/// Follows a message table with the index named first in `files`, until killed; tells `slice` after each slice
/// it laid in.
func indexMessages(_ settings: PeerSettings, _ link: PeerLink) async throws {
  let messages = try await MessageTable.open(settings.required(settings.database, "database"))
  let search = MessageSearch(index: try settings.required(settings.files.first, "files"), feed: messages.feed)
  await link.reach("start")
  while true {
    if try await search.indexSlice() {
      link.tell("slice")
    } else {
      try await Task.sleep(for: .milliseconds(1))
    }
  }
}
