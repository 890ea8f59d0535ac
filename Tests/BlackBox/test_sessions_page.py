# SPDX-License-Identifier: Apache-2.0
"""The sessions view in a real browser, where there is one: a transcript is text on the page, never markup."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import pytest

from browsing import CHROMIUM, browse
from program import Daemon

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

NASTY = (
    "<img src=x onerror=\"document.body.id='owned'\"><script>document.body.id='owned'</script>"
    '<iframe src="javascript:alert(1)"></iframe><a href="javascript:alert(1)">x</a>"\'><b>bold</b>'
)


def test_a_transcript_is_text_on_the_page(daemon: Daemon) -> None:
    home = daemon.home
    home.run("sessions", "create", "--id", NASTY[:200], "--title", NASTY, "--source", NASTY, "--model", NASTY)
    home.run("sessions", "create", "--id", "child", "--parent", NASTY[:200], "--title", f"below {NASTY}")
    messages = [
        {"role": NASTY, "content": NASTY, "model": NASTY},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": NASTY},
                {"type": "tool_use", "id": "t", "name": NASTY, "input": {NASTY: NASTY}},
                {"type": NASTY, NASTY: NASTY},
            ],
            "tool_calls": [{"id": "c", "function": {"name": NASTY, "arguments": NASTY}}],
            "cost_microusd": 1_500_000,
        },
        {"role": "tool", "content": NASTY, "tool_call_id": "c"},
    ]
    text = "\n".join(json.dumps(message) for message in messages)
    home.run("sessions", "append", NASTY[:200], "--jsonl", "-", stdin=text)

    page = browse(daemon, "sessions/" + quote(NASTY[:200], safe=""), "#messages .message")
    own = {
        "/assets/theme.js",
        "/assets/format.js",
        "/assets/chart.js",
        "/assets/events.js",
        "/assets/overview.js",
        "/assets/requests.js",
        "/assets/sessions.js",
        "/assets/workers.js",
        "/assets/models.js",
    }
    assert {attributes.get("src") for tag, attributes in page.elements if tag == "script"} == own
    assert {attributes.get("src") for tag, attributes in page.elements if tag == "img"} == {
        "/assets/icon.svg"
    }
    assert not {tag for tag, _ in page.elements} & {"iframe", "b", "object", "embed"}
    for _, attributes in page.elements:
        assert not any(name.startswith("on") for name in attributes)
        assert not (attributes.get("href") or "").startswith("javascript:")
        assert attributes.get("id") != "owned"
    # It is all there to be read: in the list, the head, and the messages.
    assert page.text.count("onerror=") >= 6
    assert "$1.50" in page.text
    assert re.search(r"below <img", page.text), "the sub-agent is named"


def test_a_message_that_was_found_is_shown_among_its_neighbours(daemon: Daemon) -> None:
    lines = "\n".join(
        json.dumps({"role": "user", "content": f"number {number} of many"}) for number in range(1, 301)
    )
    daemon.home.run("sessions", "append", "many", "--jsonl", "-", stdin=lines)
    page = browse(daemon, "sessions/many/150", "#messages .target")
    shown = [
        int(attributes["data-seq"] or 0)
        for tag, attributes in page.elements
        if tag == "article" and "data-seq" in attributes
    ]
    assert shown[0] == 145
    assert shown == list(range(145, 145 + len(shown)))
    (target,) = [a for tag, a in page.elements if tag == "article" and "target" in (a.get("class") or "")]
    assert target["data-seq"] == "150"


def test_a_session_that_is_not_there_is_said(daemon: Daemon) -> None:
    page = browse(daemon, "sessions/nobody-at-all", "#read-problem")
    assert "There is no session whose id is or begins with “nobody-at-all”." in page.text
