// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastEngine

/// Reads one file of a program's, from where it was left, in pieces; used by one thread at a time. Blocks.
protocol UsageLogReadable: AnyObject {
  /// How many requests were read of it before, of those that stand before the place where reading goes on.
  var carried: Int64 { get }

  /// Reads on, up to about so many requests.
  func next(most rows: Int) throws -> UsageLogFile.Read
}

enum UsageLogFile {
  /// A piece that was read.
  struct Read {
    var piece: UsageLogPiece
    var faults: [UsageLogFault] = []
    var incomplete = 0
    /// Whether there is nothing more, for now.
    var isLast: Bool
  }

  /// The longest JSON text that is read whole.
  static let longestDocument = 64 << 20

  /// Opens a place where it was left.
  static func open(_ place: UsageLogPlace, _ mark: UsageLogMark?) throws -> any UsageLogReadable {
    switch UsageLogReading(place) {
    case .lines(let parser): try UsageLogLines(place, parser, mark)
    case .document(let parser): UsageLogDocument(place, parser, mark)
    case .database: try OpenCodeUsageReader(place, mark)
    }
  }

  /// What was read, with the file's name in what was refused.
  static func read(
    _ batch: UsageLogBatch, _ mark: UsageLogMark?, isLast: Bool, file: String
  ) -> Read {
    var faults = batch.faults
    for index in faults.indices { faults[index].file = file }
    return Read(
      piece: UsageLogPiece(rows: batch.rows, mark: mark), faults: faults, incomplete: batch.incomplete,
      isLast: isLast)
  }
}

/// A log of JSON Lines that its program may be appending to.
final class UsageLogLines: UsageLogReadable {
  private let file: LineReader
  private let stamp: FileWriteStamp
  private var parser: any UsageLineParser
  private var mark: UsageLogMark
  private var tape = JSONTape()
  /// The line in ``tape`` was read, and is the first of the next piece.
  private var isHeld = false
  let carried: Int64

  /// How many bytes a piece has at most: prompts between two requests can be long.
  private static let longestPiece: Int64 = 16 << 20
  /// How many bytes before the place where reading goes on must be the same.
  private static let tailLength = 256

  /// - Throws: `StoreError` when it cannot be opened.
  init(_ place: UsageLogPlace, _ fresh: any UsageLineParser, _ known: UsageLogMark?) throws {
    var reader = try LineReader(.file(place.path), from: known?.offset ?? 0, after: known?.line ?? 0)
    var parser = fresh
    var mark = UsageLogMark(path: place.path, format: place.format)
    if let known {
      // Another file, a shorter one, or one that was written anew is read from its beginning.
      if let carried = Self.state(known.state, as: fresh), Self.goesOn(reader, known) {
        (parser, mark) = (carried, known)
      } else {
        reader = try LineReader(.file(place.path))
        mark.generation = known.generation + 1
      }
    }
    guard let stamp = reader.stamp else { throw LineReader.error(place.path, EIO) }
    (mark.device, mark.inode, mark.size, mark.modified) = (stamp.device, stamp.inode, stamp.size, 0)
    (file, self.stamp, self.parser, self.mark) = (reader, stamp, parser, mark)
    carried = mark.rows
  }

  private static func goesOn(_ reader: LineReader, _ mark: UsageLogMark) -> Bool {
    guard let stamp = reader.stamp, stamp.device == mark.device, stamp.inode == mark.inode,
      stamp.size >= mark.offset
    else { return false }
    return tail(reader, mark.offset) == mark.tail
  }

  private static func tail(_ reader: LineReader, _ offset: Int64) -> Int64 {
    Int64(bitPattern: Checksum.fnv(reader.bytes(before: offset, most: tailLength)))
  }

  private static func state(
    _ text: String, as parser: any UsageLineParser
  ) -> (any UsageLineParser)? {
    func decode<Parser: UsageLineParser>(_: Parser) -> (any UsageLineParser)? {
      try? JSONDecoder().decode(Parser.self, from: Data(text.utf8))
    }
    return decode(parser)
  }

