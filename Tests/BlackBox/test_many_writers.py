# SPDX-License-Identifier: Apache-2.0
"""Many processes of ours and of others write one usage.db at the same time."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import threading
import time
from collections import Counter

import pytest

from foreign import connected, integrity, shell
from program import Home, eventually

BATCH = 50


class Recorder(threading.Thread):
    """Runs `usage record` processes one after the other until told to stop, each fed a few hundred rows in
    batches; keeps the uids that were acknowledged."""

    def __init__(self, home: Home, number: int, stop: threading.Event) -> None:
        super().__init__()
        self.home, self.number, self.stop = home, number, stop
        self.sent = 0
        self.processes = 0
        self.acknowledged: list[str] = []
        self.errors: list[str] = []

    def run(self) -> None:
        try:
            while not self.stop.is_set():
                self.one_process()
        except BaseException as error:
            self.errors.append(repr(error))

    def one_process(self) -> None:
        self.processes += 1
        process = subprocess.Popen(
            self.home.command("usage", "record", "--jsonl", "-", "--json"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.home.environment(),
        )
        for _ in range(20):
            if self.stop.is_set():
                break
            for _ in range(BATCH):
                row = {
                    "uid": f"recorder-{self.number}-{self.sent}",
                    "provider": "fake",
                    "model": "fake-many",
                    "source": f"recorder-{self.number}",
                    "input_tokens": 3,
                    "output_tokens": 2,
                }
                self.sent += 1
                process.stdin.write(json.dumps(row) + "\n")
            process.stdin.flush()
            for _ in range(BATCH):
                answer = json.loads(process.stdout.readline())
                if "uid" in answer:
                    self.acknowledged.append(answer["uid"])
                else:
                    self.errors.append(answer["error"])
        rest, said = process.communicate(timeout=120)
        if rest or said or process.returncode != 0:
            self.errors.append(f"exit {process.returncode}: {rest}{said}")


class Writer(threading.Thread):
    """A Python program's transactions in the same file: a usage row, as the schema's documentation says, and
    one in a table of its own."""

    def __init__(self, home: Home, number: int, stop: threading.Event) -> None:
        super().__init__()
        self.home, self.table, self.stop = home, f"foreign_{number}", stop
        self.committed = 0
        self.errors: list[str] = []

    def run(self) -> None:
        try:
            with connected(self.home.usage_db) as connection:
                connection.execute(f"CREATE TABLE {self.table}(n INTEGER PRIMARY KEY, text TEXT NOT NULL)")
                while not self.stop.is_set():
                    connection.execute("BEGIN IMMEDIATE")
                    connection.execute(f"INSERT INTO {self.table} VALUES (?, ?)", (self.committed, "x" * 200))
                    connection.execute(
                        "INSERT INTO usage(provider, model, source, input_tokens, output_tokens)"
                        " VALUES ('fake', 'fake-foreign', ?, 7, 1)",
                        [self.table],
                    )
                    connection.execute("COMMIT")
                    self.committed += 1
        except sqlite3.Error as error:
            self.errors.append(repr(error))


class Reader(threading.Thread):
    """The sqlite3 shell and a Python program that look all the time."""

    def __init__(self, home: Home, stop: threading.Event) -> None:
        super().__init__()
        self.home, self.stop = home, stop
        self.looks = 0
        self.errors: list[str] = []

    def run(self) -> None:
        try:
            last = 0
            while not self.stop.is_set():
                seen = int(shell(self.home.usage_db, "SELECT count(*) FROM usage"))
                with connected(self.home.usage_db) as connection:
                    (again,) = connection.execute("SELECT count(*) FROM usage").fetchone()
                assert last <= seen <= again, "rows went away"
                last = again
                self.looks += 1
        except (AssertionError, sqlite3.Error, ValueError) as error:
            self.errors.append(repr(error))


def write_together(home: Home, seconds: float) -> str:
    """Lets everyone write for so long, checks what is there, and says how much it was."""
    seed = {"uid": "seed", "provider": "fake", "model": "fake-seed", "input_tokens": 1, "output_tokens": 1}
    home.run("usage", "record", "--jsonl", "-", stdin=json.dumps(seed))
    eventually("the database is there", lambda: "fake-seed" in home.report())

    stop = threading.Event()
    recorders = [Recorder(home, number, stop) for number in range(8)]
    writers = [Writer(home, number, stop) for number in range(2)]
    everyone = [*recorders, *writers, Reader(home, stop)]
    for thread in everyone:
        thread.start()
    time.sleep(seconds)
    stop.set()
    for thread in everyone:
        thread.join(timeout=180)
        assert not thread.is_alive()

    assert [error for thread in everyone for error in thread.errors] == []
    acknowledged = [uid for recorder in recorders for uid in recorder.acknowledged]
    assert len(acknowledged) == sum(recorder.sent for recorder in recorders)
    assert all(recorder.processes > 1 for recorder in recorders)
    assert all(writer.committed > 0 for writer in writers)
    eventually(
        "every accepted row is reported",
        lambda: home.report().get("fake-many", {}).get("requests", 0) >= len(acknowledged),
    )

    with connected(home.usage_db) as connection:
        stored = Counter(
            uid for (uid,) in connection.execute("SELECT uid FROM usage WHERE model = 'fake-many'")
        )
        for writer in writers:
            (count,) = connection.execute(f"SELECT count(*) FROM {writer.table}").fetchone()
            assert count == writer.committed
        (sums,) = connection.execute(
            "SELECT sum(requests) FROM usage_hourly WHERE dimension = 'model' AND key LIKE 'fake-%'"
        ).fetchone()
        (rows,) = connection.execute("SELECT count(*) FROM usage").fetchone()
        assert sums == rows, "the hourly sums and the rows disagree"
    assert stored == Counter(acknowledged), "an accepted row is missing or doubled"
    for writer in writers:
        assert home.report("source")[writer.table]["requests"] == writer.committed
    assert integrity(home.usage_db) == "ok"
    return (
        f"{len(acknowledged)} rows by {sum(recorder.processes for recorder in recorders)} processes, "
        f"{[writer.committed for writer in writers]} foreign transactions, {everyone[-1].looks} foreign looks"
    )


def test_eight_processes_and_two_foreign_writers_lose_nothing_A02_B05(home: Home, record_property) -> None:
    record_property("in 20 s", write_together(home, 20))


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_eight_processes_and_two_foreign_writers_lose_nothing_for_long_A02_B05(
    home: Home, record_property
) -> None:
    record_property("in 20 min", write_together(home, 20 * 60))


@pytest.mark.parametrize("round_", range(5))
def test_eight_processes_open_one_new_home_at_once_A05(home: Home, round_: int) -> None:
    rows = [
        {"uid": f"{number}", "provider": "fake", "model": "fake-new", "input_tokens": 1, "output_tokens": 1}
        for number in range(8)
    ]
    processes = [
        subprocess.Popen(
            home.command("usage", "record", "--jsonl", "-", "--json"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=home.environment(),
        )
        for _ in rows
    ]
    for process, row in zip(processes, rows, strict=True):
        process.stdin.write(json.dumps(row) + "\n")
        process.stdin.flush()
    for process, row in zip(processes, rows, strict=True):
        printed, said = process.communicate(timeout=120)
        assert (process.returncode, said) == (0, "")
        assert [json.loads(line)["uid"] for line in printed.splitlines()] == [row["uid"]]
    eventually("all eight rows", lambda: home.report().get("fake-new", {}).get("requests") == 8)
    assert integrity(home.usage_db) == "ok"


def test_a_killed_recorder_loses_no_acknowledged_row_A08(home: Home) -> None:
    """Acknowledged means in the spool: a process killed before it could write leaves its rows to the next."""
    acknowledged = []
    for round_ in range(5):
        process = subprocess.Popen(
            home.command("usage", "record", "--jsonl", "-", "--json"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=home.environment(),
        )
        for number in range(40):
            row = {
                "uid": f"{round_}-{number}",
                "provider": "fake",
                "model": "fake-killed",
                "input_tokens": 1,
                "output_tokens": 1,
            }
            process.stdin.write(json.dumps(row) + "\n")
            process.stdin.flush()
            acknowledged.append(json.loads(process.stdout.readline())["uid"])
        os.kill(process.pid, 9)
        process.communicate()
    seed = {"provider": "fake", "model": "fake-next", "input_tokens": 1, "output_tokens": 1}
    home.run("usage", "record", "--jsonl", "-", stdin=json.dumps(seed))
    eventually("the orphans' rows", lambda: home.report().get("fake-killed", {}).get("requests") == 200)
    with connected(home.usage_db) as connection:
        stored = [uid for (uid,) in connection.execute("SELECT uid FROM usage WHERE model = 'fake-killed'")]
    assert sorted(stored) == sorted(acknowledged)
