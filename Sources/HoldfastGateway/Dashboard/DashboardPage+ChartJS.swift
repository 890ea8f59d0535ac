// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// Stacked columns as SVG: read with the pointer or, the chart being one stop of the keyboard, with the arrow keys.
  static let chartJS = #"""
    "use strict";
    Holdfast.chart = (() => {
      const { make } = Holdfast;
      const svg = (name, attributes, text) => {
        const node = document.createElementNS("http://www.w3.org/2000/svg", name);
        for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
        if (text !== undefined) node.textContent = text;
        return node;
      };

      // A step of 1, 2 or 5 times a power of ten, for about so many lines.
      const niceStep = (top, lines) => {
        const rough = top / lines;
        const power = 10 ** Math.floor(Math.log10(rough));
        return power * ([1, 2, 5].find((step) => step * power >= rough) ?? 10);
      };

      // A column with round shoulders.
      const top = (x, y, width, height, radius) => {
        const r = Math.min(radius, width / 2, height);
        return `M${x} ${y + height}V${y + r}Q${x} ${y} ${x + r} ${y}H${x + width - r}Q${x + width} ${y} ${x + width} ${y + r}V${y + height}Z`;
      };

      // What is shown: {columns: [{label, long, values}], names, colors, format, low}.
      const stacked = (box) => {
        const plot = svg("svg", { "aria-hidden": "true" });
        const tip = make("div", { class: "tip", hidden: true, "aria-hidden": "true" });
        box.replaceChildren(plot, tip);
        let model = null;
        let at = null;
        let geometry = null;

        const total = (column) => column.values.reduce((sum, value) => sum + value, 0);

        const draw = () => {
          if (!model) return;
          const width = box.clientWidth;
          const height = box.clientHeight;
          if (width === 0 || height === 0) return;
          plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
          const most = Math.max(...model.columns.map(total), 0);
          const step = most > 0 ? niceStep(most, height > 180 ? 4 : 2) : 1;
          const ceiling = most > 0 ? Math.ceil(most / step) * step : 1;
          const lines = [];
          for (let value = 0; most > 0 && value <= ceiling + step / 2; value += step) lines.push(value);
          const write = model.axis ?? model.format;
          const left = Math.max(...lines.map((value) => write(value).length), 3) * 6.4 + 10;
          const bottom = 20;
          const upper = 8;
          const room = height - bottom - upper;
          const slot = (width - left) / model.columns.length;
          geometry = { left, slot };
          const nodes = [];
          if (lines.length === 0) lines.push(0);
          for (const value of lines) {
            const y = upper + room * (1 - value / ceiling);
            nodes.push(svg("line", { class: "rule", x1: left, x2: width, y1: y, y2: y }));
            nodes.push(svg("text", { x: left - 8, y: y + 4, "text-anchor": "end" }, write(value)));
          }
          if (at !== null && at < model.columns.length) {
            nodes.push(svg("rect", { class: "cursor", x: left + at * slot, y: upper, width: slot, height: room, rx: 4 }));
          }
          const gap = Math.min(slot * 0.28, 8);
          model.columns.forEach((column, index) => {
            const barWidth = Math.min(Math.max(slot - gap, 1), 64);
            const x = left + (index + 0.5) * slot - barWidth / 2;
            let base = upper + room;
            const last = column.values.findLastIndex((value) => value > 0);
            column.values.forEach((value, part) => {
              if (value <= 0) return;
              const tall = Math.max((value / ceiling) * room, part === last ? 1.5 : 0);
              base -= tall;
              const name = "f" + model.colors[part];
              nodes.push(part === last
                ? svg("path", { class: name, d: top(x, base, barWidth, tall, 4) })
                : svg("rect", { class: name, x, y: base, width: barWidth, height: tall }));
            });
          });
          const every = Math.max(1, Math.ceil(model.columns.length / Math.max(2, Math.floor((width - left) / 62))));
          model.columns.forEach((column, index) => {
            if (index % every !== 0) return;
            nodes.push(svg("text", { x: left + (index + 0.5) * slot, y: height - 4, "text-anchor": "middle" }, column.label));
          });
          plot.replaceChildren(...nodes);
          drawTip(width);
        };

        const drawTip = (width) => {
          const column = at === null ? undefined : model.columns[at];
          tip.hidden = !column;
          if (!column) return;
          const parts = column.values.map((value, part) => [value, part]).filter(([value]) => value > 0)
            .sort((a, b) => b[0] - a[0]).slice(0, 8);
          tip.replaceChildren(
            make("p", { text: column.long }),
            make("ul", {}, ...parts.map(([value, part]) => make("li", {},
              make("span", { class: "swatch b" + model.colors[part] }),
              make("span", { text: model.names[part] }), make("strong", { text: model.format(value) }))),
              parts.length === 1 ? null : make("li", {}, make("span", { class: "swatch" }), make("span", { text: "All" }),
                make("strong", { text: model.format(total(column)) }))));
          const middle = geometry.left + (at + 0.5) * geometry.slot;
          const wide = tip.offsetWidth;
          const x = middle + geometry.slot / 2 + 8 + wide <= width ? middle + geometry.slot / 2 + 8 : middle - geometry.slot / 2 - 8 - wide;
          tip.style.left = Math.max(0, Math.min(x, width - wide)) + "px";
        };

        const tell = () => {
          const index = at ?? model.columns.length - 1;
          const column = model.columns[index];
          box.setAttribute("aria-valuemin", "0");
          box.setAttribute("aria-valuemax", String(Math.max(model.columns.length - 1, 0)));
          box.setAttribute("aria-valuenow", String(Math.max(index, 0)));
          if (!column) return box.setAttribute("aria-valuetext", "nothing");
          const parts = column.values.map((value, part) => (value > 0 ? model.names[part] + " " + model.format(value) : null)).filter(Boolean);
          box.setAttribute("aria-valuetext", column.long + ": " + model.format(total(column)) + (parts.length > 1 ? " (" + parts.join(", ") + ")" : ""));
        };

        const go = (index) => {
          const next = index === null ? null : Math.max(0, Math.min(index, model.columns.length - 1));
          if (next === at) return;
          at = next;
          draw();
          tell();
        };

        box.addEventListener("pointermove", (event) => {
          if (!model || !geometry) return;
          const x = event.clientX - box.getBoundingClientRect().left - geometry.left;
          go(x < 0 ? null : Math.floor(x / geometry.slot));
        });
        box.addEventListener("pointerleave", () => { if (model && document.activeElement !== box) go(null); });
        box.addEventListener("focus", () => { if (model && at === null && box.matches(":focus-visible")) go(model.columns.length - 1); });
        box.addEventListener("blur", () => { if (model) go(null); });
        box.addEventListener("keydown", (event) => {
          if (!model) return;
          const here = at ?? model.columns.length - 1;
          const to = { ArrowLeft: here - 1, ArrowRight: here + 1, ArrowDown: here - 1, ArrowUp: here + 1, Home: 0, End: model.columns.length - 1,
            PageUp: here + 7, PageDown: here - 7, Escape: null }[event.key];
          if (to === undefined) return;
          event.preventDefault();
          go(to);
        });
        new ResizeObserver(draw).observe(box);
        return (next) => {
          model = next;
          if (at !== null && at >= model.columns.length) at = null;
          draw();
          tell();
        };
      };
      return { stacked };
    })();

    """#
}
