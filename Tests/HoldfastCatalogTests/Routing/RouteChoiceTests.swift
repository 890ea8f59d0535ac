// SPDX-License-Identifier: Apache-2.0

import HoldfastCatalog
import HoldfastEngine
import HoldfastTestKit
import Testing

private let now = UTCInstant(milliseconds: 1_763_000_000_000)

private func model(
  _ id: String, at provider: String, _ prices: ModelPrices? = nil, context: Int? = nil, aliases: [String] = []
) -> CatalogModel {
  CatalogModel(
    id: id, provider: provider, context: context, prices: prices, aliases: aliases, fetchedAt: now)
}

private func entry(
  _ provider: String, _ models: CatalogModel..., kind: ProviderKind = .openAI, enabled: Bool = true
) -> CatalogSnapshot.Entry {
  CatalogSnapshot.Entry(provider: provider, kind: kind, isEnabled: enabled, models: models, fetchedAt: now)
}

@Suite struct RouteChoiceTests {
  private func names(
    _ choice: RouteChoice, _ model: String = "m", _ api: RouteChoice.API = .chatCompletions,
    pin: String? = nil
  ) -> [String] {
    choice.candidates(for: model, api, pin: pin, at: now).map { "\($0.provider) \($0.reason.rawValue)" }
  }

  @Test func theCheapestComesFirstAndWhatNobodyKnowsThePriceOfLast() {
    let choice = RouteChoice(
      snapshot: CatalogSnapshot([
        entry("a", model("m", at: "a")),
        entry("b", model("m", at: "b", ModelPrices(input: 100, output: 500))),
        entry("c", model("m", at: "c", ModelPrices(input: 200, output: 100))),
        entry("d", model("other", at: "d", ModelPrices(input: 0, output: 0))),
        entry("e", model("m", at: "e", ModelPrices(input: 0, output: 0))),
      ]))
    // 3 × input + output: e 0, c 700, b 800.
    #expect(names(choice) == ["e cheapest", "c next", "b next", "a next"])
  }

  @Test func equalOnesAreOrderedByTheDefaultThenContextThenName() {
    let price = ModelPrices(input: 1, output: 1)
    var choice = RouteChoice(
      snapshot: CatalogSnapshot([
        entry("a", model("m", at: "a", price, context: 1000)),
        entry("b", model("m", at: "b", price, context: 2000)),
        entry("c", model("m", at: "c", price, context: 2000)),
        entry("d", model("m", at: "d", price)),
      ]))
    #expect(names(choice) == ["b cheapest", "c next", "a next", "d next"])
    choice.preferred = "d"
    #expect(names(choice) == ["d cheapest", "b next", "c next", "a next"])
  }

  @Test func whatCoolsDownComesLastAndTheSoonestFreeOfThemFirst() {
    var cooldowns = CooldownMachine()
    for name in ["a", "b"] {
      cooldowns.failure(
        RouteID(provider: name, model: "m"), at: now, retryAfter: .seconds(name == "a" ? 60 : 30))
    }
    var choice = RouteChoice(
      snapshot: CatalogSnapshot([
        entry("a", model("m", at: "a", ModelPrices(input: 1, output: 1))),
        entry("b", model("m", at: "b", ModelPrices(input: 2, output: 2))),
        entry("c", model("m", at: "c", ModelPrices(input: 3, output: 3))),
      ]), cooldowns: cooldowns)
    #expect(names(choice) == ["c cooldown", "b next", "a next"])
    cooldowns.failure(.everything(of: "c"), at: now, retryAfter: .seconds(45))
    choice.cooldowns = cooldowns
    #expect(names(choice) == ["b cooldown", "c next", "a next"], "a request is never refused for it")
    cooldowns.success(RouteID(provider: "a", model: "m"))
    choice.cooldowns = cooldowns
    #expect(names(choice) == ["a cheapest", "b next", "c next"])
  }

  @Test func onlyWhoSpeaksTheClientsAPIIsChosen() {
    let choice = RouteChoice(
      snapshot: CatalogSnapshot([
        entry("a", model("m", at: "a"), kind: .anthropic), entry("b", model("m", at: "b"), kind: .openAI),
        entry("c", model("m", at: "c"), kind: .ollama), entry("d", model("m", at: "d"), kind: .gemini),
      ]), isUsable: { name, api in !(name == "c" && api == .responses) })
    #expect(names(choice, "m", .messages) == ["a only"])
    #expect(names(choice, "m", .chatCompletions) == ["b cheapest", "c next", "d next"])
    #expect(names(choice, "m", .responses) == ["b cheapest", "d next"])
    #expect(names(choice, "nobody's", .messages) == [])
  }

