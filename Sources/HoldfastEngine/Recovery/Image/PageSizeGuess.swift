// SPDX-License-Identifier: Apache-2.0

/// Finds out the size of pages, and what is kept free at their ends, when no header tells.
///
/// A node of a b-tree accounts for each of its bytes (pointers, cells, free blocks, fragments, the gap),
/// which bytes that are cut at the wrong places do not: the size with the largest share of such nodes is
/// right.
struct PageSizeGuess {
  let file: ImageFile
  /// The bad header's bytes, of which some may be whole.
  let header: [UInt8]

  private static let candidates = [4096, 1024, 8192, 16_384, 32_768, 65_536, 2048, 512]
  /// Beside 0: what encryption and checksum extensions keep.
  private static let usualReserves = [4, 8, 12, 16, 20, 24, 28, 32, 40, 48, 64, 80, 96, 128]

  func pageSize(notes: inout [String]) throws(StoreError) -> Int {
    for (reserves, samples) in [([0], 48), (Self.usualReserves, 6)] {
      var best = (size: 0, share: 0.0, count: 0)
      for size in Self.candidates {
        for reserve in reserves {
          let (sound, seen) = try soundNodes(pageSize: size, reserved: reserve, samples: samples)
          guard sound > 0 else { continue }
          let share = Double(sound) / Double(seen)
          if share > best.share || share == best.share && sound > best.count { best = (size, share, sound) }
        }
      }
      if best.size > 0 {
        notes.append("The size of pages, \(best.size) bytes, was found from the b-tree pages themselves.")
        return best.size
      }
    }
    notes.append("No page of the file could be recognised: pages of 4096 bytes were assumed.")
    return 4096
  }

  /// How many bytes at the end of every page are not SQLite's.
  func reserved(pageSize: Int) throws(StoreError) -> Int {
    let hint = header.count > 20 ? [Int(header[20])] : []
    var best = (reserve: 0, count: try soundNodes(pageSize: pageSize, reserved: 0, samples: 12).sound)
    guard best.count == 0 else { return 0 }
    for reserve in hint + Self.usualReserves where pageSize - reserve >= 480 {
      let (sound, _) = try soundNodes(pageSize: pageSize, reserved: reserve, samples: 12)
      if sound > best.count { best = (reserve, sound) }
    }
    return best.reserve
  }

  /// Page offsets spread over the file, the first among them.
  private func sampledPages(pageSize: Int, samples: Int) -> [UInt32] {
    let count = UInt32(clamping: file.size / Int64(pageSize))
    guard count > samples else { return count == 0 ? [] : Array(1...count) }
    return (0..<samples).map { UInt32(UInt64($0) * UInt64(count) / UInt64(samples)) + 1 }
  }

  private func soundNodes(pageSize: Int, reserved: Int, samples: Int) throws(StoreError) -> (
    sound: Int, seen: Int
  ) {
    var (sound, seen) = (0, 0)
    for number in sampledPages(pageSize: pageSize, samples: samples) {
      let page = try file.bytes(at: Int64(number - 1) * Int64(pageSize), count: pageSize)
      guard page.count == pageSize, page.contains(where: { $0 != 0 }) else { continue }
      seen += 1
      if let node = BTreePage(page, number: number, usableSize: pageSize - reserved), node.cellCount > 0,
        node.defect == nil
      {
        sound += 1
      }
    }
    return (sound, seen)
  }

  /// Tells the encoding from the texts of records: in UTF-16 every other byte of most texts is 0.
  func encoding(pageSize: Int, usableSize: Int, firstPage: [UInt8]) throws(StoreError) -> PageLayout.Encoding
  {
    var (narrow, little, big) = (0, 0, 0)
    func count(_ page: [UInt8], number: UInt32) {
      guard let node = BTreePage(page, number: number, usableSize: usableSize), node.kind == .tableLeaf else {
        return
      }
      for index in 0..<node.cellCount {
        guard let cell = node.cell(index),
          let values = RecordFormat.decode(Array(page[cell.local]), partially: true)
        else { continue }
        for case .text(let text) in values where text.count >= 2 {
          let even = stride(from: 0, to: text.count, by: 2).count { text[$0] == 0 }
          let odd = stride(from: 1, to: text.count, by: 2).count { text[$0] == 0 }
          if text.count % 2 == 0, odd > even, odd * 4 >= text.count {
            little += 1
          } else if text.count % 2 == 0, even > odd, even * 4 >= text.count {
            big += 1
          } else {
            narrow += 1
          }
        }
      }
    }
    count(firstPage, number: 1)
    if narrow + little + big == 0 {
      for number in sampledPages(pageSize: pageSize, samples: 24) where number > 1 {
        count(try file.bytes(at: Int64(number - 1) * Int64(pageSize), count: pageSize), number: number)
      }
    }
    if little > narrow, little >= big { return .utf16LittleEndian }
    return big > narrow ? .utf16BigEndian : .utf8
  }
}
