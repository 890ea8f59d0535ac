// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// A message of a transcript, with its parts, calls and results.
  static let sessionMessagesJS = #"""
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


    """#
}
