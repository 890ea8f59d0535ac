// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

extension SQLiteMailboxStore {
  /// Tells when either side wrote to a mailbox that has been made, so that nobody need look more often than that.
  ///
  /// A sign means that there may be something to be drained, or due: it comes with the write, which may be a moment before
  /// the commit. Several may come as one. Where the system tells nothing (a shared mount, no inotify) the stream is
  /// silent, so look now and then all the same.
  public func changes(of address: MailboxAddress) -> AsyncStream<Void> {
    let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    let names = ["inbound.db", "outbound.db"].flatMap { [$0, $0 + "-wal", $0 + "-journal"] }
    let token = DirectoryWatch.content.subscribe(
      directory: MailboxDirectory(home: home, address: address).path, names: Set(names)
    ) { continuation.yield() }
    guard let token else {
      continuation.finish()
      return stream
    }
    continuation.onTermination = { _ in DirectoryWatch.content.cancel(token) }
    return stream
  }
}