  /// A piece ends before the line that begins one request too many: the lines of a request are not torn apart.
  func next(most rows: Int) throws -> UsageLogFile.Read {
    var batch = UsageLogBatch()
    var isLast = false
    let end = file.offset + Self.longestPiece
    loop: while batch.faults.count < 1000, file.offset < end || isHeld {
      if isHeld {
        isHeld = false
        batch.line = file.number
        parser.take(tape, into: &batch)
        (mark.offset, mark.line) = (file.offset, file.number)
        continue
      }
      let line = try file.next(into: &tape.bytes)
      batch.line = file.number
      switch line {
      case nil:
        isLast = true
        break loop
      case .unfinished:
        // The rest of it is still to come: next time it is read from its beginning.
        batch.incomplete += 1
        isLast = true
        break loop
      case .tooLong:
        batch.refuse("The line is longer than \(file.maximumBytes) bytes.")
      case .whole:
        if tape.bytes.allSatisfy({ $0 == 0x20 || $0 == 0x0D || $0 == 0x09 || $0 == 0 }) { break }
        guard tape.scan(), tape.isObject else {
          batch.refuse("The line is no JSON object.")
          break
        }
        let (count, before) = (batch.rows.count, parser)
        parser.take(tape, into: &batch)
        if count >= rows, batch.rows.count > count {
          batch.giveBack(to: count)
          (parser, isHeld) = (before, true)
          break loop
        }
      }
      (mark.offset, mark.line) = (file.offset, file.number)
    }
    mark.rows += Int64(batch.rows.count)
    mark.tail = Self.tail(file, mark.offset)
    mark.modified = isLast ? stamp.modified : 0
    mark.state = String(decoding: try JSONEncoder().encode(parser), as: UTF8.self)
    return UsageLogFile.read(batch, mark, isLast: isLast, file: file.path)
  }
}

/// A log that is one JSON text: read whole whenever it has changed.
final class UsageLogDocument: UsageLogReadable {
  private let place: UsageLogPlace
  private let parser: any UsageDocumentParser
  private let generation: Int64
  let carried: Int64 = 0

  init(_ place: UsageLogPlace, _ parser: any UsageDocumentParser, _ known: UsageLogMark?) {
    (self.place, self.parser, generation) = (place, parser, (known?.generation ?? 0) + 1)
  }

  func next(most rows: Int) throws -> UsageLogFile.Read {
    var batch = UsageLogBatch()
    guard let stamp = FileWriteStamp(path: place.path) else { throw LineReader.error(place.path, ENOENT) }
    guard stamp.size <= UsageLogFile.longestDocument else {
      batch.refuse("The file is longer than \(UsageLogFile.longestDocument) bytes.")
      return UsageLogFile.read(batch, nil, isLast: true, file: place.path)
    }
    guard let document = TextBeside.json(place.path, most: UsageLogFile.longestDocument) else {
      // It is written anew each time, and this may be half of it; a while later it is what it is.
      let age = UTCInstant.now.milliseconds - stamp.modified / 1_000_000
      if stamp != FileWriteStamp(path: place.path) || (-1000..<2000).contains(age) {
        batch.incomplete += 1
      } else {
        batch.refuse("The file is no JSON.")
      }
      return UsageLogFile.read(batch, nil, isLast: true, file: place.path)
    }
    parser.take(document: document, into: &batch)
    var mark = UsageLogMark(path: place.path, format: place.format)
    (mark.device, mark.inode, mark.generation) = (stamp.device, stamp.inode, generation)
    mark.offset = stamp.size
    (mark.size, mark.modified, mark.rows) = (stamp.size, stamp.modified, Int64(batch.rows.count))
    return UsageLogFile.read(batch, mark, isLast: true, file: place.path)
  }
}
