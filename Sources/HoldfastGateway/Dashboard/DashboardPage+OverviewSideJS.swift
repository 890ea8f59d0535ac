// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// Blocks, budgets and the last sessions.
  static let overviewSideJS = #"""
      const tokensOf = (line) => (line.tokens ?? all(line));

      const drawBlocks = (blocks) => {
        const panel = byId("block-panel");
        const rows = [...blocks].sort((a, b) => Date.parse(b.start) - Date.parse(a.start));
        panel.hidden = rows.length === 0;
        if (rows.length === 0) return;
        const active = rows.find((block) => block.active);
        const nodes = [];
        if (active) {
          const span = Date.parse(active.end) - Date.parse(active.start);
          const gone = Math.max(0, Math.min(1, (Date.now() - Date.parse(active.start)) / span));
          setText(byId("block-hint"), hourShort.format(new Date(active.start)) + " to " + hourShort.format(new Date(active.end)));
          nodes.push(
            make("p", { class: "figure" }, money(active.cost_microusd), make("small", { text: " " + compact.format(tokensOf(active)) + " tokens" })),
            make("div", { class: "track", "aria-hidden": "true" }, make("i", { width: gone * 100 + "%" })),
            make("p", { class: "sub", text: duration(Math.max(0, Date.parse(active.end) - Date.now())) + " left, " + plural(active.requests, "request") }));
          const pairs = [];
          if (active.burn) {
            pairs.push(["Burn rate", money(active.burn.cost_microusd_per_hour) + " / h"], ["Tokens a minute", compact.format(active.burn.tokens_per_minute)]);
          }
          if (active.projection) {
            const cost = active.projection.cost_microusd;
            pairs.push(["At its end", (cost === null || cost === undefined ? "–" : money(cost)) + " · " + compact.format(active.projection.tokens)]);
          }
          if (pairs.length > 0) nodes.push(make("dl", { class: "pairs" }, ...pairs.map(([name, value]) => make("div", {}, make("dt", { text: name }), make("dd", { text: value })))));
        } else {
          setText(byId("block-hint"), "none is running");
        }
        const past = rows.filter((block) => !block.active).slice(0, 4);
        if (past.length > 0) {
          const most = Math.max(...past.map((block) => block.cost_microusd), 1);
          nodes.push(make("ul", { class: "list" }, ...past.map((block) => make("li", {},
            make("div", { class: "row" }, make("span", { text: moment.format(new Date(block.start)) }), make("strong", { text: money(block.cost_microusd) })),
            make("span", { class: "share", "aria-hidden": "true" }, make("i", { width: (100 * block.cost_microusd) / most + "%" }))))));
        }
        byId("block").replaceChildren(...nodes);
      };

      const states = { ok: "within", warned: "warned", over: "over" };
      const periods = { hour: "an hour", "5h": "five hours", day: "a day", week: "a week", month: "a month" };
      const scopes = { source: "program", model: "model", project: "project", provider: "provider" };
      const drawBudgets = (budgets) => {
        byId("budget-panel").hidden = budgets.length === 0;
        byId("budgets").replaceChildren(...budgets.map((budget) => {
          const ratio = budget.limit_microusd > 0 ? budget.spent_microusd / budget.limit_microusd : 1;
          const kind = budget.state === "over" ? "bad" : budget.state === "warned" ? "warn" : null;
          const facts = [
            budget.scope && budget.scope !== "all" ? (scopes[budget.scope] ?? budget.scope) + " " + (budget.key ?? "") : "everything",
            periods[budget.period] ?? "",
            budget.action === "refuse" ? "refuses beyond it" : "",
            budget.end ? "until " + moment.format(new Date(budget.end)) : ""];
          return make("li", { "data-budget": budget.name },
            make("div", { class: "row" }, make("strong", { text: budget.name }),
              make("span", { class: "tag " + budget.state, text: (states[budget.state] ?? budget.state) + " · " + percent(ratio) })),
            make("div", { class: "track", "aria-hidden": "true" }, make("i", { class: kind, width: Math.min(100, ratio * 100) + "%" })),
            make("div", { class: "row" }, make("span", { text: money(budget.spent_microusd) + " of " + money(budget.limit_microusd) }),
              make("span", { class: "sub", text: facts.filter(Boolean).join(" · ") })));
        }));
      };

      const drawRecent = (sessions) => {
        byId("recent-panel").hidden = sessions.length === 0;
        byId("recent").replaceChildren(...sessions.map((session) => make("li", {},
          make("div", { class: "row" },
            make("a", { href: "#sessions/" + encodeURIComponent(session.id), dir: "auto", text: session.title ?? session.id }),
            make("strong", { text: session.cost_microusd > 0 ? money(session.cost_microusd) : "" })),
          make("span", { class: "sub", text: [session.source, session.model, plural(session.messages, "message"), ago(session.last_active)].filter(Boolean).join(" · ") }))));
      };


    """#

  /// When what is asked for; the end.
  static let overviewAskJS = #"""
      // --- asking ---

      const least = 700;
      let asking = null;
      let again = false;
      let lastAsked = -Infinity;
      let timer = null;
      let series = null;

      const spanText = (overview) => {
        const from = start();
        const days = Number(chosen("range"));
        const text = days === 1 ? "since midnight" : "since " + dayShort.format(from);
        return text + ", " + zone.replaceAll("_", " ") + (overview?.previous ? ", beside the " + (days === 1 ? "same time yesterday" : days + " days before") : "");
      };

      const look = async () => {
        const mine = new AbortController();
        asking?.abort();
        asking = mine;
        lastAsked = performance.now();
        const since = stamp(start());
        const at = { since, zone };
        const problems = [];
        const one = async (path, parameters, work) => {
          try {
            const body = await ask(path, parameters, mine.signal);
            if (mine.signal.aborted) return;
            work(body);
          } catch (error) {
            if (error.name !== "AbortError") problems.push(error.message);
          }
        };
        await Promise.all([
          one("/api/usage/overview", at, (body) => {
            if (!body) return;
            drawNumbers(body);
            setText(byId("span"), spanText(body));
          }),
          one("/api/usage/series", { by: stepOf(), split: chosen("split"), ...at }, (body) => {
            series = body ?? [];
            drawSeries(series);
          }),
          one("/api/usage", { by: chosen("part"), since }, (body) => drawParts(body ?? [])),
          one("/api/usage/blocks", { since: "2d" }, (body) => drawBlocks(body ?? [])),
          one("/api/budgets", {}, (body) => drawBudgets(body ?? [])),
          one("/api/sessions", { limit: 5, roots: "true" }, (body) => drawRecent(body?.sessions ?? [])),
        ]);
        if (asking !== mine) return;
        asking = null;
        if (problems.length > 0) {
          byId("notice").hidden = false;
          byId("notice").classList.add("bad");
          setText(byId("notice"), "Not everything can be read: " + [...new Set(problems)].join("; "));
        } else byId("notice").classList.remove("bad");
        if (again) {
          again = false;
          soon();
        }
      };

      // Rows land many times a second; the numbers are asked for as often as they can be read.
      const soon = () => {
        if (document.hidden || byId("overview").hidden) return;
        if (asking) {
          again = true;
          return;
        }
        if (timer !== null) return;
        timer = setTimeout(() => {
          timer = null;
          look();
        }, Math.max(0, lastAsked + least - performance.now()));
      };

      for (const name of ["range", "measure", "split", "step", "part"]) {
        byId(name).addEventListener("change", () => {
          showStep();
          keep();
          if (name === "measure" && series) drawSeries(series);
          else look();
        });
      }
      byId("trend-table").addEventListener("toggle", () => { if (series) drawSeries(series); });

      const tell = (state, text) => {
        const live = byId("live");
        live.className = "live " + state;
        setText(live, text);
      };
      Holdfast.events.on("open", () => {
        tell("ok", "live");
        soon();
      });
      Holdfast.events.on("usage", soon);
      Holdfast.events.on("budget", soon);
      Holdfast.events.on("status", (status) => {
        const waiting = status.waiting > 0 ? plural(status.waiting, "row") + " waiting to be written" : "live";
        const lost = status.refused > 0 ? " · " + plural(status.refused, "row") + " lost" : "";
        tell(status.health, (status.health === "ok" ? waiting : status.health + " · " + waiting) + lost);
      });
      Holdfast.events.on("lost", () => tell("lost", "no answer; trying again"));
      window.addEventListener("hashchange", () => setTimeout(soon));

      // --- the head of the page ---

      byId("seek").addEventListener("submit", (event) => {
        event.preventDefault();
        const text = byId("seek-text").value.trim();
        if (!text) return;
        Holdfast.seek = text;
        byId("seek-text").value = "";
        location.hash = "#sessions";
        window.dispatchEvent(new Event("holdfast-seek"));
      });
      document.addEventListener("keydown", (event) => {
        if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input") || !byId("sessions").hidden) return;
        event.preventDefault();
        byId("seek-text").focus();
      });
      document.querySelector(".skip").addEventListener("click", (event) => {
        // The hash is the view's.
        event.preventDefault();
        document.querySelector("main:not([hidden])").focus();
      });
      const showTheme = () => byId("theme").setAttribute("aria-pressed", String(Theme.isDark()));
      byId("theme").addEventListener("click", () => {
        Theme.toggle();
        showTheme();
      });
      Theme.onChange(showTheme);
      showTheme();
      showStep();
      setText(byId("span"), spanText(null));
      look();
    })();

    """#
}
