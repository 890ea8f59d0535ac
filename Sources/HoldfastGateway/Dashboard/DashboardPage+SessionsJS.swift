// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The sessions view: a list that is filtered and searched as one types, and a transcript beside it.
  ///
  /// Everything from a transcript is put in as text, never as markup; what is long is read piece by piece.
  static let sessionsJS = #"""
    "use strict";
    (() => {
      const { money, tokens, plural, whole } = Holdfast;
      const byId = (id) => document.getElementById(id);
      const list = byId("list");
      const find = byId("find");
      const filter = byId("filter");
      const pieceOfList = 50;
      const pieceOfTranscript = 100;
      const longText = 6000;

      // --- small parts ---

      const make = (name, attributes, ...children) => {
        const node = document.createElement(name);
        for (const [key, value] of Object.entries(attributes ?? {})) {
          if (value === undefined || value === null || value === false) continue;
          if (key === "text") node.textContent = value;
          else if (key === "onclick") node.addEventListener("click", value);
          else node.setAttribute(key, value === true ? "" : value);
        }
        node.append(...children.filter((child) => child !== null && child !== undefined));
        return node;
      };

      const ask = async (path, parameters, signal) => {
        const query = new URLSearchParams(parameters ?? {}).toString();
        const answer = await fetch(path + (query ? "?" + query : ""), { cache: "no-store", signal });
        const body = await answer.json().catch(() => null);
        if (!answer.ok) throw new Error(body?.error?.message ?? "status " + answer.status);
        return body;
      };

      const pathOf = (id) => "/api/sessions/" + encodeURIComponent(id);
      const linkTo = (id, seq) => "#sessions/" + encodeURIComponent(id) + (seq ? "/" + seq : "");
      const nameOf = (session) => session.title ?? session.id;

      const ages = [[31536000, "y"], [2592000, "mo"], [86400, "d"], [3600, "h"], [60, "min"]];
      const ago = (time) => {
        const seconds = (Date.now() - new Date(time).getTime()) / 1000;
        for (const [span, name] of ages) if (seconds >= span) return Math.floor(seconds / span) + "\u00a0" + name + "\u00a0ago";
        return "now";
      };
      const exact = (time) => new Date(time).toLocaleString();

      // Offsets are those of bytes in UTF-8.
      const marked = (text, ranges) => {
        const bytes = new TextEncoder().encode(text);
        const piece = (start, end) => new TextDecoder().decode(bytes.subarray(start, end));
        const nodes = [];
        let place = 0;
        for (const [start, end] of ranges ?? []) {
          nodes.push(piece(place, start), make("mark", { text: piece(start, end) }));
          place = end;
        }
        nodes.push(piece(place, bytes.length));
        return nodes;
      };

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

      // --- a transcript ---

      let open = null;

      const codeBlocks = (text) => {
        // Fenced code keeps its form; all else is text.
        const nodes = [];
        text.split(/^```.*$/m).forEach((piece, index) => {
          const trimmed = piece.replace(/^\n+|\s+$/g, "");
          if (trimmed) nodes.push(make(index % 2 ? "pre" : "div", { class: index % 2 ? "code" : "text", dir: "auto", text: trimmed }));
        });
        return nodes;
      };

      const textNodes = (text) => {
        if (text.length <= longText) return codeBlocks(text);
        const box = make("div", {});
        const cut = text.slice(0, longText);
        const button = make("button", {
          type: "button", class: "quiet", text: "Show all " + whole.format(text.length) + " characters",
          onclick: () => box.replaceChildren(...codeBlocks(text)),
        });
        box.append(...codeBlocks(cut + "…"), button);
        return [box];
      };

      const folded = (title, text) => {
        const box = make("details", {}, make("summary", { text: title }));
        // Filled when it is opened: a transcript has thousands.
        box.addEventListener("toggle", () => {
          if (box.open && box.childElementCount === 1) box.append(make("pre", { class: "code", dir: "auto", text }));
        });
        return box;
      };

      const pretty = (value) => {
        if (typeof value === "string") {
          try { return JSON.stringify(JSON.parse(value), null, 2); } catch { return value; }
        }
        return JSON.stringify(value, null, 2);
      };

      const resultText = (content) => {
        if (typeof content === "string") return content;
        if (Array.isArray(content)) return content.map((part) => part?.text ?? pretty(part)).join("\n");
        return pretty(content ?? "");
      };

      const short = (text) => {
        const line = text.replace(/\s+/g, " ").trim();
        return line.length > 90 ? line.slice(0, 90) + "…" : line;
      };

      const partNodes = (part) => {
        if (typeof part === "string") return textNodes(part);
        switch (part?.type) {
          case "text": case "input_text": case "output_text": return textNodes(String(part.text ?? ""));
          case "thinking": return [folded("thinking", String(part.thinking ?? ""))];
          case "tool_use": case "server_tool_use":
            return [folded("calls " + part.name + " " + short(JSON.stringify(part.input ?? {})), pretty(part.input ?? {}))];
          case "tool_result": {
            const text = resultText(part.content);
            return [folded((part.is_error ? "error: " : "result: ") + short(text), text)];
          }
          default: return [folded(String(part?.type ?? "part"), pretty(part))];
        }
      };

      const messageNode = (message) => {
        const facts = [];
        if (message.model) facts.push(message.model);
        if (message.output_tokens) facts.push(tokens(message.output_tokens) + " tokens out");
        if (message.cost_microusd) facts.push(money(message.cost_microusd));
        if (message.state !== "live") facts.push(message.state);
        if (message.synthetic) facts.push("made up by resume");
        if (message.streaming) facts.push("still being written");
        if (message.finish_reason === "cut") facts.push("cut off");
        const body = [];
        const content = message.content;
        if (message.role === "tool") {
          const text = resultText(content);
          body.push(folded("result: " + short(text), text));
        } else if (typeof content === "string") body.push(...textNodes(content));
        else if (Array.isArray(content)) for (const part of content) body.push(...partNodes(part));
        else body.push(...partNodes(content));
        for (const call of Array.isArray(message.tool_calls) ? message.tool_calls : []) {
          const named = call?.function ?? call ?? {};
          const given = named.arguments ?? named.input ?? {};
          body.push(folded("calls " + (named.name ?? "?") + " " + short(typeof given === "string" ? given : JSON.stringify(given)),
            pretty(given)));
        }
        const kind = ["user", "assistant", "tool", "system"].includes(message.role) ? message.role : "other";
        return make("article", {
          class: "message " + kind + (message.state === "live" ? "" : " faded"), id: "m" + message.seq, tabindex: "-1",
          "data-seq": message.seq, "data-streaming": message.streaming === true,
        },
          make("header", {},
            make("span", { class: "role", text: message.role }),
            make("a", { class: "seq", href: linkTo(open.id, message.seq), text: whole.format(message.seq), title: exact(message.time) }),
            make("span", { class: "facts", text: facts.join(" · ") })),
          ...body);
      };

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

      // --- views, keys, time ---

      const route = () => {
        const [view, id, seq] = location.hash.slice(1).split("/");
        const isSessions = view === "sessions";
        byId("spend").hidden = isSessions;
        byId("sessions").hidden = !isSessions;
        document.body.classList.toggle("wide-view", isSessions);
        for (const link of document.querySelectorAll("[data-view]")) {
          if ((link.dataset.view === "sessions") === isSessions) link.setAttribute("aria-current", "page");
          else link.removeAttribute("aria-current");
        }
        document.title = isSessions ? "Holdfast · sessions" : "Holdfast · spend";
        if (!isSessions) return;
        if (known.length === 0 && !hits) load(false);
        let name = null;
        try { name = id ? decodeURIComponent(id) : null; } catch { name = id; }
        if (name) return read(name, Number.parseInt(seq, 10) || null, seq === "end");
        current = null;
        open = null;
        showCurrent();
        byId("read").hidden = true;
        byId("read-empty").hidden = false;
        document.body.classList.remove("reading");
      };

      const move = (step) => {
        const entries = [...list.querySelectorAll(".entry")];
        if (entries.length === 0) return;
        const at = entries.indexOf(document.activeElement);
        const to = at < 0 ? (step > 0 ? 0 : entries.length - 1) : at + step;
        if (to < 0) return find.focus();
        entries[Math.min(to, entries.length - 1)].focus();
      };

      document.addEventListener("keydown", (event) => {
        if (byId("sessions").hidden || event.ctrlKey || event.metaKey || event.altKey) return;
        const isTyping = event.target.matches("input");
        const inList = event.target.closest?.("#list") !== null;
        if (event.key === "/" && !isTyping) {
          find.focus();
          find.select();
        } else if (event.key === "ArrowDown" && (event.target === find || event.target === filter || inList)) move(1);
        else if (event.key === "ArrowUp" && inList) move(-1);
        else if (event.key === "j" && !isTyping) move(1);
        else if (event.key === "k" && !isTyping) move(-1);
        else if (event.key === "Enter" && event.target === find) list.querySelector(".entry")?.click();
        else if (event.key === "Escape") {
          if (find.value && (event.target === find || inList)) {
            find.value = "";
            search();
            find.focus();
          } else if (location.hash !== "#sessions") location.hash = "#sessions";
          else return;
        } else return;
        event.preventDefault();
      });

      find.addEventListener("input", () => {
        most = 30;
        soon(search);
      });
      filter.addEventListener("input", () => {
        find.value = "";
        soon(() => load(false));
      });
      for (const id of ["below", "away"]) byId(id).addEventListener("change", () => load(false));
      byId("grouped").addEventListener("change", search);
      byId("every").addEventListener("change", () => { if (open) read(open.id, null, false); });
      byId("more").addEventListener("click", () => {
        if (!hits) return load(true);
        most = Math.min(most * 3, 1000);
        return search();
      });
      byId("earlier").addEventListener("click", () => more("before"));
      byId("later").addEventListener("click", () => more("after"));
      byId("to-start").addEventListener("click", () => { if (open) read(open.id, null, false); });
      byId("to-end").addEventListener("click", () => { if (open) read(open.id, null, true); });
      new IntersectionObserver((seen) => {
        if (seen.some((one) => one.isIntersecting)) more("after");
      }, { rootMargin: "600px" }).observe(byId("later"));

      setInterval(() => {
        if (document.hidden || byId("sessions").hidden) return;
        // A list that was read on, or is searched, is left alone.
        if (!hits && !find.value && known.length <= pieceOfList && document.activeElement !== filter) load(false);
        follow();
      }, 3000);
      window.addEventListener("hashchange", route);
      route();
    })();

    """#

  /// How numbers are written, on every view.
  static let formatJS = #"""
    "use strict";
    const Holdfast = (() => {
      const whole = new Intl.NumberFormat("en-US");
      const compact = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });
      const money = (micros) => {
        const dollars = micros / 1e6;
        const digits = dollars === 0 || dollars >= 1 ? 2 : dollars >= 0.01 ? 3 : 6;
        return "$" + dollars.toLocaleString("en-US", { minimumFractionDigits: 2, maximumFractionDigits: digits });
      };
      const tokens = (count) => (count < 100000 ? whole.format(count) : compact.format(count));
      const plural = (count, word) => whole.format(count) + " " + word + (count === 1 ? "" : "s");
      return { whole, compact, money, tokens, plural };
    })();

    """#
}
