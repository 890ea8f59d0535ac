// SPDX-License-Identifier: Apache-2.0

/// Rows as they are read from a log: checked, and those of one request put together.
package struct UsageLogBatch: Sendable {
  /// The requests, each once.
  package private(set) var rows: [UsageRow] = []
  /// What was refused; the file is filled in by who knows its name.
  package private(set) var faults: [UsageLogFault] = []
  /// Last lines that are not whole yet.
  package var incomplete = 0
  /// The line being read.
  package var line: Int?
  private var places: [String: Int] = [:]

  /// A batch of nothing.
  package init() {}

  /// Adds a row, or puts it together with one of the same request.
  mutating func add(_ row: UsageRow) {
    do throws(UsageError) {
      try row.validate()
    } catch {
      refuse(error.message)
      return
    }
    guard let uid = row.uid else { return refuse("The request has nothing that tells it from others.") }
    guard let place = places[uid] else {
      places[uid] = rows.count
      rows.append(row)
      return
    }
    rows[place] = rows[place].taking(log: row)
  }

  /// Forgets the last rows, but for so many.
  mutating func giveBack(to count: Int) {
    while rows.count > count {
      if let uid = rows.removeLast().uid { places[uid] = nil }
    }
  }

  /// Notes what was not taken, and why.
  mutating func refuse(_ reason: String) {
    faults.append(UsageLogFault(file: "", line: line, reason: reason))
  }
}
