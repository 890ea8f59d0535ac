// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// How numbers and times are written, and nodes made, on every view.
  static let formatJS = #"""
    "use strict";
    const Holdfast = (() => {
      const whole = new Intl.NumberFormat("en-US");
      const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
      const money = (micros) => {
        const dollars = Math.abs(micros) / 1e6;
        const digits = dollars === 0 || dollars >= 1 ? 2 : dollars >= 0.01 ? 3 : 6;
        const text = dollars.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: digits });
        return (micros < 0 ? "−$" : "$") + text;
      };
      const tokens = (count) => (count < 100000 ? whole.format(count) : compact.format(count));
      const plural = (count, word) => whole.format(count) + " " + word + (count === 1 ? "" : "s");
      const percent = (ratio) => {
        const value = ratio * 100;
        return (value > 0 && value < 10 ? value.toFixed(1) : String(Math.round(value))) + "%";
      };
      const duration = (ms) => {
        if (ms < 1000) return Math.round(ms) + " ms";
        if (ms < 10000) return (ms / 1000).toFixed(1) + " s";
        const seconds = Math.round(ms / 1000);
        if (seconds < 120) return seconds + " s";
        const minutes = Math.floor(seconds / 60);
        if (minutes < 60) return minutes + " min " + (seconds % 60) + " s";
        return Math.floor(minutes / 60) + " h " + (minutes % 60) + " min";
      };
      const ages = [[31536000, "y"], [2592000, "mo"], [86400, "d"], [3600, "h"], [60, "min"]];
      const ago = (time) => {
        const seconds = (Date.now() - new Date(time).getTime()) / 1000;
        for (const [span, name] of ages) if (seconds >= span) return Math.floor(seconds / span) + "\u00a0" + name + "\u00a0ago";
        return "now";
      };
      const byId = (id) => document.getElementById(id);

      // Text is put in as text, never as markup.
      const make = (name, attributes, ...children) => {
        const node = document.createElement(name);
        for (const [key, value] of Object.entries(attributes ?? {})) {
          if (value === undefined || value === null || value === false) continue;
          if (key === "text") node.textContent = value;
          else if (key === "onclick") node.addEventListener("click", value);
          else if (key === "width") node.style.width = value;
          else node.setAttribute(key, value === true ? "" : value);
        }
        node.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
        return node;
      };
      const setText = (node, text) => { if (node.textContent !== text) node.textContent = text; };

      // null for what this daemon does not have.
      const ask = async (path, parameters, signal) => {
        const query = new URLSearchParams(parameters ?? {}).toString();
        const answer = await fetch(path + (query ? "?" + query : ""), { cache: "no-store", signal });
        const body = await answer.json().catch(() => null);
        if (answer.status === 404) return null;
        if (!answer.ok) throw new Error(body?.error?.message ?? "status " + answer.status);
        return body;
      };
      return { whole, compact, money, tokens, plural, percent, duration, ago, byId, make, setText, ask };
    })();

    """#
}
