// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The list of live requests, fed by events alone; asked for once, when the connection is made.
  static let requestsJS = #"""
    "use strict";
    (() => {
      const { whole, compact, money, plural, duration, byId, make, setText, ask } = Holdfast;
      const shown = 10;
      const known = new Map();
      let unlisted = 0;
      let rows = new Map();
      let drawing = false;

      const isOver = (one) => one.state === "ended";
      const failed = (one) => isOver(one) && one.outcome !== "complete" && one.outcome !== "client_left";
      const outcomes = {
        client_left: "client left", upstream_died: "upstream broke off", upstream_error: "error", stream_error: "error in the stream",
        upstream_unreachable: "unreachable", upstream_timeout: "timed out", refused: "refused",
      };

      const take = (one, now) => {
        const before = known.get(one.id);
        // An end is the last word.
        if (before && isOver(before) && !isOver(one)) return;
        const fresh = { ...one, at: now };
        if (before && one.pieces > before.pieces && now > before.at) {
          const speed = ((one.pieces - before.pieces) * 1000) / (now - before.at);
          fresh.speed = before.speed ? before.speed * 0.6 + speed * 0.4 : speed;
        } else fresh.speed = before?.speed;
        known.set(one.id, fresh);
      };

      // Those in flight first, newest on top; then the last that ended.
      const listed = () => {
        const all = [...known.values()];
        const order = (a, b) => Date.parse(b.started) - Date.parse(a.started) || b.id.localeCompare(a.id, "en", { numeric: true });
        const running = all.filter((one) => !isOver(one)).sort(order);
        const ended = all.filter(isOver).sort((a, b) => b.at - a.at || order(a, b));
        for (const one of ended.slice(100)) known.delete(one.id);
        return [running, running.concat(ended).slice(0, Math.max(shown, Math.min(running.length, 2 * shown)))];
      };

      const elapsed = (one) => (isOver(one) ? one.elapsed_ms : one.elapsed_ms + performance.now() - one.at);
      const output = (one) => {
        if (isOver(one)) return one.output_tokens === undefined ? (one.pieces > 0 ? "~" + compact.format(one.pieces) : "–") : compact.format(one.output_tokens);
        return compact.format(Math.max(one.output_tokens ?? 0, one.pieces));
      };
      const left = (one) => {
        const facts = [one.source, one.project, one.session ? "session " + one.session.slice(0, 8) : null, one.provider];
        if (isOver(one) && one.outcome !== "complete") facts.unshift((outcomes[one.outcome] ?? one.outcome) + (one.status >= 400 ? " " + one.status : ""));
        return facts.filter(Boolean).join(" · ");
      };
      const right = (one) => {
        if (isOver(one)) return [output(one) + " tokens" + (one.cost_microusd === undefined ? "" : " · " + money(one.cost_microusd)), duration(elapsed(one))];
        if (one.state === "started") return ["waiting", duration(elapsed(one))];
        return [output(one) + " tokens", duration(elapsed(one)) + (one.speed ? " · " + Math.round(one.speed) + "/s" : "")];
      };
      const spoken = { started: "waiting for an answer: ", streaming: "streaming: ", ended: "" };

      const draw = () => {
        drawing = false;
        const [running, list] = listed();
        const count = running.length + unlisted;
        setText(byId("runs-hint"), count === 0 ? "none in flight" : whole.format(count) + " in flight");
        const next = new Map();
        const nodes = list.map((one) => {
          let row = rows.get(one.id);
          if (!row) {
            const state = make("span", { class: "out" });
            const name = make("span", { dir: "auto" });
            const parts = { state, name, facts: make("div", { class: "facts", dir: "auto" }), main: make("span", {}), more: make("span", { class: "facts" }) };
            row = { parts, node: make("li", { "data-id": one.id }, make("span", { class: "dot", "aria-hidden": "true" }),
              make("div", {}, make("div", { class: "name" }, state, name), parts.facts), make("div", { class: "out-side" }, parts.main, parts.more)) };
          }
          next.set(one.id, row);
          const kind = "run " + one.state + (failed(one) ? " failed" : "");
          if (row.node.className !== kind) row.node.className = kind;
          setText(row.parts.state, spoken[one.state]);
          setText(row.parts.name, one.model ?? "…");
          setText(row.parts.facts, left(one));
          const [main, more] = right(one);
          setText(row.parts.main, main);
          setText(row.parts.more, more);
          return row.node;
        });
        rows = next;
        const box = byId("runs");
        if (nodes.length === 0) nodes.push(make("li", { class: "empty", text: "Requests show up here while they stream." }));
        // Nodes that stay where they are keep their motion.
        if (nodes.length !== box.children.length || nodes.some((node, index) => box.children[index] !== node)) box.replaceChildren(...nodes);
      };
      const redraw = () => {
        if (drawing || document.hidden) return;
        drawing = true;
        requestAnimationFrame(draw);
      };

      Holdfast.events.on("open", async () => {
        const asked = performance.now();
        try {
          const body = await ask("/api/requests");
          if (!body) return;
          const now = performance.now();
          // What is not there any more has ended while nobody listened.
          const present = new Set([...body.requests, ...body.ended].map((one) => one.id));
          for (const [id, one] of known) if (!present.has(id) && one.at < asked) known.delete(id);
          // The oldest first, so that the newest is on top.
          for (const one of [...body.ended].reverse()) if (!known.has(one.id)) take(one, now - 1e6 + known.size);
          for (const one of body.requests) take(one, now);
          unlisted = Math.max(0, body.running - body.requests.length);
        } catch { /* The events tell the rest. */ }
        redraw();
      });
      Holdfast.events.on("request", (one) => {
        take(one, performance.now());
        redraw();
      });
      Holdfast.events.on("lost", () => {
        for (const [id, one] of known) if (!isOver(one)) known.delete(id);
        redraw();
      });
      // Time goes on for those in flight.
      setInterval(() => { if (byId("overview").hidden === false && [...known.values()].some((one) => !isOver(one))) redraw(); }, 250);
    })();

    """#
}
