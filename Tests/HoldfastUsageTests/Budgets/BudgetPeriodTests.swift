// SPDX-License-Identifier: Apache-2.0

import HoldfastEngine
import HoldfastUsage
import Testing

@Suite("Budgets: periods")
struct BudgetPeriodTests {
  private func time(_ text: String) throws -> UTCInstant { try #require(UTCInstant(text)) }

  private func zone(_ name: String) throws -> CivilZone { try #require(CivilZone(name)) }

  @Test(
    "the period a moment is in",
    arguments: [
      ("hour", "UTC", "2026-11-22T05:59:59.999Z", "2026-11-22T05:00:00Z", "2026-11-22T06:00:00Z"),
      ("hour", "Asia/Kolkata", "2026-11-22T05:10:00Z", "2026-11-22T05:00:00Z", "2026-11-22T06:00:00Z"),
      ("5h", "UTC", "1970-01-01T04:59:59Z", "1970-01-01T00:00:00Z", "1970-01-01T05:00:00Z"),
      ("5h", "Europe/Berlin", "1970-01-02T01:00:00Z", "1970-01-02T01:00:00Z", "1970-01-02T06:00:00Z"),
      ("day", "UTC", "2026-11-22T00:00:00Z", "2026-11-22T00:00:00Z", "2026-11-23T00:00:00Z"),
      ("day", "Asia/Kolkata", "2026-11-22T18:29:59Z", "2026-11-21T18:30:00Z", "2026-11-22T18:30:00Z"),
      ("day", "Asia/Kathmandu", "2026-11-22T18:15:00Z", "2026-11-22T18:15:00Z", "2026-11-23T18:15:00Z"),
      ("day", "America/New_York", "2026-11-22T04:59:59Z", "2026-11-21T05:00:00Z", "2026-11-22T05:00:00Z"),
      // Clocks forward: 23 hours. Back: 25.
      ("day", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
      ("day", "Europe/Berlin", "2026-10-25T12:00:00Z", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
      ("day", "America/New_York", "2026-11-01T20:00:00Z", "2026-11-01T04:00:00Z", "2026-11-02T05:00:00Z"),
      // Midnight itself was put over: that day began at one.
      ("day", "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"),
      // Samoa had no 30 December 2011.
      ("day", "Pacific/Apia", "2011-12-30T12:00:00Z", "2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z"),
      ("week", "UTC", "2026-11-22T23:59:59Z", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z"),
      ("week", "UTC", "2026-11-23T00:00:00Z", "2026-11-23T00:00:00Z", "2026-11-30T00:00:00Z"),
      ("week", "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"),
      ("week", "UTC", "1970-01-05T00:00:00Z", "1970-01-05T00:00:00Z", "1970-01-12T00:00:00Z"),
      ("month", "UTC", "2026-01-31T23:59:59.999Z", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z"),
      ("month", "UTC", "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
      ("month", "UTC", "2026-12-31T12:00:00Z", "2026-12-01T00:00:00Z", "2027-01-01T00:00:00Z"),
      ("month", "Europe/Berlin", "2026-10-31T23:30:00Z", "2026-10-31T23:00:00Z", "2026-11-30T23:00:00Z"),
      ("month", "Pacific/Auckland", "2026-04-15T00:00:00Z", "2026-03-31T11:00:00Z", "2026-04-30T12:00:00Z"),
    ])
  func spans(_ period: String, _ name: String, _ moment: String, _ start: String, _ end: String) throws {
    let found = try #require(BudgetPeriod(rawValue: period)).span(
      containing: try time(moment), in: try zone(name))
    #expect(found == (try time(start)..<(try time(end))), "\(found)")
  }

  @Test(
    "every moment is in exactly one period, and the next begins where one ends",
    arguments: [
      "UTC", "Europe/Berlin", "America/New_York", "America/Havana", "America/Asuncion", "Asia/Beirut",
      "Australia/Lord_Howe", "Pacific/Apia", "Asia/Kathmandu", "Africa/Casablanca",
    ])
  func periodsTile(_ name: String) throws {
    let zone = try zone(name)
    for period in BudgetPeriod.allCases {
      // Two years in steps that are no divisor of anything.
      var moment = try time("2010-12-30T22:59:59.999Z")
      let end = try time("2012-12-31T23:00:00Z")
      while moment < end {
        let span = period.span(containing: moment, in: zone)
        #expect(span.contains(moment))
        let last = UTCInstant(milliseconds: span.upperBound.milliseconds - 1)
        #expect(period.span(containing: last, in: zone) == span)
        #expect(period.span(containing: span.lowerBound, in: zone) == span)
        #expect(period.span(containing: span.upperBound, in: zone).lowerBound == span.upperBound)
        moment = moment.advanced(by: .seconds(61_441 * (period == .hour || period == .fiveHours ? 31 : 1)))
      }
    }
  }

  @Test("a scope's name is whole, or the beginning of names; a model's is found with a date, too")
  func scopes() {
    #expect(Budget.Scope.all.covers(nil))
    #expect(Budget.Scope.source("claude-code").covers("claude-code"))
    #expect(!Budget.Scope.source("claude-code").covers("claude-code-2"))
    #expect(!Budget.Scope.source("claude-code").covers(nil))
    #expect(Budget.Scope.project("client-*").covers("client-a"))
    #expect(!Budget.Scope.project("client-*").covers("clients"))
    #expect(Budget.Scope.model("claude-opus-4-8").covers("claude-opus-4-8-20260512"))
    #expect(Budget.Scope.model("gpt-*").covers("gpt-5"))
    #expect(!Budget.Scope.model("claude-opus-4-8").covers("claude-opus-4"))
    #expect(!Budget.Scope.provider("a").covers("a-20260512"))
    #expect(!Budget.Scope.model("*x").covers("x"))
  }
}
