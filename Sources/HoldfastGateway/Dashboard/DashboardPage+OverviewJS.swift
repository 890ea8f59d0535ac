// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The overview: asks for the numbers when the daemon says that rows have landed, and puts them in as text, never as
  /// markup.
  static let overviewJS =
    overviewChoicesJS + overviewNumbersJS + overviewPartsJS + overviewSideJS + overviewAskJS

  /// What is chosen, and the stretches of time it stands for, in the time zone of who looks.
  private static let overviewChoicesJS = #"""
    "use strict";
    (() => {
      const { whole, compact, money, tokens, plural, percent, duration, ago, byId, make, setText, ask } = Holdfast;
      const zone = Intl.DateTimeFormat().resolvedOptions().timeZone ?? "UTC";
      const drawTrend = Holdfast.chart.stacked(byId("trend"));
      const drawErrors = Holdfast.chart.stacked(byId("errors"));
      const shownParts = 7;

      const chosen = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
      const keep = () => {
        const all = Object.fromEntries(["range", "measure", "split", "step", "part"].map((name) => [name, chosen(name)]));
        try { localStorage.setItem("holdfast-overview", JSON.stringify(all)); } catch { /* It lasts as long as the page. */ }
      };
      try {
        for (const [name, value] of Object.entries(JSON.parse(localStorage.getItem("holdfast-overview") ?? "{}"))) {
          const input = [...document.querySelectorAll(`input[name="${name}"]`)].find((one) => one.value === value);
          if (input) input.checked = true;
        }
      } catch { /* As if nothing had been chosen. */ }

      // Today in hours always, long periods in days.
      const stepOf = () => {
        const days = Number(chosen("range"));
        return days === 1 ? "hour" : days > 7 ? "day" : chosen("step");
      };
      const showStep = () => {
        const step = stepOf();
        for (const input of document.querySelectorAll('input[name="step"]')) {
          input.disabled = chosen("range") !== "7" && input.value !== step;
          if (chosen("range") !== "7") input.checked = input.value === step;
        }
      };

      const start = () => {
        const day = new Date();
        day.setHours(0, 0, 0, 0);
        day.setDate(day.getDate() - Number(chosen("range")) + 1);
        return day;
      };
      const stamp = (date) => date.toISOString().replace(".000Z", "Z");

      const dayShort = new Intl.DateTimeFormat("en-US", { month: "short", day: "numeric" });
      const dayLong = new Intl.DateTimeFormat("en-US", { weekday: "long", month: "long", day: "numeric" });
      const hourShort = new Intl.DateTimeFormat("en-US", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
      const moment = new Intl.DateTimeFormat("en-US", { weekday: "short", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

      // The beginnings of all hours or days of the period, also across a change of the clocks.
      const buckets = (step) => {
        const times = [];
        const end = new Date();
        const at = start();
        while (at <= end) {
          times.push(new Date(at));
          if (step === "hour") at.setTime(at.getTime() + 3600000);
          else at.setDate(at.getDate() + 1);
        }
        return times;
      };
      const bucketOf = (times, time) => {
        // A day without a time is that day here.
        const value = /^\d{4}-\d{2}-\d{2}$/.test(time) ? new Date(time + "T00:00:00").getTime() : Date.parse(time);
        let low = 0;
        let high = times.length - 1;
        while (low < high) {
          const middle = Math.ceil((low + high) / 2);
          if (times[middle].getTime() <= value) low = middle;
          else high = middle - 1;
        }
        return times.length > 0 && times[0].getTime() <= value ? low : -1;
      };
      const label = (time, step) => {
        if (step === "day") return dayShort.format(time);
        return chosen("range") === "1" || time.getHours() !== 0 ? hourShort.format(time) : dayShort.format(time);
      };
      const longLabel = (time, step) => (step === "day" ? dayLong.format(time) : moment.format(time));


    """#

  /// The figures at the top, each beside the period before.
  private static let overviewNumbersJS = #"""
      const prompt = (line) => line.input_tokens + line.cache_read_tokens + line.cache_write_5m_tokens + line.cache_write_1h_tokens;
      const all = (line) => prompt(line) + line.output_tokens;
      const fill = (id, text) => {
        const node = byId(id);
        const was = node.textContent;
        if (was === text) return;
        node.textContent = text;
        if (!was.trim() || !node.classList.contains("figure")) return;
        node.classList.remove("flash");
        void node.offsetWidth;
        node.classList.add("flash");
      };

      // More is neither good nor bad, but for errors and waiting.
      const delta = (now, before, isCost) => {
        if (before === null || before === undefined || before === 0 || now === null || now === undefined) return null;
        const change = (now - before) / before;
        if (Math.abs(change) < 0.005) return make("span", { class: "delta", text: "as before" });
        const text = (change > 0 ? "▲ " : "▼ ") + (Math.abs(change) >= 10 ? "×" + Math.round(now / before) : percent(Math.abs(change)));
        const kind = isCost ? (change > 0 ? " worse" : " better") : "";
        const spoken = percent(Math.abs(change)) + (change > 0 ? " more" : " less") + " than the period before";
        return make("span", { class: "delta" + kind, title: spoken }, make("span", { "aria-hidden": "true", text }), make("span", { class: "out", text: spoken }));
      };
      const sub = (id, change, text) => {
        const parts = change ? [change, text ? " · " + text : ""] : [text || "\u00a0"];
        byId(id).replaceChildren(...parts);
      };

      const drawNumbers = (overview) => {
        const now = overview.current;
        const before = overview.previous ?? null;
        byId("cards").classList.remove("waiting");
        fill("k-cost", money(now.cost_microusd));
        sub("k-cost-sub", delta(now.cost_microusd, before?.cost_microusd), before ? "before " + money(before.cost_microusd) : "");
        fill("k-requests", whole.format(now.requests));
        const rate = now.requests > 0 ? now.errors / now.requests : 0;
        sub("k-requests-sub", delta(now.requests, before?.requests), now.errors > 0 ? percent(rate) + " failed" : now.requests > 0 ? "none failed" : "");
        fill("k-tokens", compact.format(all(now)));
        sub("k-tokens-sub", delta(all(now), before ? all(before) : null), compact.format(prompt(now)) + " in, " + compact.format(now.output_tokens) + " out");
        fill("k-saved", money(now.saved_microusd ?? 0));
        sub("k-saved-sub", delta(now.saved_microusd, before?.saved_microusd),
          now.cache_hit_ratio === null || now.cache_hit_ratio === undefined ? "no prompts yet" : percent(now.cache_hit_ratio) + " of prompts from cache");
        const first = now.first_token_ms?.p50;
        fill("k-latency", first === undefined || first === null ? "–" : duration(first));
        sub("k-latency-sub", delta(first, before?.first_token_ms?.p50, true), now.latency_ms ? "whole answer " + duration(now.latency_ms.p50) : "");

        const parts = [];
        if (now.unpriced > 0) parts.push(plural(now.unpriced, "request") + " of models without a price");
        if (now.unknown > 0) parts.push(plural(now.unknown, "request") + " whose usage the provider did not tell");
        byId("notice").hidden = parts.length === 0;
        setText(byId("notice"), "Not in these sums: " + parts.join("; ") + ".");
        drawLatencies(now);
        drawCache(now);
      };

      const drawLatencies = (now) => {
        const rows = [["First token", now.first_token_ms], ["Whole answer", now.latency_ms]];
        byId("latencies").replaceChildren(...rows.map(([name, line]) => make("tr", {}, make("th", { scope: "row", text: name }),
          ...["p50", "p95", "p99"].map((key) => make("td", { class: "n", text: line?.[key] === undefined || line?.[key] === null ? "–" : duration(line[key]) })))));
        setText(byId("errors-hint"), now.requests === 0 ? "no requests"
          : plural(now.errors, "error") + " in " + plural(now.requests, "request"));
      };

      const drawCache = (now) => {
        const written = now.cache_write_5m_tokens + now.cache_write_1h_tokens;
        const whole = prompt(now);
        setText(byId("cache-hint"), whole === 0 ? "no prompts yet" : compact.format(whole) + " prompt tokens");
        if (whole === 0) return byId("cache").replaceChildren();
        const pieces = [["read", now.cache_read_tokens, "0"], ["written", written, "1"], ["not cached", now.input_tokens, "-rest"]];
        byId("cache").replaceChildren(
          make("div", { class: "track", "aria-hidden": "true" }, ...pieces.map(([, value, color]) => make("i", { class: "b" + color, width: (100 * value) / whole + "%" }))),
          make("ul", { class: "legend" }, ...pieces.map(([name, value, color]) => make("li", {},
            make("span", { class: "swatch b" + color }), make("span", { text: name }), make("strong", { text: compact.format(value) + " · " + percent(value / whole) })))));
      };


    """#

  /// The trend and the table of where it went.
  private static let overviewPartsJS = #"""
      const measures = {
        cost: { title: "Spend", of: (line) => line.cost_microusd, format: money, axis: (value) => money(value).replace(/\.00$/, "") },
        tokens: { title: "Tokens", of: all, format: (value) => compact.format(value) },
        requests: { title: "Requests", of: (line) => line.requests, format: (value) => compact.format(value) },
      };
      const names = { model: "Model", source: "Program", project: "Project", provider: "Provider", session: "Session", tool: "Tool" };

      const drawSeries = (series) => {
        const step = stepOf();
        const times = buckets(step);
        const measure = measures[chosen("measure")];
        const sums = new Map();
        for (const line of series) sums.set(line.key ?? null, (sums.get(line.key ?? null) ?? 0) + measure.of(line));
        const ranked = [...sums.entries()].filter(([, value]) => value > 0).sort((a, b) => b[1] - a[1]);
        const keys = ranked.slice(0, shownParts).map(([key]) => key);
        const hasRest = ranked.length > keys.length;
        const columns = times.map((time) => ({
          label: label(time, step), long: longLabel(time, step), values: Array(keys.length + (hasRest ? 1 : 0)).fill(0),
        }));
        const asked = times.map(() => [0, 0]);
        for (const line of series) {
          const index = bucketOf(times, line.time);
          if (index < 0) continue;
          asked[index][0] += line.requests - line.errors;
          asked[index][1] += line.errors;
          const part = keys.indexOf(line.key ?? null);
          if (part >= 0) columns[index].values[part] += measure.of(line);
          else if (hasRest) columns[index].values[keys.length] += measure.of(line);
        }
        const called = keys.map((key) => key ?? "not told").concat(hasRest ? ["all others"] : []);
        const colors = keys.map((_, index) => String(index)).concat(hasRest ? ["-rest"] : []);
        const title = measure.title + " over time";
        setText(byId("trend-title"), title);
        byId("trend").setAttribute("aria-label", title + "; the arrow keys read it");
        drawTrend({ columns, names: called, colors, format: measure.format, axis: measure.axis });
        const rest = ranked.slice(keys.length).reduce((sum, [, value]) => sum + value, 0);
        byId("legend").replaceChildren(...called.map((name, index) => make("li", {}, make("span", { class: "swatch b" + colors[index] }),
          make("span", { text: name }), make("strong", { text: measure.format(index < keys.length ? ranked[index][1] : rest) }))));
        drawErrors({
          columns: times.map((time, index) => ({ label: columns[index].label, long: columns[index].long, values: asked[index] })),
          names: ["answered", "failed"], colors: ["0", "-bad"], format: (value) => compact.format(value),
        });
        drawTrendTable(columns, called, measure);
      };

      const drawTrendTable = (columns, called, measure) => {
        // Filled when it is opened.
        if (!byId("trend-table").open) return;
        byId("trend-rows").replaceChildren(
          make("thead", {}, make("tr", {}, make("th", { scope: "col", text: "When" }), ...called.map((name) => make("th", { scope: "col", class: "n", text: name })))),
          make("tbody", {}, ...columns.map((column) => make("tr", {}, make("th", { scope: "row", text: column.long }),
            ...column.values.map((value) => make("td", { class: "n", text: measure.format(value) }))))));
      };

      const drawParts = (lines) => {
        const by = chosen("part");
        setText(byId("part-name"), names[by]);
        const rows = [...lines].sort((a, b) => b.cost_microusd - a.cost_microusd || b.requests - a.requests);
        const most = Math.max(...rows.map((row) => row.cost_microusd), 1);
        const shown = rows.slice(0, 12);
        const body = shown.map((row) => {
          const cost = make("td", { class: "n", text: row.unpriced > 0 && row.unpriced === row.requests ? "–" : money(row.cost_microusd) });
          const missing = [row.unpriced > 0 ? row.unpriced + " without a price" : "", row.unknown > 0 ? row.unknown + " with usage unknown" : ""].filter(Boolean).join(", ");
          if (missing) cost.append(make("span", { class: "mark", title: missing }, make("span", { "aria-hidden": "true", text: " *" }), make("span", { class: "out", text: " " + missing })));
          const name = row.key ?? "not told";
          const input = prompt(row);
          return make("tr", {},
            make("th", { scope: "row" },
              by === "session" && row.key ? make("a", { href: "#sessions/" + encodeURIComponent(row.key), text: name }) : name,
              make("span", { class: "share", "aria-hidden": "true" }, make("i", { width: (100 * row.cost_microusd) / most + "%" }))),
            make("td", { class: "n", text: whole.format(row.requests) }),
            make("td", { class: "n wide", text: row.errors === undefined ? "–" : whole.format(row.errors) }),
            make("td", { class: "n", text: compact.format(all(row)) }),
            make("td", { class: "n wide", text: input > 0 ? percent(row.cache_read_tokens / input) : "–" }), cost);
        });
        if (rows.length > shown.length) {
          const cost = rows.slice(shown.length).reduce((sum, row) => sum + row.cost_microusd, 0);
          body.push(make("tr", {}, make("td", { class: "hint", colspan: "6", text: "and " + whole.format(rows.length - shown.length) + " more, " + money(cost) + " together" })));
        }
        if (rows.length === 0) body.push(make("tr", {}, make("td", { class: "empty start", colspan: "6" }, "No requests in this time. Point a client here:",
          make("code", { text: "ANTHROPIC_BASE_URL=" + location.origin + " claude" }), make("code", { text: "OPENAI_BASE_URL=" + location.origin + "/v1 python app.py" }))));
        byId("parts").replaceChildren(...body);
      };


    """#
}
