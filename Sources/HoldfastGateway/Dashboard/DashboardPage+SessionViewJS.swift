// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// Which view is shown, the keys, the buttons and the time that passes; the end.
  static let sessionViewJS = #"""
      // --- views, keys, time ---

      const route = () => {
        const [view, id, seq] = location.hash.slice(1).split("/");
        const shown = ["sessions", "workers", "catalog"].includes(view) ? view : "overview";
        const isSessions = shown === "sessions";
        for (const name of ["overview", "sessions", "workers", "catalog"]) byId(name).hidden = name !== shown;
        document.body.classList.toggle("wide-view", isSessions);
        for (const link of document.querySelectorAll("[data-view]")) {
          if (link.dataset.view === shown) link.setAttribute("aria-current", "page");
          else link.removeAttribute("aria-current");
        }
        document.title = "Holdfast · " + shown;
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
      // A search from the head of the page.
      window.addEventListener("holdfast-seek", () => setTimeout(() => {
        find.value = Holdfast.seek;
        find.focus();
        search();
      }));
      route();
    })();

    """#
}
