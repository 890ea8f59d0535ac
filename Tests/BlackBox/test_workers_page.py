# SPDX-License-Identifier: Apache-2.0
"""The view of workers and mailboxes in a real browser, where there is one."""

from __future__ import annotations

import sqlite3

import pytest

from browsing import CHROMIUM, browse
from program import Home, eventually
from supervising import ANSWERING, mailbox, python_worker, replies, send
from test_sessions_page import NASTY

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")


def test_workers_heartbeats_queues_and_dead_letters_are_seen(home: Home) -> None:
    home.configure(supervise={"workers": {"writer/one": {"command": python_worker(ANSWERING)}}})
    send(home, "reader/two", NASTY, "--id", NASTY[:200])
    with sqlite3.connect(mailbox(home, "reader/two") / "inbound.db", timeout=60) as connection:
        connection.execute(
            "INSERT INTO dead_letters(direction, id, seq, kind, content, reason, tries)"
            " SELECT 'in', id, seq, kind, content, ?, 5 FROM messages_in",
            [NASTY],
        )
    connection.close()
    daemon = home.serve()
    try:
        send(home, "writer/one", 1)
        eventually("an answer", lambda: replies(home, "writer/one"))
        page = browse(daemon, "workers", "#boxes button")
    finally:
        assert daemon.stop() == 0
    assert "2 sessions · 1 worker at work" in page.text
    assert "running · no. 1" in page.text and " s ago" in page.text
    lines = [text for text in page.text.split("writer/one")[0].split("reader/two")[1:] if text]
    # Nobody runs the other one: one message due, one waiting, none taken, none to deliver, one dead letter.
    # Before that stands what may be done with it.
    assert lines and lines[0].startswith("StopMorestopped–11001")
    assert ("main", {"id": "workers", "tabindex": "-1"}) in page.elements
    assert not any(tag in ("iframe", "b") for tag, _ in page.elements)