  @Test func whatWasDisabledIsOnlyChosenWhenItIsNamed() {
    let choice = RouteChoice(
      snapshot: CatalogSnapshot([
        entry("a", model("m", at: "a"), enabled: false), entry("b", model("m", at: "b")),
      ]))
    #expect(names(choice) == ["b only"])
    #expect(names(choice, pin: "a") == ["a pin"])
    #expect(names(choice, pin: "c") == [])
  }

  @Test func anAliasIsChosenForAndCoolsDownWithItsModel() {
    var cooldowns = CooldownMachine()
    cooldowns.failure(RouteID(provider: "a", model: "m-2"), at: now, retryAfter: .seconds(9))
    let choice = RouteChoice(
      snapshot: CatalogSnapshot([
        entry("a", model("m-2", at: "a", aliases: ["m"])), entry("b", model("m", at: "b")),
      ]), cooldowns: cooldowns, preferred: "a")
    #expect(names(choice) == ["b cooldown", "a next"])
  }

  @Test func theUsersPricesAreTheOnesThatCount() {
    let choice = RouteChoice(
      snapshot: CatalogSnapshot([
        entry("a", model("m", at: "a", ModelPrices(input: 1, output: 1))),
        entry("b", model("m", at: "b", ModelPrices(input: 9, output: 9))),
      ]), prices: { $0.provider == "b" ? ModelPrices(input: 0, output: 0) : $0.prices })
    #expect(names(choice) == ["b cheapest", "a next"])
  }

  /// Any catalogue: each that may serve is there exactly once, none that may not, and no two stand in an order the
  /// rule forbids, whatever order they were listed in.
  @Test(arguments: 0..<300)
  func theOrderIsTotalAndKeepsTheRule(_ seed: UInt64) {
    var random = SplitMix64(seed: seed)
    var cooldowns = CooldownMachine()
    var entries: [CatalogSnapshot.Entry] = []
    for index in 0..<Int.random(in: 1...12, using: &random) {
      let name = "p\(index)"
      let prices =
        Bool.random(using: &random)
        ? ModelPrices(input: .random(in: 0...2, using: &random), output: .random(in: 0...2, using: &random))
        : nil
      let kind = ProviderKind.allCases.randomElement(using: &random) ?? .openAI
      entries.append(
        entry(
          name, model("m", at: name, prices, context: [nil, 1, 2].randomElement(using: &random) ?? nil),
          kind: kind, enabled: Int.random(in: 0..<5, using: &random) > 0))
      if Int.random(in: 0..<3, using: &random) == 0 {
        cooldowns.failure(
          RouteID(provider: name, model: "m"), at: now,
          retryAfter: .seconds(Int.random(in: 1...3, using: &random)))
      }
    }
    let choice = RouteChoice(snapshot: CatalogSnapshot(entries), cooldowns: cooldowns, preferred: "p0")
    let found = choice.candidates(for: "m", .chatCompletions, at: now)
    let may = entries.filter { $0.isEnabled && $0.kind.speaksOpenAI }.map(\.provider)
    #expect(found.map(\.provider).sorted() == may.sorted())
    /// What the rule compares, smaller first; names are made so that they sort as numbers up to p9.
    func rank(_ candidate: RouteChoice.Candidate) -> [Double] {
      let price = candidate.prices.map { Double($0.input * 3 + $0.output) } ?? .infinity
      return [
        Double(candidate.coolsUntil?.milliseconds ?? 0), price, candidate.provider == "p0" ? 0 : 1,
        -Double(candidate.model.context ?? 0),
      ]
    }
    for (left, right) in zip(found, found.dropFirst()) {
      let (first, second) = (rank(left), rank(right))
      #expect(
        first.lexicographicallyPrecedes(second) || (first == second && left.provider < right.provider),
        "seed \(seed): \(left.provider) before \(right.provider)")
    }
    #expect(found.dropFirst().allSatisfy { $0.reason == .next })
    let again = RouteChoice(
      snapshot: CatalogSnapshot(entries.shuffled(using: &random)), cooldowns: cooldowns, preferred: "p0")
    #expect(again.candidates(for: "m", .chatCompletions, at: now) == found)
  }
}
