# SPDX-License-Identifier: Apache-2.0
"""How things are with all mailboxes together: status, /api/status and /metrics."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import urllib.request

from program import Home
from supervising import mailbox, send


def test_status_and_metrics_have_the_mailboxes(home: Home) -> None:
    [before] = home.json_lines("status")
    assert before["mailboxes"] is None
    for box in ("a/one", "a/two", "b/three"):
        send(home, box, 1, "--id", "m")
    send(home, "a/one", 2, "--after", "2999-01-01T00:00:00Z")
    with contextlib.closing(sqlite3.connect(mailbox(home, "a/one") / "outbound.db")) as worker, worker:
        worker.execute("INSERT INTO processing(message, try) VALUES ('m', 0)")
    with contextlib.closing(sqlite3.connect(mailbox(home, "a/two") / "outbound.db")) as worker, worker:
        worker.execute("INSERT INTO processing(message, try) VALUES ('m', 0)")
        worker.execute("UPDATE processing SET status = 'failed', retryable = 0")
        worker.execute("INSERT INTO messages_out(kind, content) VALUES ('reply', '1')")
    home.run("mailbox", "list")
    expected = {
        "count": 3,
        "pending": 3,
        "due": 2,
        "claimed": 1,
        "undelivered": 1,
        "dead_letters": 1,
        "unreadable": 0,
        "unseen": 0,
    }

    def without_bytes(found: dict) -> dict:
        assert found["bytes"] >= 3 * 2 * 4096
        return {key: value for key, value in found.items() if key != "bytes"}

    [alone] = home.json_lines("status")
    assert without_bytes(alone["mailboxes"]) == expected
    assert "3 mailboxes" in home.run("status").stdout
    daemon = home.serve()
    try:
        assert without_bytes(daemon.json("/api/status")["mailboxes"]) == expected
        [served] = home.json_lines("status")
        assert without_bytes(served["mailboxes"]) == expected
        with urllib.request.urlopen(daemon.url + "/metrics") as answer:
            page = answer.read().decode()
        found = dict(re.findall(r"^(holdfast_mailbox\w+) (\d+)$", page, re.MULTILINE))
        assert int(found.pop("holdfast_mailbox_bytes")) == daemon.json("/api/status")["mailboxes"]["bytes"]
        assert {name: int(value) for name, value in found.items()} == {
            "holdfast_mailboxes": 3,
            "holdfast_mailbox_pending": 3,
            "holdfast_mailbox_due": 2,
            "holdfast_mailbox_claimed": 1,
            "holdfast_mailbox_undelivered": 1,
            "holdfast_mailbox_dead_letters": 1,
            "holdfast_mailboxes_unreadable": 0,
            "holdfast_mailboxes_unseen": 0,
        }
        # One that cannot be read is said.
        for name in ("inbound.db", "inbound.db-wal", "inbound.db-shm"):
            (mailbox(home, "b/three") / name).unlink(missing_ok=True)
        (mailbox(home, "b/three") / "inbound.db").write_bytes(b"\7" * 8192)
    finally:
        assert daemon.stop() == 0
    [broken] = home.json_lines("status")
    assert broken["mailboxes"]["unreadable"] == 1 and broken["health"] == "degraded"
    assert [finding["code"] for finding in broken["findings"]] == ["mailboxes-unreadable"]
