// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine
import Testing

@Suite struct CatalogSnapshotTests {
  private static func model(_ id: String, _ provider: String, aliases: [String] = []) -> CatalogModel {
    CatalogModel(
      id: id, provider: provider, aliases: aliases, fetchedAt: UTCInstant(milliseconds: 1_700_000_000_000))
  }

  private static let snapshot = CatalogSnapshot([
    .init(
      provider: "zeta", kind: .openAI,
      models: [model("small-2", "zeta", aliases: ["small", "small"]), model("large", "zeta")]),
    .init(
      provider: "alpha", kind: .openAI,
      models: [model("small-1", "alpha", aliases: ["small"]), model("small", "alpha"), model("dup", "alpha")]),
    .init(provider: "off", kind: .anthropic, isEnabled: false, models: [model("small", "off")]),
    .init(provider: "never", kind: .ollama),
  ])

  private func found(_ name: String, includingDisabled: Bool = false) -> [String] {
    Self.snapshot.lookup(name, includingDisabled: includingDisabled).map { "\($0.provider)/\($0.id)" }
  }

  @Test func aNameFindsOneModelAProviderByItsIdBeforeAnAlias() {
    #expect(found("small") == ["alpha/small", "zeta/small-2"])
    #expect(found("small-1") == ["alpha/small-1"])
    #expect(found("nothing").isEmpty)
  }

  @Test func disabledProvidersAreLeftOutUnlessAskedFor() {
    #expect(found("small", includingDisabled: true) == ["alpha/small", "off/small", "zeta/small-2"])
  }

  @Test func entriesAreInTheOrderOfTheirNames() {
    #expect(Self.snapshot.entries.map(\.provider) == ["alpha", "never", "off", "zeta"])
    #expect(Self.snapshot["never"]?.models.isEmpty == true)
    #expect(Self.snapshot["unheard"] == nil)
    #expect(!Self.snapshot.isEmpty)
    #expect(CatalogSnapshot.empty.isEmpty)
  }
}
