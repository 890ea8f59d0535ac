// SPDX-License-Identifier: Apache-2.0

import Foundation

/// A disk at one moment: what programs see, and what of it is on the platter. A value: copy it to try things.
///
/// What was written and not synced is kept apart, change by change, so that a power cut can be tried at any
/// moment (``afterPowerCut(using:)``).
public struct DiskState: Sendable {
  /// A change of a file that is not on the platter.
  enum Change: Sendable {
    case write(offset: Int, bytes: [UInt8])
    case truncate(size: Int)
  }

  /// A change of a name that is not on the platter: the file it stands for from then on, or none.
  struct Naming: Sendable {
    let name: String
    let file: DiskEvent.File?
  }

  struct Content: Sendable {
    var durable: [UInt8] = []
    var current: [UInt8] = []
    var pending: [Change] = []
  }

  var files: [DiskEvent.File: Content] = [:]
  var names: [String: DiskEvent.File] = [:]
  var durableNames: [String: DiskEvent.File] = [:]
  var pendingNames: [Naming] = []
  var nextFile: DiskEvent.File = 1

  /// An empty disk.
  public init() {}

  /// A disk on which these files have always been.
  public init(files contents: [String: [UInt8]]) {
    for (name, bytes) in contents.sorted(by: { $0.key < $1.key }) {
      files[nextFile] = Content(durable: bytes, current: bytes)
      names[name] = nextFile
      nextFile += 1
    }
    durableNames = names
  }

  /// The files by name, as a program sees them.
  public var contents: [String: [UInt8]] {
    names.mapValues { files[$0]?.current ?? [] }
  }

  /// A number no file has had.
  mutating func makeFile() -> DiskEvent.File {
    defer { nextFile += 1 }
    return nextFile
  }

  /// Brings the disk one event further.
  public mutating func apply(_ event: DiskEvent) {
    switch event {
    case .create(let file, let name):
      files[file] = Content()
      nextFile = max(nextFile, file + 1)
      names[name] = file
      pendingNames.append(Naming(name: name, file: file))
    case .write(let file, let offset, let bytes):
      files[file]?.current.overwrite(at: offset, with: bytes)
      files[file]?.pending.append(.write(offset: offset, bytes: bytes))
    case .truncate(let file, let size):
      files[file]?.current.resize(to: size)
      files[file]?.pending.append(.truncate(size: size))
    case .sync(let file):
      guard let content = files[file] else { return }
      files[file]?.durable = content.current
      files[file]?.pending = []
    case .delete(let name):
      names[name] = nil
      pendingNames.append(Naming(name: name, file: nil))
    case .syncDirectory(let directory):
      for naming in pendingNames where Self.directory(of: naming.name) == directory {
        durableNames[naming.name] = naming.file
      }
      pendingNames.removeAll { Self.directory(of: $0.name) == directory }
    case .note: break
    }
  }

  /// The directory part of a name, "/" for a name without one.
  static func directory(of name: String) -> String {
    guard let cut = name.lastIndex(of: "/"), cut != name.startIndex else { return "/" }
    return String(name[..<cut])
  }
}

extension [UInt8] {
  mutating func resize(to size: Int) {
    if count > size {
      removeLast(count - size)
    } else if count < size {
      // By memcpy and memset: unoptimized, the library's generic loops cost more than everything else here.
      let old = self
      self = unsafe [UInt8](unsafeUninitializedCapacity: size) { buffer, initialized in
        guard let target = buffer.baseAddress else { return }
        unsafe old.withUnsafeBytes { source in
          if let start = source.baseAddress { unsafe _ = memcpy(target, start, source.count) }
        }
        unsafe _ = memset(target + old.count, 0, size - old.count)
        initialized = size
      }
    }
  }

  mutating func overwrite(at offset: Int, with bytes: [UInt8]) {
    if count < offset + bytes.count { resize(to: offset + bytes.count) }
    unsafe withUnsafeMutableBytes { target in
      unsafe bytes.withUnsafeBytes {
        unsafe UnsafeMutableRawBufferPointer(rebasing: target[offset...]).copyMemory(from: $0)
      }
    }
  }
}
