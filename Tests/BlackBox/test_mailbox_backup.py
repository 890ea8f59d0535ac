# SPDX-License-Identifier: Apache-2.0
"""Mailboxes are backed up beside living workers, and put back whole (C18)."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from pathlib import Path

import pytest

from foreign import integrity
from program import Home, eventually
from supervising import (
    ANSWERING,
    SPILLING,
    configure,
    is_alive,
    kill,
    mailbox,
    python_worker,
    replies,
    send,
    supervise,
)


def summary(home: Home, address: str) -> dict:
    [found] = home.json_lines("mailbox", "list", address)
    return found


@pytest.mark.parametrize("journal", ["automatic", "rollback"])
@pytest.mark.parametrize("options", [(), ("--compress",)])
def test_a_mailbox_is_saved_beside_its_worker_and_put_back_whole_C18(
    home: Home, journal: str, options: tuple[str, ...]
) -> None:
    worker = {"command": python_worker(ANSWERING), "start": "always", "journal": journal}
    config = configure(home, workers={"a/b": worker})
    with supervise(home, config) as running:
        pid = running.wait_for("started", "a/b")["pid"]
        # Whoever makes a mailbox decides on its journals.
        sent = [send(home, "a/b", {"text": f"hello {index}"})["id"] for index in range(5)]
        attached = mailbox(home, "a/b") / "attachments"
        (attached / "below").mkdir()
        (attached / "one.bin").write_bytes(bytes(range(256)) * 300)
        (attached / "below" / "two.txt").write_text("two")
        (attached / "link").symlink_to("/etc/passwd")
        eventually("all are answered", lambda: len(replies(home, "a/b")) == 5)
        eventually("all are done", lambda: summary(home, "a/b")["completed"] == 5)
        home.run("mailbox", "ack", "a/b", f"re-{sent[0]}")

        [made] = home.json_lines("backup", *options)
        suffix = ".db.gz" if options else ".db"
        names = [file["name"] for file in made["files"] if file["name"].startswith("mailboxes/a/b/")]
        assert [Path(name).name.split("-")[0] for name in names] == ["inbound", "outbound", "attachments"]
        assert all(name.endswith(suffix) and (Path(made["path"]) / name).is_file() for name in names)
        assert sorted(path.name for path in (Path(made["path"]) / "mailboxes/a/b").iterdir()) == sorted(
            Path(name).name + tail for name in names for tail in ("", ".json")
        )
        [checked] = home.json_lines("verify")
        assert sorted(file["name"] for file in checked["files"]) == sorted(
            file["name"] for file in made["files"]
        )

        # What is in use is not put back, and a worker is not ended for it.
        refused = home.run("restore", "mailboxes/a/b", check=False)
        assert refused.returncode == 75 and f"process {running.process.pid}" in refused.stderr
        assert is_alive(pid) and len(running.of("started")) == 1 and not running.of("ended")
        late = send(home, "a/b", "late")["id"]
        eventually("it is answered", lambda: len(replies(home, "a/b")) == 5)
        (attached / "one.bin").write_bytes(b"overwritten")
    [restored] = home.json_lines("restore", names[0] if options else "mailboxes/a/b")
    assert [file["name"].split("/")[-1] for file in restored["files"]] == [
        "inbound.db",
        "outbound.db",
        "attachments",
    ]
    for file in ("inbound.db", "outbound.db"):
        assert integrity(mailbox(home, "a/b") / file) == "ok"
    assert (attached / "one.bin").read_bytes() == bytes(range(256)) * 300
    assert (attached / "below" / "two.txt").read_text() == "two"
    assert not (attached / "link").is_symlink()
    [old] = [file["quarantine"] for file in restored["files"] if file["name"].endswith("attachments")]
    assert (Path(old) / "one.bin").read_bytes() == b"overwritten"
    found = summary(home, "a/b")
    assert (found["completed"], found["pending"], found["delivered"], found["undelivered"]) == (5, 0, 1, 4)
    assert {reply["id"] for reply in replies(home, "a/b")} == {f"re-{id}" for id in sent[1:]}
    # The message that is not in the backup is sent again, and its worker has another number.
    assert not send(home, "a/b", "late", "--id", late)["duplicate"]
    with supervise(home, config) as running:
        assert running.wait_for("started", "a/b")["incarnation"] == 2
        eventually("it is answered", lambda: f"re-{late}" in {reply["id"] for reply in replies(home, "a/b")})


def test_a_claim_in_a_backup_is_given_back_and_no_number_is_given_twice_C18(home: Home) -> None:
    send(home, "a/b", 1, "--id", "m")
    with contextlib.closing(sqlite3.connect(mailbox(home, "a/b") / "outbound.db")) as worker, worker:
        worker.execute("INSERT INTO processing(message, try, incarnation) VALUES ('m', 0, 7)")
    home.run("backup")
    home.run("restore", "mailboxes")
    config = configure(home, workers={"a/b": {"command": python_worker(ANSWERING), "start": "always"}})
    with supervise(home, config) as running:
        assert running.wait_for("started", "a/b")["incarnation"] == 8
        eventually("it is answered", lambda: replies(home, "a/b"))


def test_a_message_of_between_the_two_copies_is_worked_on_when_it_is_sent_again_C18(home: Home) -> None:
    config = configure(home, workers={"a/b": {"command": python_worker(ANSWERING), "start": "always"}})
    with supervise(home, config):
        eventually("the mailbox is made", (mailbox(home, "a/b") / "worker.lock").exists)
        send(home, "a/b", 1, "--id", "before")
        eventually("it is answered", lambda: len(replies(home, "a/b")) == 1)
        home.run("backup")
        send(home, "a/b", 2, "--id", "between")
        eventually("it is answered", lambda: len(replies(home, "a/b")) == 2)
        eventually("it is done", lambda: summary(home, "a/b")["completed"] == 2)
        home.run("backup")
    # As if both messages had come while one backup was being made.
    place = home.path / "backups/mailboxes/a/b"
    for old in (sorted(place.glob("outbound-*.db"))[0], sorted(place.glob("inbound-*.db"))[1]):
        old.unlink()
        old.with_name(old.name + ".json").unlink()
    home.run("restore", "mailboxes/a/b")
    assert summary(home, "a/b")["completed"] == 1
    send(home, "a/b", 2, "--id", "between")
    with supervise(home, config):
        eventually("it is done", lambda: summary(home, "a/b")["completed"] == 2)
    assert [reply["id"] for reply in replies(home, "a/b")] == ["re-before", "re-between"]


def test_a_worker_in_mid_transaction_is_left_alone_and_costs_the_others_nothing_C02_C18(home: Home) -> None:
    worker = {"command": python_worker(SPILLING), "journal": "rollback", "stop_grace_seconds": 1}
    config = configure(home, workers={"a/b": worker})
    with supervise(home, config) as running:
        eventually("the mailbox is made", (mailbox(home, "a/b") / "worker.lock").exists)
        send(home, "a/b", "hello")
        send(home, "c/d", "hello")
        pid = running.wait_for("started", "a/b")["pid"]
        eventually("pages are spilled", (mailbox(home, "a/b") / "spilled").exists)
        journal = mailbox(home, "a/b") / "outbound.db-journal"
        hot = journal.read_bytes()
        result = home.run("backup", "--json", check=False)
        assert result.returncode == 75 and "a/b: outbound.db could not be read" in result.stderr
        assert journal.read_bytes() == hot and is_alive(pid)
        saved = [file["name"] for file in json.loads(result.stdout)["files"]]
        assert [name.split("-")[0] for name in saved if "/c/" in name] == [
            "mailboxes/c/d/inbound",
            "mailboxes/c/d/outbound",
        ]
        # Half a copy is none.
        assert home.run("restore", "mailboxes/a/b", check=False).returncode == 66
        kill(pid)
        running.wait_for("started", "a/b", 2)
        eventually("it is answered", lambda: replies(home, "a/b"))
        home.run("backup")


def test_a_changed_backup_of_a_mailbox_is_refused_before_anything_is_put_back_C18(home: Home) -> None:
    send(home, "a/b", "hello")
    [made] = home.json_lines("backup")
    outbound = next(Path(made["path"]) / file["name"] for file in made["files"] if "outbound" in file["name"])
    data = bytearray(outbound.read_bytes())
    data[3000] ^= 1
    outbound.write_bytes(data)
    place = mailbox(home, "a/b")
    before = {
        name: hashlib.sha256((place / name).read_bytes()).digest() for name in ("inbound.db", "outbound.db")
    }
    assert home.run("verify", check=False).returncode == 65
    assert home.run("restore", "mailboxes/a/b", check=False).returncode == 65
    assert before == {name: hashlib.sha256((place / name).read_bytes()).digest() for name in before}
    assert not (place / "quarantine").exists()


def test_old_copies_go_when_asked_and_the_newest_stays_C18(home: Home) -> None:
    send(home, "a/b", "hello")
    for _ in range(3):
        [made] = home.json_lines("backup", "--keep-daily", "1")
    place = Path(made["path"]) / "mailboxes/a/b"
    assert sorted(path.name for path in place.glob("*.db")) == sorted(
        Path(file["name"]).name for file in made["files"]
    )
