# SPDX-License-Identifier: Apache-2.0
"""Workers that are run and watched: started for mail, ended, recovered after, and never left alone."""

from __future__ import annotations

import contextlib
import json
import sqlite3

import pytest

from program import Home, eventually
from raw_http import ask
from supervising import (
    ANSWERING,
    SPILLING,
    Supervise,
    configure,
    is_alive,
    kill,
    mailbox,
    poll,
    python_worker,
    replies,
    send,
    supervise,
)


def test_mail_starts_a_worker_and_its_answer_comes_back(home: Home) -> None:
    config = configure(home, workers={"writer/*": {"command": python_worker(ANSWERING)}})
    with supervise(home, config) as running:
        sent = send(home, "writer/one", {"text": "hello"})
        started = running.wait_for("started", "writer/one")
        assert started["incarnation"] == 1 and is_alive(started["pid"])
        [reply] = eventually("an answer", lambda: replies(home, "writer/one"))
        assert reply["in_reply_to"] == sent["id"] and reply["content"] == {"text": "hello"}
    # The host's end is the worker's.
    assert not is_alive(started["pid"])
    ended = running.of("ended")[-1]
    assert (ended["reason"], ended["exit"]) == ("host stops", "signal 15")


def test_a_stop_outlives_its_host(home: Home) -> None:
    config = configure(home, workers={"a/b": {"command": python_worker(ANSWERING), "start": "always"}})
    with supervise(home, config) as running:
        pid = running.wait_for("started", "a/b")["pid"]
        [answer] = home.json_lines("supervise", str(config), "--stop", "a/b")
        assert answer == {"mailbox": "a/b", "wanted": "stop"}
        assert running.wait_for("ended", "a/b")["reason"] == "stop wanted"
        assert not is_alive(pid)
    send(home, "a/b", 1)
    with supervise(home, config) as running:
        home.run("supervise", str(config), "--start", "a/b")
        # Its number tells that there was none in between.
        assert running.wait_for("started", "a/b")["incarnation"] == 2
        eventually("an answer", lambda: replies(home, "a/b"))


@pytest.mark.parametrize("way", ["worker killed", "host killed", "both killed"])
def test_what_a_dead_worker_left_half_done_is_undone_C01_E07(home: Home, way: str) -> None:
    worker = {"command": python_worker(SPILLING), "journal": "rollback", "stop_grace_seconds": 1}
    config = configure(home, workers={"a/b": worker})
    first = Supervise(home, config)
    # Whoever makes a mailbox decides on its journals.
    eventually("the mailbox is made", (mailbox(home, "a/b") / "worker.lock").exists)
    send(home, "a/b", "hello")
    pid = first.wait_for("started", "a/b")["pid"]
    eventually("pages are spilled", (mailbox(home, "a/b") / "spilled").exists)
    journal = mailbox(home, "a/b") / "outbound.db-journal"
    hot = journal.read_bytes()
    assert hot[:8] == bytes.fromhex("d9d505f920a163d7")
    if way == "worker killed":
        kill(pid)
        running = first
    else:
        first.kill()
        assert is_alive(pid)
        assert journal.read_bytes() == hot
        if way == "both killed":
            kill(pid)
            eventually("it is gone", lambda: not is_alive(pid))
        running = Supervise(home, config)
    try:
        assert running.wait_for("recovered", "a/b")["pages"] > 0
        assert running.wait_for("started", "a/b", 2 if way == "worker killed" else 1)["incarnation"] == 2
        assert not is_alive(pid)
        [reply] = eventually("an answer", lambda: replies(home, "a/b"))
        assert reply["content"] == "hello"
        assert poll(home, "a/b") == 1
        names = [event["event"] for event in running.events if event["event"] != "pausing"]
        assert names.index("recovered") < len(names) - 1 - names[::-1].index("started")
    finally:
        assert running.stop() == 0


def test_two_hosts_do_not_watch_over_one_worker_B14(home: Home) -> None:
    config = configure(home, workers={"a/b": {"command": python_worker(ANSWERING), "start": "always"}})
    with supervise(home, config) as first:
        first.wait_for("started", "a/b")
        with supervise(home, config) as second:
            trouble = second.wait_for("troubled", "a/b")
            assert f"process {first.process.pid}" in trouble["message"]
            assert second.of("started") == []
            first.kill()
            # It takes over, the first one's worker included.
            assert second.wait_for("started", "a/b")["incarnation"] == 2


