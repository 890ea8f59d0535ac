# SPDX-License-Identifier: Apache-2.0
"""The worker of Examples/, as docs/mailboxes.md has it, and mailboxes over HTTP."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from program import PATIENCE, ROOT, Daemon, Home, eventually

WORKER = ROOT / "Examples/Worker/worker.py"
MAILBOX = "writer/session-1"


def place(home: Home, name: str = MAILBOX) -> Path:
    return home.path / "mailboxes" / name


def send(home: Home, content: object, *options: str, to: str = MAILBOX) -> dict:
    (receipt,) = home.json_lines("mailbox", "send", to, "--content", json.dumps(content), *options)
    return receipt


def received(home: Home) -> list[dict]:
    return home.json_lines("mailbox", "receive", MAILBOX)


def worker(home: Home, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(WORKER), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=home.environment(**environment),
    )


def finish(process: subprocess.Popen[str]) -> None:
    out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, out, err) == (0, "", "")


def test_the_example_answers_each_message_once(home: Home) -> None:
    ids = [send(home, {"text": f"number {number}"})["id"] for number in range(5)]
    finish(worker(home, str(place(home)), "--until-idle"))
    replies = received(home)
    assert [reply["in_reply_to"] for reply in replies] == ids
    assert [reply["content"] for reply in replies] == [
        {"echo": {"text": f"number {number}"}} for number in range(5)
    ]
    (summary,) = home.json_lines("mailbox", "list", MAILBOX)
    assert (summary["pending"], summary["completed"], summary["undelivered"]) == (0, 5, 5)
    assert summary["heartbeat"]
    finish(worker(home, "--until-idle", HOLDFAST_MAILBOX=str(place(home)), HOLDFAST_INCARNATION="7"))
    assert received(home) == replies


def test_workers_side_by_side_share_the_messages_E08(home: Home) -> None:
    ids = [send(home, number)["id"] for number in range(12)]
    together = [worker(home, str(place(home)), "--until-idle", HOLDFAST_INCARNATION="1") for _ in range(3)]
    for process in together:
        finish(process)
    assert sorted(reply["in_reply_to"] for reply in received(home)) == sorted(ids)


def test_a_worker_killed_at_any_moment_answers_everything_once_in_the_end_E08(home: Home) -> None:
    send(home, "first", "--id", "m0")
    incarnation, sent = 0, 1
    for _ in range(6):
        incarnation += 1
        process = worker(home, HOLDFAST_MAILBOX=str(place(home)), HOLDFAST_INCARNATION=str(incarnation))
        answered = len(received(home))
        for _ in range(3):
            send(home, sent, "--id", f"m{sent}")
            sent += 1
        # Killed while it is at it: it has answered something new, and may be anywhere in the next.
        eventually("another answer", lambda seen=answered: len(received(home)) > seen)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=PATIENCE)
    finish(
        worker(
            home,
            "--until-idle",
            HOLDFAST_MAILBOX=str(place(home)),
            HOLDFAST_INCARNATION=str(incarnation + 1),
        )
    )
    replies = received(home)
    assert sorted(reply["in_reply_to"] for reply in replies) == sorted(f"m{number}" for number in range(sent))
    assert [reply["seq"] for reply in replies] == sorted(reply["seq"] for reply in replies)


def test_a_worker_told_to_end_does(home: Home) -> None:
    send(home, 1)
    process = worker(home, HOLDFAST_MAILBOX=str(place(home)))
    eventually("an answer", lambda: received(home))
    process.send_signal(signal.SIGTERM)
    finish(process)


@pytest.fixture
def serving(home: Home, daemons: list[Daemon]) -> Daemon:
    daemons.append(daemon := home.serve())
    return daemon


def test_mailboxes_over_http_are_those_of_the_command_line(home: Home, serving: Daemon) -> None:
    assert serving.json("/api/mailboxes") == {"mailboxes": []}
    receipt = send(home, {"n": 1})
    send(home, 2, to="other/s")
    send(home, 3, "--after", "2999-01-01T00:00:00Z")
    finish(worker(home, str(place(home)), "--until-idle"))

    listed = home.json_lines("mailbox", "list")
    assert [row["mailbox"] for row in listed] == ["other/s", MAILBOX]
    assert serving.json("/api/mailboxes")["mailboxes"] == listed
    assert serving.json("/api/mailboxes?agent=other")["mailboxes"] == listed[:1]
    one = serving.json(f"/api/mailboxes/{MAILBOX}")
    assert one["mailbox"] == listed[1]
    assert one == json.loads(home.run("mailbox", "show", MAILBOX, "--json").stdout)
    first = serving.json(f"/api/mailboxes/{MAILBOX}?limit=1")
    assert [message["id"] for message in first["messages"]] == [receipt["id"]]
    rest = serving.json(f"/api/mailboxes/{MAILBOX}?after={first['next']}")
    assert [message["content"] for message in rest["messages"]] == [3] and "next" not in rest
    done = serving.json(f"/api/mailboxes/{MAILBOX}?status=completed,dead")
    assert [message["content"] for message in done["messages"]] == [{"n": 1}]
    assert serving.json(f"/api/mailboxes/{MAILBOX}/outbound")["messages"] == received(home)
    assert serving.json(f"/api/mailboxes/{MAILBOX}/dead-letters") == {"dead_letters": []}


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/mailboxes/no/such", 404, "notFound"),
        ("/api/mailboxes/no/such/outbound", 404, "notFound"),
        ("/api/mailboxes/%2e%2e/s", 400, "invalid"),
        ("/api/mailboxes/a%2fb/s", 400, "invalid"),
        ("/api/mailboxes?limit=1", 400, "bad_request"),
        (f"/api/mailboxes/{MAILBOX}?status=lost", 400, "bad_request"),
        (f"/api/mailboxes/{MAILBOX}?limit=0", 400, "bad_request"),
        (f"/api/mailboxes/{MAILBOX}?after=x", 400, "bad_request"),
        (f"/api/mailboxes/{MAILBOX}/outbound?status=all", 400, "bad_request"),
        (f"/api/mailboxes/{MAILBOX}/dead-letters?limit=1", 400, "bad_request"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    home: Home, serving: Daemon, path: str, status: int, code: str
) -> None:
    got, headers, body = serving.get(path)
    assert (got, headers["Content-Type"]) == (status, "application/json")
    error = json.loads(body)["error"]
    assert error["code"] == code and error["message"].endswith(".")
    assert not (home.path / "mailboxes").exists()


def test_a_foreign_page_sees_no_mailboxes_G06(home: Home, serving: Daemon) -> None:
    send(home, "secret")
    for headers in ({"Origin": "https://elsewhere.example"}, {"Host": "elsewhere.example"}):
        status, _, body = serving.get("/api/mailboxes", **headers)
        assert status == 403 and b"writer" not in body
