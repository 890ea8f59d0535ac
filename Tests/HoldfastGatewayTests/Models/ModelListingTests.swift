// SPDX-License-Identifier: Apache-2.0

import Foundation
import HoldfastCatalog
import HoldfastEngine
import HoldfastTestKit
import Testing

@testable import HoldfastGateway

@Suite struct ModelListingTests {
  private func item(_ id: String, created: Int64? = nil, at provider: String = "p") -> ModelListing.Item {
    ModelListing.Item(
      id: id,
      model: CatalogModel(
        id: id, provider: provider, displayName: nil, context: 1000,
        created: created.map { UTCInstant(milliseconds: $0 * 1000) }, fetchedAt: UTCInstant(milliseconds: 0)),
      prices: nil, providers: [provider])
  }

  private struct Page: Decodable {
    struct Model: Decodable {
      var id: String
      var type: String
      var created_at: String
      var display_name: String
    }
    var data: [Model]
    var has_more: Bool
    var first_id: String?
    var last_id: String?
  }

  private func page(_ listing: ModelListing, _ parameters: (String, String)...) throws -> Page {
    let text = try JSONLine.text(listing.anthropic(try ModelListing.Page(parameters)))
    return try JSONDecoder().decode(Page.self, from: Data(text.utf8))
  }

  @Test(arguments: 0..<60)
  func pagingShowsEachModelOnceInEitherDirection(_ seed: UInt64) throws {
    var random = SplitMix64(seed: seed)
    let count = Int.random(in: 0...60, using: &random)
    let items = (0..<count).map { index in
      item("m\(index)", created: Bool.random(using: &random) ? Int64.random(in: 0...5, using: &random) : nil)
    }
    let listing = ModelListing(items.shuffled(using: &random))
    let limit = String(Int.random(in: 1...25, using: &random))
    var forward: [String] = []
    var next: String?
    repeat {
      let part = try page(listing, ("limit", limit), ("after_id", next ?? ""))
      forward += part.data.map(\.id)
      #expect(part.first_id == part.data.first?.id && part.last_id == part.data.last?.id)
      next = part.has_more ? part.last_id : nil
    } while next != nil
    #expect(forward.sorted() == items.map(\.id).sorted())
    var backward = Array(forward.suffix(1))
    while let before = backward.first {
      let part = try page(listing, ("limit", limit), ("before_id", before))
      backward = part.data.map(\.id) + backward
      if !part.has_more { break }
    }
    #expect(backward == forward)
  }

  @Test func theNewestComesFirstAndAnUnknownAgeLast() throws {
    let listing = ModelListing([item("b"), item("old", created: 10), item("a"), item("new", created: 20)])
    let all = try page(listing)
    #expect(all.data.map(\.id) == ["new", "old", "a", "b"])
    #expect(
      all.data[0].created_at == "1970-01-01T00:00:20.000Z"
        && all.data[2].created_at.hasPrefix("1970-01-01T00:00:00"))
    #expect(all.data.allSatisfy { $0.type == "model" && $0.display_name == $0.id })
  }

  @Test func aMarkThatIsNotInTheListIsRefused() {
    #expect(throws: ModelListing.Page.Problem.self) { try page(ModelListing([item("a")]), ("after_id", "b")) }
    #expect(throws: ModelListing.Page.Problem.self) {
      try page(ModelListing([item("a")]), ("before_id", "b"))
    }
    #expect(throws: ModelListing.Page.Problem.self) {
      try ModelListing.Page([("before_id", "a"), ("after_id", "b")])
    }
  }

  @Test func anEmptyListSaysSo() throws {
    let text = try JSONLine.text(ModelListing([]).anthropic(try ModelListing.Page([])))
    #expect(text == #"{"data":[],"first_id":null,"has_more":false,"last_id":null}"#)
    #expect(try JSONLine.text(ModelListing([]).openAI()) == #"{"data":[],"object":"list"}"#)
  }

  @Test(arguments: ["0", "1001", "-1", "many", ""])
  func aLimitThatIsNoneIsRefused(_ limit: String) {
    #expect(throws: ModelListing.Page.Problem.self) { try ModelListing.Page([("limit", limit)]) }
  }

  @Test func openAIsShapeHasWhatItsSDKsNeed() throws {
    let text = try JSONLine.text(ModelListing([item("m", created: 7, at: "groq")]).openAI())
    #expect(
      text == #"{"data":[{"context_length":1000,"created":7,"id":"m","object":"model","owned_by":"groq","#
        + #""providers":["groq"]}],"object":"list"}"#)
  }

  @Test func anIDMayHaveSlashesEscapedOrNot() {
    #expect(ModelPath.id(ofPath: "/v1/models/meta/llama-3") == "meta/llama-3")
    #expect(ModelPath.id(ofPath: "/v1/models/meta%2Fllama-3") == "meta/llama-3")
    #expect(ModelPath.id(ofPath: "/v1/models") == nil)
    #expect(ModelPath.id(ofPath: "/v1/models/") == nil)
    #expect(ModelPath.id(ofPath: "/v1/models/%FF") == nil)
  }
}