def test_serve_watches_over_the_workers_of_its_configuration(home: Home) -> None:
    worker = {"command": python_worker(ANSWERING), "start": "always"}
    home.configure(supervise={"workers": {"a/b": worker}})
    daemon = home.serve()
    try:
        send(home, "a/b", 7)
        [reply] = eventually("an answer", lambda: replies(home, "a/b"))
        assert reply["content"] == 7
    finally:
        assert daemon.stop() == 0
    [found] = home.json_lines("mailbox", "list")
    assert found["worker"] == "stopped"


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "is empty"),
        ("workers: {a/b: {}}", "workers.a/b needs its command"),
        ("workers: {a/b: {comand: [x]}}", "line 1: “comand” is not known in workers.a/b"),
        ("workers: {../b: {command: [x]}}", "“..” cannot be the name of a mailbox's agent"),
    ],
)
def test_a_configuration_that_is_wrong_is_refused_in_a_sentence(home: Home, text: str, sentence: str) -> None:
    config = home.user / "w.yaml"
    config.write_text(text)
    result = home.run("supervise", str(config), check=False)
    assert result.returncode == 78
    assert sentence in result.stderr and result.stderr.count("\n") == 1
    home.configure(supervise=json.loads("{}"))
    assert home.run("serve", "--port", "0", check=False).returncode == 78


def test_a_missing_file_and_an_unknown_worker_are_told(home: Home) -> None:
    assert home.run("supervise", "nowhere.yaml", check=False).returncode == 66
    config = configure(home, workers={"a/b": {"command": ["true"]}})
    assert home.run("supervise", str(config), "--stop", "a/c", check=False).returncode == 66
    assert home.run("supervise", str(config), "--stop", "a", check=False).returncode == 65


def test_a_worker_that_cannot_run_costs_the_others_nothing_E03(home: Home) -> None:
    config = configure(
        home,
        defaults={"start": "always", "first_pause_seconds": 0.1},
        workers={"a/bad": {"command": ["/nowhere/worker"]}, "a/good": {"command": python_worker(ANSWERING)}},
    )
    with supervise(home, config) as running:
        ended = running.wait_for("ended", "a/bad", 2)
        assert ended["exit"].startswith("not started: ")
        send(home, "a/good", 1)
        eventually("an answer", lambda: replies(home, "a/good"))
        assert running.of("pausing", "a/good") == []


def test_a_worker_is_stopped_and_started_over_http_and_by_no_other_site(home: Home) -> None:
    worker = {"command": python_worker(ANSWERING), "start": "always"}
    home.configure(supervise={"workers": {"a/b": worker}})
    send(home, "a/b", 1)
    daemon = home.serve()

    def state() -> str:
        return daemon.json("/api/mailboxes/a/b")["mailbox"]["worker"]

    def post(wanted: str, *headers: tuple[str, str], box: str = "a/b") -> tuple[int, dict]:
        answer = ask(daemon.url, "POST", f"/api/mailboxes/{box}/worker?wanted={wanted}", headers)
        return answer.status, json.loads(answer.body)

    try:
        eventually("it runs", lambda: state() == "running")
        assert post("stop", ("Origin", "https://elsewhere.example"))[0] == 403
        assert post("stop") == (200, {"mailbox": "a/b", "wanted": "stop"})
        eventually("it has ended", lambda: state() == "stopped")
        assert post("maybe")[0] == 400 and post("run", box="no/body")[0] == 404
        assert post("run") == (200, {"mailbox": "a/b", "wanted": "run"})
        eventually("it runs again", lambda: state() == "running")
        eventually("it has answered", lambda: daemon.json("/api/mailboxes/a/b/deliveries")["deliveries"])
        [waiting] = daemon.json("/api/mailboxes/a/b/deliveries")["deliveries"]
        assert (waiting["kind"], waiting["status"], waiting["attempts"]) == ("reply", "pending", 0)
    finally:
        assert daemon.stop() == 0


def test_runs_of_schedules_are_told(home: Home) -> None:
    config = configure(home, workers={"a/b": {"command": python_worker(ANSWERING)}})
    home.run("mailbox", "schedule", "add", "a/b", "tick", "--cron", "* * * * *", "--content", "1")
    with contextlib.closing(sqlite3.connect(mailbox(home, "a/b") / "inbound.db")) as connection, connection:
        connection.execute("UPDATE schedules SET next_run = 60000 * (CAST(strftime('%s') AS INTEGER) / 60)")
    with supervise(home, config) as running:
        [sent] = running.wait_for("scheduled", "a/b")["messages"]
        assert sent.startswith("tick@")
