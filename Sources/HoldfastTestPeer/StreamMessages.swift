// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastSessions
import HoldfastTestKit

/// Says messages into the session store of the home that is the first of `files`, and accepts one beside each; tells
/// each number once both are promised. Then stands at the gate `half` with half a message in the store.
func streamMessages(_ settings: PeerSettings, _ link: PeerLink) async throws {
  let store = try await SQLiteSessionStore.open(home: try settings.required(settings.files.first, "files"))
  await link.reach("start")
  for number in settings.first..<(settings.first + (settings.count ?? 0)) {
    let stream = try await store.appendStreaming(
      NewMessage(uid: "\(number)", role: "assistant", ""), to: "said")
    for piece in 0..<20 { await stream.add("\(number).\(piece) ") }
    try await stream.finish()
    try store.accept(NewMessage(uid: "\(number)", role: "user", "\(number)"), for: "accepted")
    link.tell("\(number)")
  }
  let stream = try await store.appendStreaming(NewMessage(uid: "half", role: "assistant", "one "), to: "said")
  await stream.add("two ")
  _ = try await eventually {
    try await store.transcript(of: "said").messages.last?.message.content == .text("one two ")
  }
  await link.reach("half")
}
