// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The view of providers and their models: asks every five seconds while it is seen, and puts what it gets in as
  /// text, never as markup.
  static let modelsJS = #"""
    "use strict";
    (() => {
      const period = 5000;
      const shown = 300;
      const byId = (id) => document.getElementById(id);
      const { whole, money, plural } = Holdfast;
      let asking = false;
      let asksAgain = false;

      const cell = (text, name) => {
        const node = document.createElement("td");
        node.textContent = text;
        if (name) node.className = name;
        return node;
      };
      const row = (...cells) => {
        const line = document.createElement("tr");
        line.append(...cells);
        return line;
      };
      const empty = (text, columns) => {
        const node = cell(text, "empty");
        node.colSpan = columns;
        return row(node);
      };
      const ago = (time) => {
        if (!time) return "never";
        const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
        if (seconds < 120) return seconds + " s ago";
        if (seconds < 7200) return Math.round(seconds / 60) + " min ago";
        return Math.round(seconds / 3600) + " h ago";
      };
      const left = (time) => {
        const seconds = Math.max(0, Math.round((Date.parse(time) - Date.now()) / 1000));
        return "cools down " + seconds + " s";
      };
      const price = (micros) => (micros === null ? "–" : micros === 0 ? "free" : money(micros));
      const size = (tokens) => {
        if (tokens === null) return "–";
        if (tokens >= 1e6) return Math.round(tokens / 1e5) / 10 + "M";
        return tokens >= 1000 ? Math.round(tokens / 1000) + "k" : whole.format(tokens);
      };

      const health = (provider, cooldowns) => {
        if (!provider.enabled) return ["disabled", ""];
        if (!provider.usable) return ["not configured", ""];
        if (provider.cooldown_until) return [left(provider.cooldown_until), "mark"];
        const cooling = cooldowns.filter((one) => one.provider === provider.name && one.model && one.until).length;
        if (cooling > 0) return [plural(cooling, "model") + " cooling down", "mark"];
        if (provider.error) return [provider.last_success ? "last good list kept" : "no list yet", "mark"];
        return [provider.last_success ? "well" : "not asked yet", ""];
      };

      const drawProviders = (providers, cooldowns) => {
        const known = providers.filter((provider) => provider.usable || provider.models > 0);
        const rows = known.map((provider) => {
          const name = cell(provider.name);
          if (provider.error) {
            const reason = document.createElement("p");
            reason.className = "hint mark";
            reason.textContent = provider.error;
            name.append(reason);
          }
          const [text, mark] = health(provider, cooldowns);
          return row(
            name, cell(provider.kind, "wide"), cell(text, mark), cell(whole.format(provider.models), "n"),
            cell(ago(provider.last_success), "n"));
        });
        if (rows.length === 0) {
          rows.push(empty("No provider is configured: name some in config.yaml, or set a key as in OPENAI_API_KEY.", 5));
        }
        byId("providers").replaceChildren(...rows);
        byId("providers-hint").textContent = plural(known.length, "provider");
      };

      const drawModels = (models, truncated) => {
        const rows = models.map((model) => {
          const name = cell(model.id);
          if (model.cooldown_until) {
            const state = document.createElement("p");
            state.className = "hint mark";
            state.textContent = left(model.cooldown_until);
            name.append(state);
          }
          return row(
            name, cell(model.provider), cell(size(model.context), "n"), cell(price(model.input_microusd), "n"),
            cell(price(model.output_microusd), "n"), cell(ago(model.fetched_at), "n wide"));
        });
        if (rows.length === 0) rows.push(empty("No models here. “holdfast models refresh” asks the providers.", 6));
        byId("catalog-models").replaceChildren(...rows);
        byId("catalog-hint").textContent =
          (truncated ? "the first " : "") + plural(models.length, "model") + " · prices per million tokens";
      };

      const refresh = async () => {
        if (document.hidden || byId("catalog").hidden) return;
        if (asking) {
          asksAgain = true;
          return;
        }
        asking = true;
        try {
          const text = encodeURIComponent(byId("catalog-filter").value);
          const answer = await fetch("/api/models?limit=" + shown + "&text=" + text, { cache: "no-store" });
          const body = await answer.json();
          if (answer.status === 200) {
            drawProviders(body.providers, body.cooldowns);
            drawModels(body.models, body.truncated);
          } else {
            byId("catalog-hint").textContent =
              body?.error?.message ?? "the catalogue cannot be read (status " + answer.status + ")";
          }
        } catch (error) {
          byId("catalog-hint").textContent = "no answer from the daemon (" + error.message + ")";
        }
        asking = false;
        if (asksAgain) {
          asksAgain = false;
          refresh();
        }
      };

      byId("catalog-refresh").addEventListener("click", async (event) => {
        const button = event.currentTarget;
        button.disabled = true;
        byId("providers-hint").textContent = "asking the providers…";
        try {
          const answer = await fetch("/api/models/refresh?force=true", { method: "POST" });
          if (answer.status !== 200) {
            const body = await answer.json();
            byId("providers-hint").textContent = body?.error?.message ?? "they could not be asked";
          }
        } catch (error) {
          byId("providers-hint").textContent = "no answer from the daemon (" + error.message + ")";
        }
        button.disabled = false;
        refresh();
      });
      byId("catalog-filter").addEventListener("input", refresh);
      setInterval(refresh, period);
      // After the views have been switched.
      window.addEventListener("hashchange", () => setTimeout(refresh));
      document.addEventListener("visibilitychange", refresh);
      refresh();
    })();

    """#
}
