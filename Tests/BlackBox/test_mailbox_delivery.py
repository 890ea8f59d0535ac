# SPDX-License-Identifier: Apache-2.0
"""What workers say is delivered at least once, by commands and to webhooks; from outside, with real kills."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
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
