// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine

/// What was read of several logs, to be landed at once.
struct UsageLogSlice: Sendable {
  var pieces: [UsageLogPiece] = []
  var faults: [UsageLogFault] = []
  var files = 0
  var filesUnchanged = 0
  var incomplete = 0
  /// Requests that earlier readings of these files have told of, which are not read again.
  var known: Int64 = 0

  var rows: Int { pieces.reduce(0) { $0 + $1.rows.count } }
}

/// Reads logs one after the other, as slices that may span several.
final class UsageLogFeed: @unchecked Sendable {
  // Not shared: one call of next() is awaited before there is another, or anything else is asked of it.
  private var places: ArraySlice<UsageLogPlace>
  private let marks: [String: UsageLogMark]
  private var current: (place: UsageLogPlace, file: any UsageLogReadable)?

  init(_ places: ArraySlice<UsageLogPlace>, _ marks: [String: UsageLogMark]) {
    (self.places, self.marks) = (places, marks)
  }

  /// The next slice of about so many requests; nil at the end.
  func next(most rows: Int) async throws -> UsageLogSlice? {
    try await BlockingThread.run(named: "hf-import") { self.read(most: rows) }
  }

  /// Goes on where another has got to.
  func goOn(from mark: UsageLogMark) {
    guard let current, current.place.path == mark.path else { return }
    // Should it not open, reading goes on where it is, and finds nothing new.
    if let file = try? UsageLogFile.open(current.place, mark) { self.current = (current.place, file) }
  }

  private func read(most rows: Int) -> UsageLogSlice? {
    var slice = UsageLogSlice()
    var count = 0
    while count < rows, slice.pieces.count < 256, slice.faults.count < 1000 {
      guard let (place, file) = current ?? open(&slice) else { break }
      current = (place, file)
      do {
        let read = try file.next(most: rows - count)
        slice.pieces.append(read.piece)
        slice.faults += read.faults
        slice.incomplete += read.incomplete
        count += read.piece.rows.count
        if read.isLast { current = nil }
      } catch {
        slice.faults.append(UsageLogFault(file: place.path, reason: Self.reason(error)))
        current = nil
      }
    }
    let isNothing = slice.pieces.isEmpty && slice.faults.isEmpty && slice.files == 0 && current == nil
    return isNothing ? nil : slice
  }

  /// The next file that has changed since it was last read: of the others only what the system says is looked at.
  private func open(_ slice: inout UsageLogSlice) -> (UsageLogPlace, any UsageLogReadable)? {
    while let place = places.popFirst() {
      slice.files += 1
      let mark = marks[place.path].flatMap { $0.format == place.format ? $0 : nil }
      let stamp =
        place.format == .opencode ? OpenCodeUsageReader.stamp(place.path) : FileWriteStamp(path: place.path)
      if let mark, let stamp, mark.modified != 0,
        stamp
          == FileWriteStamp(
            device: mark.device, inode: mark.inode, size: mark.size, modified: mark.modified)
      {
        slice.filesUnchanged += 1
        slice.known += mark.rows
        continue
      }
      do {
        let file = try UsageLogFile.open(place, mark)
        slice.known += file.carried
        return (place, file)
      } catch {
        slice.faults.append(UsageLogFault(file: place.path, reason: Self.reason(error)))
      }
    }
    return nil
  }

  private static func reason(_ error: any Error) -> String {
    (error as? StoreError)?.message ?? (error as? UsageError)?.message ?? "\(error)"
  }
}
