// SPDX-License-Identifier: Apache-2.0

import CZlib
import NIOCore
import Testing

@testable import HoldfastGateway

/// A Messages answer, as text and as Python's gzip and zlib modules compress it.
enum CompressedAnswer {
  static let text =
    #"{"id":"msg_1","type":"message","model":"claude-sonnet-4-5","usage":{"input_tokens":11,"output_tokens":22}}"#
  static let gzip =
    "H4sIAAAAAAACA03KOw6AIBBF0b1MDQVEGzZDiEyIkV8yM4Uh7F20snzn3QFnBAeFkjeggO+O70SikHBBaRHzkiMHia"
    + "ip1YqsN72vT77GDThrF/bcLqwEzhgFTfhP1s75AIicgvJqAAAA"
  static let zlib =
    "eJxNyjsOgCAQRdG9TA0FRBs2Q4hMiJFfMjOFIexdtLJ8590BZwQHhZI3oIDvju9EopBwQWkR85IjB4moqdWKrDe9r0"
    + "++xg04axf23C6sBM4YBU34T9bO+QApUCNU"
  static let rawDeflate =
    "Tco7DoAgEEXRvUwNBUQbNkOITIiRXzIzhSHsXbSyfOfdAWcEB4WSN6CA747vRKKQcEFpEfOSIweJqKnViqw3va9Pvs"
    + "YNOGsX9twurATOGAVN+E/WzvkA"

  static func bytes(_ base64: String) throws -> [UInt8] { try #require(Base64.decode(base64)) }
}

@Suite struct ContentDecoderTests {
  private func decode(_ bytes: [UInt8], _ field: String, step: Int, limit: Int = 1 << 20) -> (String, Bool) {
    let decoder = ContentDecoder(.init(field), maximumBytes: limit)
    var out: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: step) {
      decoder.decode(ByteBuffer(bytes: bytes[start..<min(start + step, bytes.count)])) { span in
        for index in span.indices { out.append(span[index]) }
      }
    }
    return (String(decoding: out, as: UTF8.self), decoder.isIntact)
  }

  @Test(arguments: [
    ("gzip", CompressedAnswer.gzip), ("x-gzip", CompressedAnswer.gzip), ("Deflate", CompressedAnswer.zlib),
  ])
  func compressedBytesAreReadAtEverySplit_G04(_ field: String, _ base64: String) throws {
    let bytes = try CompressedAnswer.bytes(base64)
    for step in 1...bytes.count {
      let (text, isIntact) = decode(bytes, field, step: step)
      #expect(text == CompressedAnswer.text)
      #expect(isIntact)
    }
  }

  @Test func deflateWithoutItsHeaderIsReadToo_G04() throws {
    let bytes = try CompressedAnswer.bytes(CompressedAnswer.rawDeflate)
    #expect(decode(bytes, "deflate", step: bytes.count) == (CompressedAnswer.text, true))
  }

  @Test(arguments: ["br", "zstd", "gzip, br", "gzip, gzip"])
  func whatCannotBeDecodedSaysSo_G04(_ field: String) throws {
    #expect(decode(try CompressedAnswer.bytes(CompressedAnswer.gzip), field, step: 8) == ("", false))
  }

  @Test func noCodingIsNoCoding() {
    #expect(decode(Array("abc".utf8), "identity", step: 1) == ("abc", true))
    #expect(decode(Array("abc".utf8), "", step: 1) == ("abc", true))
  }

  @Test func damagedBytesAreNoUsage_G04() throws {
    var bytes = try CompressedAnswer.bytes(CompressedAnswer.gzip)
    bytes[20] ^= 0xFF
    #expect(!decode(bytes, "gzip", step: 7).1)
  }

  @Test func aBodyThatInflatesWithoutEndIsCutOff_G07() throws {
    let zeros = [UInt8](repeating: 0, count: 4 << 20)
    var size = compressBound(UInt(zeros.count))
    var bomb = [UInt8](repeating: 0, count: Int(size))
    try #require(unsafe compress2(&bomb, &size, zeros, UInt(zeros.count), 9) == Z_OK)
    bomb.removeLast(bomb.count - Int(size))
    #expect(bomb.count < 8192)

    let decoder = ContentDecoder(.zlib, maximumBytes: 1 << 20)
    var seen = 0
    decoder.decode(ByteBuffer(bytes: bomb)) { seen += $0.count }
    #expect(seen <= 1 << 20)
    #expect(!decoder.isIntact)
  }
}
