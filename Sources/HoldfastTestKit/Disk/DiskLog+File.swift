// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A log as bytes, to pass it from the process that made it to the one that judges it. Not a format to keep.
extension DiskLog {
  /// Writes the events to a file; the start is not written.
  public func write(to path: String) throws {
    var data = Data()
    func put(_ number: Int) {
      unsafe withUnsafeBytes(of: Int64(number).littleEndian) { unsafe data.append(contentsOf: $0) }
    }
    func put(_ bytes: [UInt8]) {
      put(bytes.count)
      data.append(contentsOf: bytes)
    }
    for event in events {
      switch event {
      case .create(let file, let name):
        put(0)
        put(file)
        put(Array(name.utf8))
      case .write(let file, let offset, let bytes):
        put(1)
        put(file)
        put(offset)
        put(bytes)
      case .truncate(let file, let size):
        put(2)
        put(file)
        put(size)
      case .sync(let file):
        put(3)
        put(file)
      case .delete(let name):
        put(4)
        put(Array(name.utf8))
      case .syncDirectory(let directory):
        put(5)
        put(Array(directory.utf8))
      case .note(let number):
        put(6)
        put(Int(bitPattern: UInt(number)))
      }
    }
    try data.write(to: URL(fileURLWithPath: path))
  }

  /// Reads what ``write(to:)`` wrote, as what happened to an empty disk.
  public init(contentsOf path: String) throws {
    var data = try Data(contentsOf: URL(fileURLWithPath: path))[...]
    func number() -> Int {
      var value: Int64 = 0
      for (shift, byte) in data.prefix(8).enumerated() { value |= Int64(byte) << (8 * shift) }
      data = data.dropFirst(8)
      return Int(value)
    }
    func bytes() -> [UInt8] {
      let count = number()
      defer { data = data.dropFirst(count) }
      return [UInt8](data.prefix(count))
    }
    func text() -> String { String(decoding: bytes(), as: UTF8.self) }
    var events: [DiskEvent] = []
    while !data.isEmpty {
      switch number() {
      case 0: events.append(.create(number(), name: text()))
      case 1: events.append(.write(number(), offset: number(), bytes: bytes()))
      case 2: events.append(.truncate(number(), size: number()))
      case 3: events.append(.sync(number()))
      case 4: events.append(.delete(name: text()))
      case 5: events.append(.syncDirectory(text()))
      default: events.append(.note(UInt64(UInt(bitPattern: number()))))
      }
    }
    self.init(start: DiskState(), events: events)
  }
}
