// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The page's colours, by day and by night: as the system has it, unless the page's own button says otherwise.
  ///
  /// Text has a contrast of at least 4.5 to what is behind it, and what is drawn at least 3 (WCAG 2.2, 1.4.3, 1.4.11).
  static let themeCSS = #"""
    :root {
      color-scheme: light;
      --ground: #f3f6f6; --panel: #ffffff; --raised: #ffffff; --ink: #13211f; --soft: #566664; --line: #dde6e4;
      --accent: #0a756b; --accent-soft: #cdeae6; --on-accent: #ffffff; --bad: #b03a28; --bad-soft: #fbe3df;
      --warn: #855c00; --warn-soft: #fbeecb; --good: #1c7440;
      --c0: #0b8a7e; --c1: #4263c7; --c2: #c2620a; --c3: #9543a8; --c4: #b23a55; --c5: #5c7a12; --c6: #2185a8; --c7: #7a6a58;
      --rest: #8a9a97; --track: #e6eeec;
      --shadow: 0 1px 2px rgb(10 30 28 / 5%), 0 10px 30px -18px rgb(10 30 28 / 28%);
    }
    \#(darkCSS(":root[data-theme=\"dark\"]"))
    @media (prefers-color-scheme: dark) {
    \#(darkCSS(":root:not([data-theme=\"light\"])"))
    }

    """#

  private static func darkCSS(_ selector: String) -> String {
    #"""
    \#(selector) {
      color-scheme: dark;
      --ground: #0c1211; --panel: #141c1b; --raised: #1b2625; --ink: #e4eeec; --soft: #9aaba8; --line: #253230;
      --accent: #43cbbb; --accent-soft: #17433e; --on-accent: #06201d; --bad: #ff9482; --bad-soft: #44201a;
      --warn: #e9c069; --warn-soft: #3c2f10; --good: #6fd694;
      --c0: #35bfae; --c1: #7d9bf5; --c2: #f09a4c; --c3: #cf8be0; --c4: #f0849a; --c5: #a9c84f; --c6: #5bbbe0; --c7: #b9a68f;
      --rest: #74847f; --track: #22302e;
      --shadow: none;
    }
    """#
  }
}
