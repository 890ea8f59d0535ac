// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// How numbers are written, on every view.
  static let formatJS = #"""
    "use strict";
    const Holdfast = (() => {
      const whole = new Intl.NumberFormat("en-US");
      const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
      const money = (micros) => {
        const dollars = micros / 1e6;
        const digits = dollars === 0 || dollars >= 1 ? 2 : dollars >= 0.01 ? 3 : 6;
        return "$" + dollars.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: digits });
      };
      const tokens = (count) => (count < 100000 ? whole.format(count) : compact.format(count));
      const plural = (count, word) => whole.format(count) + " " + word + (count === 1 ? "" : "s");
      return { whole, compact, money, tokens, plural };
    })();

    """#
}
