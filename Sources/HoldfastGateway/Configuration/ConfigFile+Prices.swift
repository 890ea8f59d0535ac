// SPDX-License-Identifier: Apache-2.0

import HoldfastUsage
import Yams

extension ConfigFile {
  private static let priceKeys = [
    "input", "output", "cache_read", "cache_write_5m", "cache_write_1h", "web_search", "request", "tiers",
    "long_context",
  ]
  private static let longContextKeys = [
    "above", "input", "output", "cache_read", "cache_write_5m", "cache_write_1h",
  ]

  /// Dollars per million tokens; a rate that is left out costs what input does.
  static func price(_ provider: String, _ model: String, _ node: Node) throws(GatewayError) -> ConfiguredPrice
  {
    let place = "providers.\(provider).prices.\(model)"
    var price = ConfiguredPrice(input: 0, output: 0)
    var given: Set<String> = []
    for (rate, value) in try entries(node, place) {
      given.insert(rate.name)
      switch rate.name {
      case "input": price.input = try dollars(value, rate.name, of: model)
      case "output": price.output = try dollars(value, rate.name, of: model)
      case "cache_read": price.cacheRead = try dollars(value, rate.name, of: model)
      case "cache_write_5m": price.cacheWrite5m = try dollars(value, rate.name, of: model)
      case "cache_write_1h": price.cacheWrite1h = try dollars(value, rate.name, of: model)
      case "web_search": price.webSearch = try dollars(value, rate.name, of: model)
      case "request": price.request = try dollars(value, rate.name, of: model)
      case "tiers":
        var tiers: [String: Double] = [:]
        for (tier, factor) in try entries(value, place + ".tiers") {
          tiers[tier.name] = try dollars(factor, tier.name, of: model)
        }
        price.tiers = tiers
      case "long_context": price.longContext = try longContext(model, value, place + ".long_context")
      default: throw unknown(rate, in: "a price", known: priceKeys)
      }
    }
    guard given.isSuperset(of: ["input", "output"]) else {
      throw problem(node, "the price of \(model) needs its input and its output")
    }
    return price
  }

  private static func longContext(
    _ model: String, _ node: Node, _ place: String
  ) throws(GatewayError) -> ConfiguredPrice.LongContext {
    var long = ConfiguredPrice.LongContext(above: 0, input: 0, output: 0)
    var given: Set<String> = []
    for (rate, value) in try entries(node, place) {
      given.insert(rate.name)
      switch rate.name {
      case "above":
        guard let tokens = value.int, tokens > 0 else {
          throw problem(value, "long_context.above of \(model) is no number of tokens")
        }
        long.above = Int64(tokens)
      case "input": long.input = try dollars(value, "long_context.input", of: model)
      case "output": long.output = try dollars(value, "long_context.output", of: model)
      case "cache_read": long.cacheRead = try dollars(value, "long_context.cache_read", of: model)
      case "cache_write_5m": long.cacheWrite5m = try dollars(value, "long_context.cache_write_5m", of: model)
      case "cache_write_1h": long.cacheWrite1h = try dollars(value, "long_context.cache_write_1h", of: model)
      default: throw unknown(rate, in: "long_context", known: longContextKeys)
      }
    }
    guard given.isSuperset(of: ["above", "input", "output"]) else {
      throw problem(node, "long_context of \(model) needs above, input and output")
    }
    return long
  }

  private static func dollars(_ node: Node, _ rate: String, of model: String) throws(GatewayError) -> Double {
    let number = node.float ?? node.int.map(Double.init)
    guard let number, number.isFinite, number >= 0, number < 1e6 else {
      throw problem(node, "the price \(rate) of \(model) is no amount of dollars per million tokens")
    }
    return number
  }
}
