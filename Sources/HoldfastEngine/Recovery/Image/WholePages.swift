// SPDX-License-Identifier: Apache-2.0

/// An image whose header keeps bytes at every page's end free that its b-trees use: the same with the whole of each page
/// SQLite's, as it was before byte 20 of the header changed.
///
/// SQLite reads the rows it thus thinks beyond a page's end; a check of cells, and so ``Salvage``, does not.
struct WholePages: PageSource {
  private let image: FileImage

  /// The most pages that are looked at.
  private static let samples: UInt32 = 64

  /// Nil where at least as many nodes of b-trees account for each of their bytes as the header has it.
  init?(_ image: FileImage) throws {
    guard image.layout.reserved > 0 else { return nil }
    var (asNoted, whole) = (0, 0)
    let step = max(1, image.pageCount / Self.samples)
    for number in stride(from: 1, through: image.pageCount, by: Int.Stride(step)) {
      guard let page = try image.page(number) else { continue }
      if Self.isSound(page, number, usableSize: image.layout.usableSize) { asNoted += 1 }
      if Self.isSound(page, number, usableSize: image.pageSize) { whole += 1 }
    }
    guard whole > asNoted else { return nil }
    self.image = image
  }

  private static func isSound(_ page: [UInt8], _ number: UInt32, usableSize: Int) -> Bool {
    guard let node = BTreePage(page, number: number, usableSize: usableSize) else { return false }
    return node.cellCount > 0 && node.defect == nil
  }

  var pageSize: Int { image.pageSize }
  var pageCount: UInt32 { image.pageCount }

  func page(_ number: UInt32) throws -> [UInt8]? {
    guard var page = try image.page(number) else { return nil }
    if number == 1 { page[20] = 0 }
    return page
  }
}
