// SPDX-License-Identifier: Apache-2.0

extension WALSummary {
  /// Reads a -wal to the end of its last commit.
  /// - Returns: nil when the file cannot be read or its header is not valid.
  init?(walAt path: String) {
    guard let file = try? ImageFile(path), let frames = try? CommittedFrames(file) else { return nil }
    let pages = Set(frames.overlay.pages.filter { $0 <= frames.pageCount })
    self.init(
      committedFrames: frames.count, pageCount: frames.pageCount, hasFirstPage: pages.contains(1),
      pages: pages)
  }
}
