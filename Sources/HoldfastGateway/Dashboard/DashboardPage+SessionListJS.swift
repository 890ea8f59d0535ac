// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The list of sessions and of what a search found.
  static let sessionListJS = #"""
      // --- the list ---

      let known = [];
      let next = null;
      let hits = null;
      let asking = null;
      let most = 30;
      let current = null;
      // What sessions are called whose messages were found.
      const titles = new Map();

      const listParameters = () => {
        const parameters = { limit: pieceOfList };
        if (filter.value.trim()) parameters.text = filter.value.trim();
        if (!byId("below").checked) parameters.roots = "true";
        if (byId("away").checked) parameters.archived = "all";
        return parameters;
      };

      const tell = (text, isBad) => {
        const line = byId("found");
        line.textContent = text;
        line.classList.toggle("bad", Boolean(isBad));
      };

      const entry = (id, seq, ...children) => make("li", {},
        make("a", { href: linkTo(id, seq), class: "entry", "data-id": id, "data-seq": seq }, ...children));

      const sessionEntry = (session) => {
        const facts = [session.source, session.model, plural(session.messages, "message"), ago(session.last_active)];
        if (session.failed) facts.push("failed");
        if (session.archived) facts.push("archived");
        if (session.edge !== "root") facts.push(session.edge);
        return entry(session.id, null,
          make("span", { class: "entry-head" },
            make("span", { class: "entry-name", dir: "auto", text: nameOf(session) }),
            make("span", { class: "entry-cost", text: session.cost_microusd > 0 ? money(session.cost_microusd) : "" })),
          make("span", { class: "entry-facts", text: facts.filter(Boolean).join(" · ") }));
      };

      const hitEntry = (hit) => {
        const facts = [hit.role, hit.source, "message " + whole.format(hit.seq), ago(hit.time)];
        if (hit.others > 0) facts.push(whole.format(hit.others) + " more like it");
        return entry(hit.session, hit.seq,
          make("span", { class: "entry-name small", dir: "auto", text: titles.get(hit.session) ?? hit.session }),
          make("span", { class: "entry-text", dir: "auto" }, ...marked(hit.snippet, hit.highlights)),
          make("span", { class: "entry-facts", text: facts.filter(Boolean).join(" · ") }));
      };

      const nothing = () => {
        if (hits) return make("li", { class: "empty", text: "Nothing found." });
        if (filter.value.trim()) return make("li", { class: "empty", text: "No session fits." });
        return make("li", { class: "empty" },
          make("p", { text: "No sessions yet." }),
          make("p", {}, make("code", { text: "holdfast sessions import" }), " takes in transcripts of your agents; ",
            make("code", { text: "capture:" }), " in config.yaml keeps what passes the gateway."));
      };

      const drawList = () => {
        const focused = document.activeElement?.closest?.("#list .entry");
        const was = focused && [focused.dataset.id, focused.dataset.seq];
        const nodes = hits ? hits.hits.map(hitEntry) : known.map(sessionEntry);
        list.replaceChildren(...(nodes.length > 0 ? nodes : [nothing()]));
        byId("more").hidden = hits ? !hits.truncated || most >= 1000 : next === null;
        showCurrent();
        if (was) {
          const again = [...list.querySelectorAll(".entry")]
            .find((node) => node.dataset.id === was[0] && node.dataset.seq === was[1]);
          again?.focus({ preventScroll: true });
        }
      };

      const showCurrent = () => {
        for (const node of list.querySelectorAll(".entry")) {
          const is = current !== null && node.dataset.id === current.id
            && (!hits || Number(node.dataset.seq) === current.seq);
          if (is) node.setAttribute("aria-current", "true");
          else node.removeAttribute("aria-current");
        }
      };

      const begin = () => {
        asking?.abort();
        asking = new AbortController();
        return asking.signal;
      };

      const load = async (isMore) => {
        const signal = begin();
        const parameters = listParameters();
        if (isMore && next) parameters.after = next;
        try {
          const answer = await ask("/api/sessions", parameters, signal);
          known = isMore ? known.concat(answer.sessions) : answer.sessions;
          next = answer.next;
          hits = null;
          drawList();
          const bad = answer.unreadable?.length ?? 0;
          const count = whole.format(known.length) + (next ? "+" : "") + (known.length === 1 ? " session" : " sessions");
          tell(bad > 0 ? count + "; " + plural(bad, "row") + " could not be read" : count, bad > 0);
        } catch (error) {
          if (error.name !== "AbortError") tell(error.message, true);
        }
      };

      const learnTitles = async (signal) => {
        if (titles.size > 5000) titles.clear();
        const unknown = [...new Set(hits.hits.map((hit) => hit.session))].filter((id) => !titles.has(id)).slice(0, 100);
        if (unknown.length === 0) return;
        const parameters = new URLSearchParams([["archived", "all"], ["limit", "100"], ...unknown.map((id) => ["id", id])]);
        try {
          for (const session of (await ask("/api/sessions", parameters, signal)).sessions) {
            titles.set(session.id, nameOf(session));
          }
        } catch (error) {
          if (error.name === "AbortError") throw error;
        }
      };

      // The last word may not be written to its end; not so in quotes, after a minus, or in a filter.
      const asTyped = (text) => {
        const last = text.match(/\S*$/)[0];
        const isOpen = (text.match(/"/g)?.length ?? 0) % 2 === 1;
        const isWord = /[\p{Script=Latin}\p{Script=Cyrillic}\p{Script=Greek}\p{N}]{2}$/u.test(last);
        return isWord && !isOpen && !last.startsWith("-") && !last.includes(":") ? text + "*" : text;
      };

      const search = async () => {
        const question = asTyped(find.value.trimStart()).trim();
        if (!question) return load(false);
        const signal = begin();
        try {
          const parameters = { q: question, limit: most };
          if (byId("grouped").checked) parameters.grouped = "true";
          hits = await ask("/api/search", parameters, signal);
          await learnTitles(signal);
          drawList();
          const parts = [whole.format(hits.hits.length) + (hits.truncated ? "+" : "")
            + (hits.hits.length === 1 ? " message" : " messages")];
          if (hits.degraded) parts.push(hits.degraded);
          else if (hits.lag > 0) parts.push("the index is " + plural(hits.lag, "message") + " behind");
          if (hits.left_out > 0) parts.push(plural(hits.left_out, "word") + " left out");
          tell(parts.join("; "), Boolean(hits.degraded));
        } catch (error) {
          if (error.name !== "AbortError") tell(error.message, true);
        }
      };

      const soon = (() => {
        let timer = null;
        return (work) => {
          clearTimeout(timer);
          timer = setTimeout(work, 120);
        };
      })();


    """#
}
