# SPDX-License-Identifier: Apache-2.0
"""What workers say is delivered at least once, by commands and to webhooks; from outside, with real kills."""

from __future__ import annotations

import contextlib
import http.server
import json
import sqlite3
import sys
import threading
from pathlib import Path

import pytest

from program import Home, eventually
from supervising import Supervise, configure, mailbox, send, supervise

# Appends the message to `got`, and does what the file named after its id says.
TAKING = """
import json, os, pathlib, sys, time
message = json.load(sys.stdin)
order = pathlib.Path(message["id"])
want = order.read_text() if order.exists() else ""
if want == "before":
    pathlib.Path("at-before").touch()
    while order.exists(): time.sleep(0.01)
with open("got", "a") as got:
    got.write(json.dumps(message) + "\\n")
if want == "after":
    pathlib.Path("at-after").touch()
    while order.exists(): time.sleep(0.01)
if want == "busy":
    order.unlink()
    print("not now", file=sys.stderr)
    sys.exit(75)
if want == "no":
    sys.exit("no such customer")
"""


def deliveries(place: Path, **more: object) -> dict:
    return {"command": [sys.executable, "-c", TAKING], "directory": str(place), **more}


def say(home: Home, address: str, *messages: tuple[str, str, object]) -> None:
    if not mailbox(home, address).exists():
        send(home, address, "begin")
    with contextlib.closing(
        sqlite3.connect(mailbox(home, address) / "outbound.db", isolation_level=None)
    ) as connection:
        for identity, kind, content in messages:
            connection.execute(
                "INSERT INTO messages_out(id, kind, content) VALUES (?, ?, ?)",
                [identity, kind, json.dumps(content)],
            )


def got(place: Path) -> list[dict]:
    if not (place / "got").exists():
        return []
    return [json.loads(line) for line in (place / "got").read_text().splitlines()]


@pytest.fixture
def place(home: Home) -> Path:
    place = home.user / "receiver"
    place.mkdir()
    return place


def test_a_command_gets_each_message_in_order_and_says_what_came_of_it_E05(home: Home, place: Path) -> None:
    say(
        home,
        "a/b",
        ("one", "reply", {"n": 1}),
        ("two", "reply", 2),
        ("bad", "reply", 3),
        ("four", "reply", 4),
    )
    (place / "one").write_text("busy")
    (place / "bad").write_text("no")
    with supervise(home, configure(home, deliveries={"reply": deliveries(place)})) as running:
        dead = running.wait_for("dead", "a/b")
        assert (dead["id"], dead["reason"], dead["attempts"]) == ("bad", "rejected", 1)
        assert "no such customer" in dead["error"]
        running.wait_for("delivered", "a/b", 3)
        [postponed] = running.of("postponed")
        assert postponed["error"].endswith("ended with status 75: not now")
    messages = got(place)
    assert [message["id"] for message in messages] == ["one", "one", "two", "bad", "four"]
    assert [message["attempt"] for message in messages] == [1, 2, 1, 1, 1]
    assert messages[0] == messages[1] | {"attempt": 1}
    assert messages[0]["content"] == {"n": 1} and messages[0]["mailbox"] == "a/b"
    assert messages[0]["idempotency_key"] == "a/b/one"
    # The worker is told, and whoever looks finds it whole.
    [letter] = home.json_lines("mailbox", "dead-letters", "a/b")
    assert (letter["id"], letter["content"], letter["direction"]) == ("bad", 3, "out")
    told = home.json_lines("mailbox", "show", "a/b")[0]["messages"][-1]
    assert told["kind"] == "delivery-failed" and told["content"]["id"] == "bad"
    (place / "bad").unlink()
    home.json_lines("mailbox", "retry", "a/b", "bad")
    with supervise(home, configure(home, deliveries={"reply": deliveries(place)})) as running:
        running.wait_for("delivered", "a/b")
    assert home.json_lines("mailbox", "receive", "a/b") == []


