// SPDX-License-Identifier: Apache-2.0

import Crypto
import HoldfastEngine

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What became of one line.
enum LineOutcome: Equatable {
  case taken
  /// It is no message.
  case skipped
  /// It ought to be one and cannot be.
  case unreadable(String)
}

/// Turns the lines of one transcript into sessions and messages; a pure value.
protocol LineParser {
  /// Takes the next line, an object.
  mutating func take(_ line: JSONTape, number: Int, into batch: inout TranscriptBatch) -> LineOutcome

  /// Nothing more follows, for now.
  mutating func finish(into batch: inout TranscriptBatch)
}

/// A transcript that is a file of JSON Lines, read while its program may be appending to it.
final class LineTranscript<Parser: LineParser>: TranscriptReading {
  private let file: LineReader
  private var parser: Parser
  private var tape = JSONTape()

  /// - Throws: ``StoreError`` when the file cannot be opened.
  init(_ path: String, _ parser: Parser) throws(StoreError) {
    file = try LineReader(.file(path))
    self.parser = parser
  }

  func read(into batch: inout TranscriptBatch) throws -> Bool {
    while !batch.isFull {
      let line: LineReader.Line?
      do {
        line = try file.next(into: &tape.bytes)
      } catch {
        batch.faults.append(TranscriptFault(file.path, line: file.number + 1, error.message))
        line = nil
      }
      switch line {
      case nil:
        parser.finish(into: &batch)
        batch.files += 1
        return false
      case .tooLong:
        fault("The line is longer than \(file.maximumBytes) bytes.", &batch)
      case .whole, .unfinished:
        if tape.bytes.allSatisfy({ $0 == 0x20 || $0 == 0x0D || $0 == 0x09 }) { continue }
        guard tape.scan(), tape.isObject else {
          if line == .unfinished {
            batch.incomplete += 1
          } else {
            fault("The line is no JSON object.", &batch)
          }
          continue
        }
        switch parser.take(tape, number: file.number, into: &batch) {
        case .taken: break
        case .skipped: batch.skipped += 1
        case .unreadable(let reason): fault(reason, &batch)
        }
      }
    }
    return true
  }

  private func fault(_ reason: String, _ batch: inout TranscriptBatch) {
    batch.faults.append(TranscriptFault(file.path, line: file.number, reason))
  }
}

extension LineReader {
  /// Calls `body` with each line that has one of `words` in it and is a JSON object: a look ahead that costs a
  /// search through the bytes.
  static func lines(
    of path: String, with words: [StaticString], _ body: (JSONTape, _ number: Int) -> Void
  ) throws(StoreError) {
    let file = try LineReader(.file(path))
    var tape = JSONTape()
    while let line = try file.next(into: &tape.bytes) {
      guard line != .tooLong, words.isEmpty || words.contains(where: { has(tape.bytes, $0) }) else {
        continue
      }
      if tape.scan(), tape.isObject { body(tape, file.number) }
    }
  }

  /// Whether a word of at least four bytes is among the bytes.
  private static func has(_ bytes: [UInt8], _ word: StaticString) -> Bool {
    unsafe bytes.withUnsafeBytes { text in
      let length = word.utf8CodeUnitCount
      guard text.count >= length else { return false }
      let start = unsafe UnsafeRawPointer(word.utf8Start).loadUnaligned(as: UInt32.self)
      for offset in 0...(text.count &- length)
      where unsafe text.loadUnaligned(fromByteOffset: offset, as: UInt32.self) == start {
        if unsafe memcmp(text.baseAddress! + offset, word.utf8Start, length) == 0 { return true }
      }
      return false
    }
  }
}

/// Uids of lines that have none of their own: what they say is who they are, so that a file which was written
/// anew brings only what is new in it.
struct LineUIDs {
  private var recent: [String] = []

  /// 128 bits of the SHA-256 of the line; numbered where the lines right before it are the same.
  mutating func uid(of line: [UInt8]) -> String {
    let digest = SHA256.hash(data: line).prefix(16)
    var uid = ""
    uid.reserveCapacity(34)
    for byte in digest {
      for half in [byte >> 4, byte & 0xF] {
        uid.unicodeScalars.append(UnicodeScalar(half < 10 ? 0x30 + half : 0x57 + half))
      }
    }
    let same = recent.count { $0 == uid }
    recent.append(uid)
    if recent.count > 8 { recent.removeFirst() }
    return same == 0 ? uid : "\(uid)-\(same)"
  }
}

/// Whether a user's text was put in by the program and says nothing about what the session is for.
func isInserted(_ text: String) -> Bool {
  let starts = ["<", "Caveat: ", "[Request interrupted", "# AGENTS.md", "This session is being continued"]
  return starts.contains { text.hasPrefix($0) }
}
