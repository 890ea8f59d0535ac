// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// A transcript that is open: its head, its sub-agents, its pieces, and what is written meanwhile.
  static let sessionReadingJS = #"""
      const sums = (session) => {
        const all = session.total;
        const read = all.input_tokens + all.cache_read_tokens + all.cache_write_tokens;
        const rows = [
          ["Cost", money(session.cost_microusd)
            + (session.own.cost_microusd !== session.cost_microusd ? " (own " + money(session.own.cost_microusd) + ")" : "")],
          ["Tokens", tokens(read) + " in, " + tokens(all.output_tokens) + " out"],
          ["Messages", whole.format(session.messages)],
          ["Program", session.source], ["Model", session.model], ["Directory", session.cwd],
          ["Branch", session.git_branch], ["Started", exact(session.started)], ["Last active", exact(session.last_active)],
          ["Ended", session.ended ? exact(session.ended) + (session.ended_reason ? ", " + session.ended_reason : "") : null],
        ];
        return make("dl", { class: "sums" }, ...rows.filter(([, value]) => value).map(([name, value]) =>
          make("div", {}, make("dt", { text: name }), make("dd", { dir: "auto", text: value }))));
      };

      const branch = (node) => make("li", {},
        make("a", { href: linkTo(node.session.id), dir: "auto", text: nameOf(node.session) }),
        make("span", {
          class: "facts", text: " " + [node.session.edge, node.session.failed ? "failed" : null,
            plural(node.session.messages, "message"), money(node.session.cost_microusd)].filter(Boolean).join(" · "),
        }),
        node.children.length > 0 ? make("ul", {}, ...node.children.map(branch)) : null);

      const drawTree = (tree) => {
        const box = byId("tree");
        const count = (node) => node.children.reduce((sum, child) => sum + 1 + count(child), 0);
        const below = count(tree);
        box.hidden = below === 0;
        if (below === 0) return box.replaceChildren();
        const failed = tree.session.failed_children;
        const title = plural(below, "session") + (tree.truncated ? " and more" : "") + " came from it"
          + (failed > 0 ? ", " + plural(failed, "sub-agent") + " failed" : "");
        const wasOpen = box.querySelector("details")?.open ?? below <= 12;
        box.replaceChildren(make("details", { open: wasOpen },
          make("summary", { text: title }), make("ul", { class: "tree" }, ...tree.children.map(branch))));
      };

      const drawHead = (session) => {
        document.title = nameOf(session) + " · Holdfast";
        byId("read-title").textContent = nameOf(session);
        byId("read-id").textContent = session.id;
        const above = byId("read-above");
        above.replaceChildren();
        if (session.parent) {
          above.append(session.edge + " of ", make("a", { href: linkTo(session.parent), text: session.parent }));
        }
        byId("sums").replaceChildren(sums(session));
      };

      const drawEdges = () => {
        byId("earlier").hidden = open.previous === null;
        byId("later").hidden = open.next === null;
      };

      const problem = (text) => {
        byId("read-problem").hidden = !text;
        byId("read-problem").textContent = text ?? "";
      };

      const take = (id) => {
        // Another may have been opened while the answer came.
        if (open === null || open.id !== id) throw new DOMException("gone", "AbortError");
      };

      const place = (answer, where) => {
        const box = byId("messages");
        const nodes = answer.messages.map(messageNode);
        if (where === "before") {
          const first = box.firstElementChild;
          const top = first?.getBoundingClientRect().top ?? 0;
          box.prepend(...nodes);
          if (first) window.scrollBy(0, first.getBoundingClientRect().top - top);
          open.previous = answer.previous ?? null;
        } else {
          box.append(...nodes);
          open.next = answer.next ?? null;
          if (where === "all") open.previous = answer.previous ?? null;
        }
        const last = box.lastElementChild;
        open.last = last ? Number(last.dataset.seq) : 0;
        const bad = answer.unreadable?.length ?? 0;
        if (bad > 0) problem(plural(bad, "message") + " could not be read and were left out.");
        drawEdges();
      };

      const states = () => (byId("every").checked ? "all" : "live");

      const read = async (id, seq, end) => {
        current = { id, seq: seq ?? null };
        showCurrent();
        open = { id, previous: null, next: null, last: 0, busy: true };
        const mine = open;
        byId("read").hidden = false;
        byId("read-empty").hidden = true;
        byId("messages").replaceChildren();
        byId("tree").replaceChildren();
        byId("sums").replaceChildren();
        byId("read-above").replaceChildren();
        byId("read-title").textContent = "…";
        byId("read-id").textContent = id;
        problem(null);
        drawEdges();
        document.body.classList.add("reading");
        const parameters = { limit: pieceOfTranscript, states: states() };
        if (seq) parameters.from = Math.max(1, seq - 5);
        if (end) parameters.before = "end";
        try {
          const [answer, tree] = await Promise.all([ask(pathOf(id), parameters), ask(pathOf(id) + "/tree", { limit: 500 })]);
          if (open !== mine) return;
          // A link may name only the beginning of an id.
          open.id = answer.session.id;
          current.id = answer.session.id;
          showCurrent();
          drawHead(answer.session);
          drawTree(tree);
          place(answer, "all");
          if (answer.messages.length === 0) problem(byId("every").checked ? "It has no messages." : "It has no live messages.");
          const goal = seq ? byId("m" + seq) : end ? byId("messages").lastElementChild : null;
          if (goal) {
            if (seq) goal.classList.add("target");
            goal.scrollIntoView({ block: seq ? "center" : "end" });
            goal.focus({ preventScroll: true });
          } else {
            window.scrollTo(0, 0);
          }
        } catch (error) {
          if (open !== mine) return;
          byId("read-title").textContent = "Not to be read";
          problem(error.message);
        }
        mine.busy = false;
      };

      const more = async (where) => {
        if (open === null || open.busy) return;
        const turn = where === "before" ? open.previous : open.next;
        if (turn === null) return;
        const mine = open;
        mine.busy = true;
        try {
          const parameters = { limit: pieceOfTranscript, states: states() };
          parameters[where === "before" ? "before" : "after"] = turn;
          const answer = await ask(pathOf(mine.id), parameters);
          take(mine.id);
          place(answer, where);
        } catch (error) {
          if (error.name !== "AbortError") problem(error.message);
        }
        mine.busy = false;
      };

      // What was written since, while its end is shown.
      const follow = async () => {
        if (open === null || open.busy || open.next !== null || !byId("read-problem").hidden) return;
        const mine = open;
        const last = byId("messages").lastElementChild;
        const again = last?.hasAttribute("data-streaming");
        mine.busy = true;
        try {
          const answer = await ask(pathOf(mine.id), {
            limit: pieceOfTranscript, states: states(), from: again ? mine.last : mine.last + 1,
          });
          take(mine.id);
          if (answer.messages.length > 0) {
            if (again) last.remove();
            place(answer, "after");
            drawHead(answer.session);
          }
        } catch { /* The next look may succeed. */ }
        mine.busy = false;
      };


    """#
}
