# SPDX-License-Identifier: Apache-2.0
"""`holdfast supervise` as its users start it, and workers for it that use nothing but sqlite3."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from program import PATIENCE, Home, eventually

# Answers each message once, in one transaction with the end of the work on it. The answer to ID is re-ID.
ANSWERING = """
import os, sqlite3, time
box, number = os.environ["HOLDFAST_MAILBOX"], int(os.environ["HOLDFAST_INCARNATION"])
inbound = sqlite3.connect(f"file:{box}/inbound.db?mode=ro", uri=True, timeout=60, isolation_level=None)
outbound = sqlite3.connect(f"{box}/outbound.db", timeout=60, isolation_level=None)
while True:
    with open(f"{box}/heartbeat", "a"):
        os.utime(f"{box}/heartbeat")
    found = inbound.execute(
        "SELECT id, tries, content FROM messages_in WHERE status = 'pending' AND process_after <= ?"
        " AND after_incarnation < ? ORDER BY seq LIMIT 20", [time.time_ns() // 1_000_000, number]).fetchall()
    for message, tries, content in found:
        outbound.execute(
            "INSERT INTO processing(message, try, incarnation, worker) VALUES (?, ?, ?, 'python')",
            [message, tries, number])
        if outbound.execute("SELECT changes()").fetchone()[0] != 1:
            continue
        outbound.execute("BEGIN IMMEDIATE")
        outbound.execute(
            "INSERT INTO messages_out(id, kind, content, in_reply_to) VALUES (?, 'reply', ?, ?)",
            ["re-" + message, content, message])
        # The work, where it is most inconvenient to be killed.
        time.sleep(float(os.environ.get("WORK_SECONDS", "0")))
        outbound.execute(
            "UPDATE processing SET status = 'completed' WHERE message = ? AND try = ? AND incarnation = ?",
            [message, tries, number])
        outbound.execute("COMMIT")
    time.sleep(0.02)
"""

# The first one changes what was there, spills pages of it, and stays; those after it answer.
SPILLING = (
    """
import os, signal, sqlite3, pathlib
box, number = os.environ["HOLDFAST_MAILBOX"], int(os.environ["HOLDFAST_INCARNATION"])
if number == 1:
    outbound = sqlite3.connect(f"{box}/outbound.db", timeout=60, isolation_level=None)
    outbound.execute("PRAGMA cache_size = 2")
    outbound.execute("BEGIN IMMEDIATE")
    for index in range(400):
        outbound.execute(
            "INSERT INTO messages_out(id, kind, content) VALUES (?, 'x', ?)",
            [f"half-{index}", '"' + "x" * 2000 + '"'])
    pathlib.Path(box, "spilled").touch()
    while True:
        signal.pause()
"""
    + ANSWERING
)


class Supervise:
    """A running `holdfast supervise`, and what it told."""

    def __init__(self, home: Home, config: Path, *arguments: str, **environment: str) -> None:
        self.home = home
        self.events: list[dict] = []
        self.errors: list[str] = []
        self.process = subprocess.Popen(
            home.command("supervise", str(config), "--json", *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=home.environment() | environment,
        )
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self._event), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors.append), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    @staticmethod
    def _read(stream, take) -> None:
        for line in stream:
            take(line.rstrip("\n"))
        stream.close()

    def _event(self, line: str) -> None:
        # A host that was killed may have been writing.
        with contextlib.suppress(json.JSONDecodeError):
            self.events.append(json.loads(line))

    def of(self, name: str, mailbox: str | None = None) -> list[dict]:
        return [
            event
            for event in list(self.events)
            if event["event"] == name and mailbox in (None, event["mailbox"])
        ]

    def wait_for(self, name: str, mailbox: str, count: int = 1) -> dict:
        def look() -> list[dict]:
            assert self.process.poll() is None, f"the supervisor ended: {self.errors[-20:]}"
            return self.of(name, mailbox)[count - 1 :]

        return eventually(f"{name} of {mailbox}, {count} times", look)[0]

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self._end()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self._end()

    def _end(self) -> int:
        code = self.process.wait(timeout=PATIENCE)
        for reader in self._readers:
            reader.join(timeout=PATIENCE)
        return code


def configure(home: Home, **sections: object) -> Path:
    """A file of workers; JSON is YAML."""
    path = home.user / "workers.yaml"
    path.write_text(json.dumps(sections), encoding="utf-8")
    return path


def python_worker(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def mailbox(home: Home, address: str) -> Path:
    return home.path / "mailboxes" / address


def send(home: Home, address: str, content: object, *arguments: str) -> dict:
    return home.json_lines("mailbox", "send", address, "--content", json.dumps(content), *arguments)[0]


def replies(home: Home, address: str) -> list[dict]:
    return home.json_lines("mailbox", "receive", address)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


def poll(home: Home, address: str) -> int:
    """How many messages the worker's file has, as a host that only reads sees it."""
    place = mailbox(home, address) / "outbound.db"
    with contextlib.closing(
        sqlite3.connect(f"file:{place}?mode=ro", uri=True, timeout=PATIENCE)
    ) as connection:
        return connection.execute("SELECT count(*) FROM messages_out").fetchone()[0]


@contextlib.contextmanager
def supervise(home: Home, config: Path, *arguments: str) -> Iterator[Supervise]:
    running = Supervise(home, config, *arguments)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            assert running.stop() == 0, running.errors[-20:]


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
