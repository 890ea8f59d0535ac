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
        byId("boxes").replaceChildren(...rows);
        const running = mailboxes.filter((box) => box.worker === "running").length;
        byId("boxes-hint").textContent = plural(mailboxes.length, "session") + " · " + plural(running, "worker") + " at work";
      };

      const refresh = async () => {
        if (asking || document.hidden || byId("workers").hidden) return;
        asking = true;
        try {
          const answer = await fetch("/api/mailboxes", { cache: "no-store" });
          const body = await answer.json();
          if (answer.status === 200) draw(body.mailboxes);
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
