// SPDX-License-Identifier: Apache-2.0

extension DashboardPage {
  /// The sessions view: a list that is filtered and searched as one types, and a transcript beside it.
  ///
  /// Everything from a transcript is put in as text, never as markup; what is long is read piece by piece.
  static let sessionsJS =
    sessionPartsJS + sessionListJS + sessionMessagesJS + sessionReadingJS + sessionViewJS

  /// Its beginning, and the small parts all of it uses.
  private static let sessionPartsJS = #"""
    "use strict";
    (() => {
      const { money, tokens, plural, whole, ago, byId, make } = Holdfast;
      const list = byId("list");
      const find = byId("find");
      const filter = byId("filter");
      const pieceOfList = 50;
      const pieceOfTranscript = 100;
      const longText = 6000;

      // --- small parts ---

      // What a session's path does not have is said in the daemon's own words.
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


    """#
}