def test_what_nobody_carries_waits_to_be_received_E06(home: Home, place: Path) -> None:
    say(home, "a/b", ("one", "note", 1), ("two", "reply", 2), ("three", "note", 3))
    with supervise(home, configure(home, deliveries={"reply": deliveries(place)})) as running:
        running.wait_for("delivered", "a/b")
        assert running.wait_for("unrouted", "a/b")["kind"] == "note"
    assert [message["id"] for message in home.json_lines("mailbox", "receive", "a/b")] == ["one", "three"]
    [summary] = home.json_lines("mailbox", "list")
    assert (summary["delivered"], summary["undelivered"], summary["dead_letters"]) == (1, 2, 0)


@pytest.mark.parametrize("step", ["before", "after"])
def test_a_host_killed_at_any_step_delivers_again_with_the_same_key_E04(
    home: Home, place: Path, step: str
) -> None:
    say(home, "a/b", *[(f"m{number}", "reply", number) for number in range(5)])
    (place / "m2").write_text(step)
    config = configure(home, deliveries={"reply": deliveries(place, timeout_seconds=1)})
    first = Supervise(home, config)
    eventually("the receiver is there", lambda: (place / f"at-{step}").exists())
    first.kill()
    (place / "m2").unlink()
    with supervise(home, config) as running:
        eventually(
            "all are delivered",
            lambda: home.json_lines("mailbox", "list")[0]["delivered"] == 5,
        )
        assert running.of("dead") == []
    keys = [message["idempotency_key"] for message in got(place)]
    assert list(dict.fromkeys(keys)) == [f"a/b/m{number}" for number in range(5)]
    # Only the one that was under way may have come twice.
    assert {key for key in keys if keys.count(key) > 1} <= {"a/b/m2"}
    assert (keys.count("a/b/m2") == 2) or step == "before"


def test_serve_delivers_what_its_configuration_says(home: Home, place: Path) -> None:
    home.configure(supervise={"deliveries": {"*": deliveries(place)}})
    daemon = home.serve()
    try:
        say(home, "a/b", ("one", "anything", 1))
        [message] = eventually("it is there", lambda: got(place))
        assert message["kind"] == "anything"
    finally:
        assert daemon.stop() == 0
    assert [path.name for path in place.iterdir()] == ["got"]


class Hook(http.server.BaseHTTPRequestHandler):
    """Takes messages; `statuses` are what it answers first to each, after which it answers 200."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        server = self.server
        server.got.append((message, self.headers))
        left = server.statuses.get(message["id"], [])
        status = left.pop(0) if left else 200
        if status == 0:
            # Took it, and hangs up before it says so.
            self.close_connection = True
            return
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hook():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    server.got, server.statuses = [], {}
    server.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_gets_each_message_with_its_key_and_says_what_came_of_it_E05(home: Home, hook) -> None:
    say(
        home,
        "a/b",
        ("one", "alert", {"n": 1}),
        ("two", "alert", 2),
        ("bad", "alert", 3),
        ("four", "alert", 4),
    )
    hook.statuses = {"one": [503], "two": [0], "bad": [410]}
    config = configure(
        home, deliveries={"alert": {"webhook": {"url": hook.url, "headers": {"X-Team": "blue"}}}}
    )
    with supervise(home, config) as running:
        running.wait_for("delivered", "a/b", 3)
        assert running.wait_for("dead", "a/b")["error"] == "HTTP 410"
    assert [message["id"] for message, _ in hook.got] == ["one", "one", "two", "two", "bad", "four"]
    for message, headers in hook.got:
        assert headers["Idempotency-Key"] == message["idempotency_key"] == f"a/b/{message['id']}"
        assert (headers["X-Team"], headers["Content-Type"]) == ("blue", "application/json")
    assert hook.got[0][0]["content"] == {"n": 1}
    assert [letter["id"] for letter in home.json_lines("mailbox", "dead-letters", "a/b")] == ["bad"]


def test_a_header_whose_variable_is_missing_is_told_before_anything_is_run(home: Home) -> None:
    webhook = {"url": "http://127.0.0.1:1/", "headers_env": {"Authorization": "NOT_SET_ANYWHERE"}}
    config = configure(home, deliveries={"alert": {"webhook": webhook}})
    result = home.run("supervise", str(config), check=False)
    assert result.returncode == 78
    assert "NOT_SET_ANYWHERE" in result.stderr and result.stderr.count("\n") == 1
