// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The connection to `/api/events`: closed while nobody sees the page, since a browser has six for all its tabs, and
  /// made again with growing pauses when it is lost.
  static let eventsJS = #"""
    "use strict";
    Holdfast.events = (() => {
      const first = 500;
      const longest = 15000;
      const listeners = new Map();
      let source = null;
      let timer = null;
      let pause = first;

      const on = (name, work) => {
        if (!listeners.has(name)) listeners.set(name, []);
        listeners.get(name).push(work);
      };
      const tell = (name, value) => { for (const work of listeners.get(name) ?? []) work(value); };

      const open = () => {
        clearTimeout(timer);
        timer = null;
        if (source || document.hidden) return;
        const mine = new EventSource("/api/events");
        source = mine;
        mine.addEventListener("open", () => {
          pause = first;
          tell("open");
        });
        for (const name of ["request", "usage", "budget", "status"]) {
          mine.addEventListener(name, (event) => {
            try {
              tell(name, JSON.parse(event.data));
            } catch { /* A newer daemon's; the rest is as good as ever. */ }
          });
        }
        // The browser's own repetition has no growing pause, and gives up for good after an error status.
        mine.addEventListener("error", () => {
          mine.close();
          if (source !== mine) return;
          source = null;
          tell("lost", pause);
          timer = setTimeout(open, pause * (0.75 + Math.random() / 2));
          pause = Math.min(pause * 2, longest);
        });
      };

      document.addEventListener("visibilitychange", () => {
        if (!document.hidden) {
          pause = first;
          open();
        } else {
          clearTimeout(timer);
          source?.close();
          source = null;
        }
      });
      // Once everything listens.
      window.addEventListener("DOMContentLoaded", open);
      return { on };
    })();

    """#
}
