// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The view of mailboxes and their workers: asks once a second while it is seen, and puts what it gets in as text,
  /// never as markup.
  static let workersJS = #"""
    "use strict";
    (() => {
      const period = 1000;
      const byId = (id) => document.getElementById(id);
      const { whole, plural } = Holdfast;
      let asking = false;

      const cell = (text, name) => {
        const node = document.createElement("td");
        node.textContent = text;
        if (name) node.className = name;
        return node;
      };
      const ago = (time) => {
        if (!time) return "–";
        const seconds = Math.max(0, Math.round((Date.now() - Date.parse(time)) / 1000));
        if (seconds < 120) return seconds + " s ago";
        if (seconds < 7200) return Math.round(seconds / 60) + " min ago";
        return Math.round(seconds / 3600) + " h ago";
      };
      const bad = ["broken", "waiting"];

      const path = (box) => "/api/mailboxes/" + box.mailbox.split("/").map(encodeURIComponent).join("/");
      const told = new Map();

      const want = async (box, button) => {
        button.disabled = true;
        let message = "";
        try {
          const answer = await fetch(path(box) + "/worker?wanted=" + (box.wanted ? "stop" : "run"), { method: "POST" });
          if (answer.status !== 200) message = (await answer.json())?.error?.message ?? "refused (status " + answer.status + ")";
        } catch (error) {
          message = "no answer from the daemon (" + error.message + ")";
        }
        if (message) told.set(box.mailbox, message); else told.delete(box.mailbox);
        refresh();
      };

      const open = new Set();
      const details = new Map();
      const hint = (text, isBad) => {
        const node = document.createElement("p");
        node.className = isBad ? "hint mark" : "hint";
        node.textContent = text;
        return node;
      };
      const tries = (one) => one.kind + " " + one.id + (one.status === "dead" ? " went no further" : " waits")
        + ", " + plural(one.attempts, "attempt")
        + (one.next_attempt ? ", next " + one.next_attempt : "") + (one.last_error ? ": " + one.last_error : "");
      const runs = (one) => "schedule " + one.series + " (" + one.cron + ", " + one.state + "), " + plural(one.runs, "run")
        + (one.last_run ? ", last " + one.last_run : "") + (one.next_run ? ", next " + one.next_run : "")
        + (one.error ? ": " + one.error : "");
      const look = async (box) => {
        try {
          const [left, whole] = await Promise.all([path(box) + "/deliveries?limit=20", path(box) + "?limit=1"].map(
            async (place) => (await fetch(place, { cache: "no-store" })).json()));
          details.set(box.mailbox, [
            ...(left.deliveries ?? []).map((one) => [tries(one), one.status === "dead" || Boolean(one.last_error)]),
            ...(whole.schedules ?? []).map((one) => [runs(one), Boolean(one.error)])]);
        } catch {
          // The next look tells.
        }
      };
      const button = (text, key, press) => {
        const node = document.createElement("button");
        node.type = "button";
        node.className = "quiet";
        node.textContent = text;
        node.dataset.key = key;
        node.addEventListener("click", () => press(node));
        return node;
      };

      const draw = (mailboxes) => {
        const rows = mailboxes.map((box) => {
          const line = document.createElement("tr");
          const name = cell(box.mailbox);
          if (box.fault) {
            const fault = document.createElement("p");
            fault.className = "hint mark";
            fault.textContent = box.fault;
            name.append(fault);
          }
          if (told.has(box.mailbox)) name.append(hint(told.get(box.mailbox), true));
          if (open.has(box.mailbox)) {
            const lines = details.get(box.mailbox) ?? [];
            name.append(...(lines.length ? lines.map(([text, isBad]) => hint(text, isBad)) : [hint("no deliveries wait, no schedules")]));
          }
          const actions = document.createElement("p");
          actions.className = "steps actions";
          actions.append(
            button(box.wanted ? "Stop" : "Start", box.mailbox + " wanted", (node) => want(box, node)),
            button(open.has(box.mailbox) ? "Less" : "More", box.mailbox + " more", () => {
              if (!open.delete(box.mailbox)) open.add(box.mailbox);
              refresh();
            }));
          name.append(actions);
          const state = box.worker + (box.wanted ? "" : ", not wanted")
            + (box.incarnation > 0 ? " · no. " + whole.format(box.incarnation) : "");
          line.append(
            name, cell(state, bad.includes(box.worker) ? "mark" : ""), cell(ago(box.heartbeat), "wide"),
            cell(whole.format(box.due), "n"), cell(whole.format(box.pending), "n wide"),
            cell(whole.format(box.claimed), "n"), cell(whole.format(box.undelivered), "n"),
            cell(whole.format(box.dead_letters), box.dead_letters > 0 ? "n mark" : "n"));
          return line;
        });
        if (rows.length === 0) {
          const line = document.createElement("tr");
          const empty = cell("No mailboxes yet. “holdfast mailbox send AGENT/SESSION” makes one.", "empty");
          empty.colSpan = 8;
          line.append(empty);
          rows.push(line);
        }
        // Not under a finger, and the keyboard stays where it was.
        const table = byId("boxes");
        if (table.matches(":active")) return;
        const key = document.activeElement?.dataset?.key;
        table.replaceChildren(...rows);
        if (key) [...table.querySelectorAll("button")].find((one) => one.dataset.key === key)?.focus();
        const running = mailboxes.filter((box) => box.worker === "running").length;
        byId("boxes-hint").textContent = plural(mailboxes.length, "session") + " · " + plural(running, "worker") + " at work";
      };

      const refresh = async () => {
        if (asking || document.hidden || byId("workers").hidden) return;
        asking = true;
        try {
          const answer = await fetch("/api/mailboxes", { cache: "no-store" });
          const body = await answer.json();
          if (answer.status === 200) {
            await Promise.all(body.mailboxes.filter((box) => open.has(box.mailbox)).map(look));
            draw(body.mailboxes);
          }
          else byId("boxes-hint").textContent = body?.error?.message ?? "the mailboxes cannot be read (status " + answer.status + ")";
        } catch (error) {
          byId("boxes-hint").textContent = "no answer from the daemon (" + error.message + ")";
        }
        asking = false;
      };
      setInterval(refresh, period);
      // After the views have been switched.
      window.addEventListener("hashchange", () => setTimeout(refresh));
      document.addEventListener("visibilitychange", refresh);
      refresh();
    })();

    """#
}
