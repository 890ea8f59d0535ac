// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The page's script: asks for the numbers several times a second while the page is seen, and puts them in as
  /// text, never as markup.
  static let js = #"""
    "use strict";
    (() => {
      const period = 600;
      const byId = (id) => document.getElementById(id);
      const { whole, compact, money, tokens, plural } = Holdfast;
      let range = "month";
      let tag = null;
      let timer = null;
      let data = null;

      const setText = (node, text) => {
        if (node.textContent === text) return;
        const was = node.textContent;
        node.textContent = text;
        if (was !== "–" && node.classList.contains("money")) {
          node.classList.remove("flash");
          void node.offsetWidth;
          node.classList.add("flash");
        }
      };

      const drawCards = () => {
        for (const name of ["today", "week", "month"]) {
          const total = data[name].total;
          setText(byId(name + "-cost"), money(total.cost_microusd));
          const all = total.input_tokens + total.cache_read_tokens + total.cache_write_5m_tokens
            + total.cache_write_1h_tokens + total.output_tokens;
          setText(byId(name + "-sub"), plural(total.requests, "request") + " · " + compact.format(all) + " tokens");
        }
      };

      const drawNotice = () => {
        const month = data.month.total;
        const parts = [];
        if (month.unpriced > 0) parts.push(plural(month.unpriced, "request") + " of models without a price");
        if (month.unknown > 0) parts.push(plural(month.unknown, "request") + " whose usage the provider did not tell");
        if (data.spool.refused > 0) parts.push(plural(data.spool.refused, "row") + " refused by the full spool");
        const notice = byId("notice");
        notice.hidden = parts.length === 0;
        setText(notice, "Not in these sums: " + parts.join("; ") + ".");
      };

      const svg = (name, attributes) => {
        const node = document.createElementNS("http://www.w3.org/2000/svg", name);
        for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
        return node;
      };

      const drawChart = () => {
        const chart = byId("chart");
        const days = data.days;
        const top = Math.max(...days.map((day) => day.cost_microusd), 0);
        const width = 900 / days.length;
        const hint = (day) => day.key + " · " + money(day.cost_microusd) + " · " + plural(day.requests, "request");
        const rest = "30 days, UTC · most " + money(top);
        const nodes = [0, 0.5, 1].map((at) =>
          svg("line", { class: "rule", x1: 0, x2: 900, y1: 4 + 212 * (1 - at), y2: 4 + 212 * (1 - at) }));
        days.forEach((day, index) => {
          const height = top > 0 ? Math.max((day.cost_microusd / top) * 212, day.requests > 0 ? 2 : 0) : 0;
          const group = svg("g", { tabindex: "0", "aria-label": hint(day) });
          group.append(
            svg("rect", { class: "hit", x: index * width, y: 0, width, height: 220 }),
            svg("rect", {
              class: day.cost_microusd > 0 ? "bar" : "bar none",
              x: index * width + width * 0.14, y: 216 - height, width: width * 0.72, height, rx: 3,
            }));
          const show = () => setText(byId("day-hint"), hint(day));
          const hide = () => setText(byId("day-hint"), rest);
          group.addEventListener("mouseenter", show);
          group.addEventListener("focus", show);
          group.addEventListener("mouseleave", hide);
          group.addEventListener("blur", hide);
          nodes.push(group);
        });
        if (!chart.matches(":hover") && !chart.contains(document.activeElement)) setText(byId("day-hint"), rest);
        chart.replaceChildren(...nodes);
        const marks = [0, Math.floor(days.length / 3), Math.floor((2 * days.length) / 3), days.length - 1];
        byId("axis").replaceChildren(...marks.map((index) => {
          const mark = document.createElement("span");
          mark.textContent = days[index].key.slice(5);
          return mark;
        }));
      };

      const drawModels = () => {
        const rows = [...data[range].models].sort((a, b) => b.cost_microusd - a.cost_microusd || b.requests - a.requests);
        const cell = (text, name) => {
          const node = document.createElement("td");
          node.textContent = text;
          if (name) node.className = name;
          return node;
        };
        const body = rows.map((row) => {
          const line = document.createElement("tr");
          const cost = cell(row.unpriced === row.requests ? "–" : money(row.cost_microusd), "n");
          if (row.unpriced > 0 || row.unknown > 0) {
            const mark = document.createElement("span");
            mark.className = "mark";
            mark.textContent = " *";
            mark.title = [row.unpriced > 0 ? row.unpriced + " without a price" : "",
              row.unknown > 0 ? row.unknown + " with usage unknown" : ""].filter(Boolean).join(", ");
            cost.append(mark);
          }
          line.append(
            cell(row.key ?? "unknown"), cell(whole.format(row.requests), "n"), cell(tokens(row.input_tokens), "n"),
            cell(tokens(row.cache_read_tokens), "n wide"),
            cell(tokens(row.cache_write_5m_tokens + row.cache_write_1h_tokens), "n wide"),
            cell(tokens(row.output_tokens), "n"), cost);
          return line;
        });
        if (body.length === 0) {
          const line = document.createElement("tr");
          const empty = cell("No requests yet. Point a client at " + location.origin, "empty");
          empty.colSpan = 7;
          line.append(empty);
          body.push(line);
        }
        byId("models").replaceChildren(...body);
      };

      const draw = () => {
        drawCards();
        drawNotice();
        drawChart();
        drawModels();
        const waiting = data.spool.depth > 0 ? plural(data.spool.depth, "row") + " waiting to be written" : "live";
        tell(data.health, data.health === "ok" ? waiting : data.health + " · " + waiting);
      };

      const tell = (state, text) => {
        const live = byId("live");
        live.className = "live " + state;
        setText(live, text);
      };

      const refresh = async () => {
        try {
          const answer = await fetch("/api/dashboard", { headers: tag ? { "If-None-Match": tag } : {}, cache: "no-store" });
          if (answer.status === 200) {
            tag = answer.headers.get("ETag");
            data = await answer.json();
            draw();
          } else if (answer.status !== 304) {
            // The daemon lives; what it cannot read is the database.
            const problem = await answer.json().catch(() => null);
            tag = null;
            tell("degraded", problem?.error?.message ?? "the numbers cannot be read (status " + answer.status + ")");
          }
        } catch (error) {
          tag = null;
          tell("lost", "no answer from the daemon (" + error.message + ")");
        }
        plan();
      };
      const plan = () => {
        clearTimeout(timer);
        if (!document.hidden) timer = setTimeout(refresh, period);
      };

      document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
      for (const button of document.querySelectorAll("[data-range]")) {
        button.addEventListener("click", () => {
          range = button.dataset.range;
          for (const other of document.querySelectorAll("[data-range]")) {
            other.setAttribute("aria-pressed", String(other === button));
          }
          if (data) drawModels();
        });
      }
      refresh();
    })();

    """#
}
