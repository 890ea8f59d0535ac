// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// Light or dark, before anything is painted; what the button chose is kept by the browser.
  static let themeJS = #"""
    "use strict";
    const Theme = (() => {
      const root = document.documentElement;
      const dark = window.matchMedia("(prefers-color-scheme: dark)");
      const kept = () => { try { return localStorage.getItem("holdfast-theme"); } catch { return null; } };
      const show = (theme) => {
        if (theme === "light" || theme === "dark") root.dataset.theme = theme;
        else delete root.dataset.theme;
      };
      show(kept());
      const isDark = () => (root.dataset.theme ? root.dataset.theme === "dark" : dark.matches);
      // Back to what the system has, once that is what was chosen.
      const toggle = () => {
        const next = isDark() ? "light" : "dark";
        const asSystem = (next === "dark") === dark.matches;
        show(asSystem ? null : next);
        try {
          if (asSystem) localStorage.removeItem("holdfast-theme");
          else localStorage.setItem("holdfast-theme", next);
        } catch { /* It lasts as long as the page. */ }
      };
      return { isDark, toggle, onChange: (work) => dark.addEventListener("change", work) };
    })();

    """#
}
