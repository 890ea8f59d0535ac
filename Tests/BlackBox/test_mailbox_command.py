# SPDX-License-Identifier: Apache-2.0
"""`holdfast mailbox …` on one side, and on the other a worker that has nothing but Python's sqlite3."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest

from foreign import integrity
from program import PATIENCE, Home

MAILBOX = "writer/session-1"


def lines(done: subprocess.CompletedProcess[str]) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def mailbox(home: Home, name: str = MAILBOX) -> Path:
    return home.path / "mailboxes" / name


def send(home: Home, content: object, *options: str, to: str = MAILBOX) -> dict:
    (receipt,) = lines(home.run("mailbox", "send", to, "--content", json.dumps(content), *options, "--json"))
    return receipt


def receive(home: Home, *options: str, name: str = MAILBOX) -> list[dict]:
    return lines(home.run("mailbox", "receive", name, *options, "--json"))


def shown(home: Home, name: str = MAILBOX) -> dict:
    return json.loads(home.run("mailbox", "show", name, "--json").stdout)


@contextmanager
def outbound(home: Home, name: str = MAILBOX) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(mailbox(home, name) / "outbound.db", timeout=PATIENCE, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


def say(home: Home, *messages: tuple[str, str, object], name: str = MAILBOX) -> None:
    with outbound(home, name) as connection:
        for message, kind, content in messages:
            connection.execute(
                "INSERT INTO messages_out(id, kind, content) VALUES (?, ?, ?)",
                [message, kind, json.dumps(content)],
            )


def work(home: Home, outcome: str = "completed", incarnation: int = 1) -> list[str]:
    """What any worker does, by docs/mailboxes.md: takes each message that is due, and ends it like this."""
    done = []
    with outbound(home) as connection:
        connection.execute("ATTACH ? AS inbound", [f"{mailbox(home)}/inbound.db"])
        while True:
            now = time.time_ns() // 1_000_000
            row = connection.execute(
                """
                SELECT id, tries FROM inbound.messages_in AS m
                WHERE status = 'pending' AND process_after <= :now AND after_incarnation < :incarnation
                  AND NOT EXISTS (SELECT 1 FROM processing AS p WHERE p.message = m.id AND p.try = m.tries)
                ORDER BY seq LIMIT 1
                """,
                {"now": now, "incarnation": incarnation},
            ).fetchone()
            if row is None:
                return done
            claim = connection.execute(
                "INSERT INTO processing(message, try, incarnation) VALUES (?, ?, ?)", [*row, incarnation]
            )
            assert claim.rowcount == 1
            end = connection.execute(
                "UPDATE processing SET status = ?, error = ? "
                "WHERE message = ? AND try = ? AND incarnation = ? AND status = 'claimed'",
                [outcome, None if outcome == "completed" else "no luck", *row, incarnation],
            )
            assert end.rowcount == 1
            done.append(row[0])


def test_what_is_sent_is_there_for_the_worker_and_sent_once_E12(home: Home) -> None:
    content = {"task": "begin", "n": [1, 2.5, None, True, "ä"]}
    assert send(home, content, "--id", "a") == {"id": "a", "seq": 1, "duplicate": False}
    assert send(home, content, "--id", "a") == {"id": "a", "seq": 1, "duplicate": True}
    other = send(home, {"task": "other"}, "--id", "a", "--kind", "chat")
    assert (other["seq"], other["duplicate"], other["wanted_id"]) == (2, False, "a")
    assert other["id"] != "a"
    minted = send(home, 7)
    assert minted["seq"] == 3 and minted["id"] not in ("", "a", other["id"])

    with sqlite3.connect(f"file:{mailbox(home)}/inbound.db?mode=ro", uri=True) as inbound:
        rows = inbound.execute(
            "SELECT seq, id, kind, content, status FROM messages_in ORDER BY seq"
        ).fetchall()
    assert [row[:3] for row in rows] == [
        (1, "a", "message"),
        (2, other["id"], "chat"),
        (3, minted["id"], "message"),
    ]
    assert [json.loads(row[3]) for row in rows] == [content, {"task": "other"}, 7]
    assert {row[4] for row in rows} == {"pending"}


def test_many_processes_that_send_at_once_lose_nothing(home: Home) -> None:
    home.path.mkdir(mode=0o700)
    started = [
        subprocess.Popen(
            home.command(
                "mailbox", "send", MAILBOX, "--content", str(number), "--id", f"m{number}", "--json"
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=home.environment(),
            text=True,
        )
        for number in range(8)
    ]
    receipts = []
    for process in started:
        out, err = process.communicate(timeout=PATIENCE * 2)
        assert process.returncode == 0, err
        receipts.append(json.loads(out))
    assert sorted(receipt["seq"] for receipt in receipts) == list(range(1, 9))
    assert integrity(mailbox(home) / "inbound.db") == "ok"


def test_what_the_worker_says_is_received_in_order_until_acknowledged(home: Home) -> None:
    send(home, "hello", "--id", "question")
    assert receive(home) == []
    before = time.time()
    say(home, ("one", "reply", {"text": "hi"}), ("two", "note", [1]))
    with outbound(home) as connection:
        connection.execute("INSERT INTO messages_out(content, in_reply_to) VALUES ('\"x\"', 'question')")
    first, second, third = receive(home)
    for row, known in [
        (first, {"id": "one", "seq": 1, "kind": "reply", "content": {"text": "hi"}, "in_reply_to": None}),
        (second, {"id": "two", "seq": 2, "kind": "note", "content": [1], "in_reply_to": None}),
        (third, {"seq": 3, "content": "x", "in_reply_to": "question"}),
    ]:
        assert {key: row[key] for key in known} == known
        assert before - 1 <= datetime.fromisoformat(row["time"]).timestamp() <= time.time() + 1
    assert [row["id"] for row in receive(home, "--limit", "2")] == ["one", "two"]

    assert lines(home.run("mailbox", "ack", MAILBOX, "two", "--json")) == [
        {"id": "two", "seq": 2, "duplicate": False}
    ]
    assert [row["id"] for row in receive(home)] == ["one", third["id"]]
    assert lines(home.run("mailbox", "ack", MAILBOX, "two", "--json"))[0]["duplicate"] is True
    home.run("mailbox", "ack", MAILBOX, "one", third["id"])
    assert receive(home) == []
    assert "Nothing to receive" in home.run("mailbox", "receive", MAILBOX).stdout


def test_a_worker_killed_before_it_commits_says_nothing_and_after_it_everything(home: Home) -> None:
    send(home, 1)
    program = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("INSERT INTO messages_out(id, kind, content) VALUES ('said', 'k', '1')")
connection.execute("BEGIN")
connection.execute("INSERT INTO messages_out(id, kind, content) VALUES ('unsaid', 'k', '2')")
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run(
        ["python3", "-c", program, str(mailbox(home) / "outbound.db")], timeout=PATIENCE, check=False
    )
    assert done.returncode == -9
    assert [row["id"] for row in receive(home)] == ["said"]
    say(home, ("next", "k", 3))
    assert [(row["id"], row["seq"]) for row in receive(home)] == [("said", 1), ("next", 2)]


def test_a_worker_completes_what_it_takes(home: Home) -> None:
    for number in range(3):
        send(home, number, "--id", f"m{number}")
    send(home, "later", "--id", "later", "--after", "2999-01-01T00:00:00Z")
    assert work(home) == ["m0", "m1", "m2"]
    after = shown(home)
    assert [(m["id"], m["status"]) for m in after["messages"]] == [
        ("m0", "completed"),
        ("m1", "completed"),
        ("m2", "completed"),
        ("later", "pending"),
    ]
    assert (after["mailbox"]["pending"], after["mailbox"]["due"], after["mailbox"]["completed"]) == (1, 0, 3)
    pending = json.loads(home.run("mailbox", "show", MAILBOX, "--status", "pending", "--json").stdout)
    assert [m["id"] for m in pending["messages"]] == ["later"]
    assert work(home) == []


def test_a_message_that_fails_is_a_dead_letter_in_the_end_and_can_be_put_back_E13(home: Home) -> None:
    content = {"text": "broken", "n": 1.5}
    send(home, content, "--id", "bad", "--tries", "1")
    send(home, 1, "--id", "good")
    assert work(home, outcome="failed") == ["bad", "good"]
    (letter,) = lines(home.run("mailbox", "dead-letters", MAILBOX, "--json"))
    known = {"id": "bad", "direction": "in", "tries": 1, "content": content, "error": "no luck", "seq": 1}
    assert {key: letter[key] for key in known} == known
    assert "bad" in home.run("mailbox", "dead-letters", MAILBOX).stdout
    # The other waits for its next try and is not held up.
    statuses = {m["id"]: (m["status"], m["tries"]) for m in shown(home)["messages"]}
    assert statuses == {"bad": ("dead", 1), "good": ("pending", 1)}

    refused = home.run("mailbox", "retry", MAILBOX, "good", check=False)
    assert refused.returncode == 66
    assert lines(home.run("mailbox", "retry", MAILBOX, "bad", "--json")) == [{"retried": 1}]
    assert lines(home.run("mailbox", "dead-letters", MAILBOX, "--json")) == []
    assert "bad" in work(home)
    assert {m["id"]: m["status"] for m in shown(home)["messages"]}["bad"] == "completed"


def test_one_unreadable_mailbox_is_told_and_the_others_go_on_E03(home: Home) -> None:
    send(home, 1)
    send(home, 2, to="reader/session-2")
    for suffix in ("-wal", "-shm"):
        (mailbox(home) / f"outbound.db{suffix}").unlink(missing_ok=True)
    (mailbox(home) / "outbound.db").write_bytes(b"no database" * 1000)
    say(home, ("out", "k", 1), name="reader/session-2")

    listed = {row["mailbox"]: row for row in lines(home.run("mailbox", "list", "--json"))}
    assert set(listed) == {MAILBOX, "reader/session-2"}
    assert "fault" not in listed["reader/session-2"] and listed["reader/session-2"]["undelivered"] == 1
    assert "outbound.db" in listed[MAILBOX]["fault"] and listed[MAILBOX]["pending"] == 1
    assert [row["id"] for row in receive(home, name="reader/session-2")] == ["out"]
    done = home.run("mailbox", "receive", MAILBOX, check=False)
    assert (done.returncode, done.stdout) == (65, "")
    assert done.stderr.count("\n") == 1 and "outbound.db" in done.stderr
    assert send(home, 3)["seq"] == 2
    # What was there is there still.
    assert (mailbox(home) / "outbound.db").read_bytes() == b"no database" * 1000


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["send", "no-slash", "--content", "1"], 64),
        (["send", "../up", "--content", "1"], 64),
        (["send", "a/b/c", "--content", "1"], 64),
        (["send", MAILBOX], 64),
        (["send", MAILBOX, "--content", "not json"], 65),
        (["send", MAILBOX, "--content", "1", "--id", ""], 65),
        (["receive", MAILBOX], 66),
        (["ack", MAILBOX, "x"], 66),
        (["show", MAILBOX], 66),
        (["list", MAILBOX], 66),
        (["retry", MAILBOX, "--all"], 66),
        (["retry", MAILBOX], 64),
        (["dead-letters", MAILBOX], 66),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(home: Home, arguments: list[str], code: int) -> None:
    done = home.run("mailbox", *arguments, check=False)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.strip()
    if code != 64:
        assert done.stderr.count("\n") == 1
    assert not mailbox(home).exists()


def test_an_empty_home_has_no_mailboxes_and_stays_as_it_is(home: Home) -> None:
    assert lines(home.run("mailbox", "list", "--json")) == []
    assert "No mailboxes" in home.run("mailbox", "list").stdout
    assert not home.path.exists()


def test_an_unknown_message_cannot_be_acknowledged(home: Home) -> None:
    send(home, 1)
    done = home.run("mailbox", "ack", MAILBOX, "nobody-said-this", check=False)
    assert (done.returncode, done.stdout) == (66, "")
    assert "nobody-said-this" in done.stderr


def test_what_is_over_and_old_is_removed_when_asked_and_nothing_else(home: Home) -> None:
    send(home, 1, "--id", "done")
    assert work(home) == ["done"]
    say(home, ("received", "reply", 1), ("waiting", "reply", 2))
    home.run("mailbox", "ack", MAILBOX, "received")
    send(home, 2, "--id", "later")
    nothing = {"mailbox": MAILBOX, "inbound": 0, "outbound": 0, "dead_letters": 0, "held": 0}
    assert lines(home.run("mailbox", "prune", MAILBOX, "--json")) == [nothing]
    said = receive(home)
    [would] = lines(home.run("mailbox", "prune", MAILBOX, "--older-than", "0m", "--dry-run", "--json"))
    assert would == nothing | {"inbound": 1, "outbound": 1}
    (mailbox(home) / "heartbeat").unlink(missing_ok=True)
    [pruned] = lines(home.run("mailbox", "prune", MAILBOX, "--older-than", "0m", "--json"))
    assert pruned == would
    assert [message["id"] for message in shown(home)["messages"]] == ["later"]
    assert receive(home) == said
    assert integrity(mailbox(home) / "outbound.db") == "ok"
    assert home.run("mailbox", "prune", MAILBOX, "--older-than", "soon", check=False).returncode == 64
    assert home.run("mailbox", "prune", "no/body", check=False).returncode == 66


def test_files_go_along_with_a_message_and_are_sent_once(home: Home, tmp_path: Path) -> None:
    one, two = tmp_path / "plan.bin", tmp_path / "below" / "plan.bin"
    two.parent.mkdir()
    one.write_bytes(bytes(range(256)))
    two.write_bytes(b"another")
    options = ("--id", "m", "--attach", str(one), "--attach", str(two))
    receipt = send(home, {"task": "read"}, *options)
    [message] = shown(home)["messages"]
    names = message["content"]["attachments"]
    assert message["content"]["task"] == "read" and all(name.endswith("-plan.bin") for name in names)
    place = mailbox(home) / "attachments"
    assert [(place / name).read_bytes() for name in names] == [one.read_bytes(), b"another"]
    assert send(home, {"task": "read"}, *options) == receipt | {"duplicate": True}
    assert sorted(path.name for path in place.iterdir()) == sorted(names)
    for content in ("1", '{"attachments": []}'):
        arguments = ("mailbox", "send", MAILBOX, "--content", content, "--attach", str(one))
        assert home.run(*arguments, check=False).returncode == 65
    missing = ("mailbox", "send", MAILBOX, "--content", "{}", "--attach", str(tmp_path / "none"))
    assert home.run(*missing, check=False).returncode == 66
    assert len(shown(home)["messages"]) == 1
