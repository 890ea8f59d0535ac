# SPDX-License-Identifier: Apache-2.0
"""Twenty workers in two languages exchange messages while they and their host are killed at random moments.

Every message is answered and every answer delivered to a webhook, in its session's order and at least once,
whoever died when; what comes again bears the key it bore before. Nobody waits for the session whose worker
holds its file, nor for the one whose receiver never answers; and no poll that met a dying worker says a word.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import random
import re
import sqlite3
import threading
import time
from collections import defaultdict
from pathlib import Path

import pytest

from program import PATIENCE, PROGRAM, Home, eventually
from supervising import ANSWERING, Supervise, configure, is_alive, kill, mailbox, python_worker, send

PEER = PROGRAM.with_name("HoldfastTestPeer")

# Says one thing and then sits on its file for ever, with its heart beating.
HOLDING = """
import os, sqlite3, time
box, number = os.environ["HOLDFAST_MAILBOX"], os.environ["HOLDFAST_INCARNATION"]
outbound = sqlite3.connect(f"{box}/outbound.db", timeout=60, isolation_level=None)
outbound.execute("INSERT INTO messages_out(id, kind, content) VALUES ('said-' || ?, 'note', 1)", [number])
outbound.execute("BEGIN EXCLUSIVE")
while True:
    with open(f"{box}/heartbeat", "a"):
        os.utime(f"{box}/heartbeat")
    time.sleep(0.1)
"""

HOLDER = "stuck/holder"
DEAF = "stuck/deaf"


def exchanging() -> dict[str, dict]:
    """Ten in Swift and ten in Python, half of each with a rollback journal and half with a WAL."""
    assert PEER.exists(), f"{PEER} does not exist; build the whole package"
    swift = {"command": [str(PEER), "worker", "exchange"]}
    python = {"command": python_worker(ANSWERING)}
    return {
        f"{language}/{journal}-{number}": worker | {"journal": journal}
        for language, worker in (("swift", swift), ("python", python))
        for journal in ("rollback", "automatic")
        for number in range(5)
    }


def fill(home: Home, address: str, count: int) -> None:
    """One message by the tool, which makes the mailbox, and the others as any program may put them there."""
    send(home, address, 0, "--id", f"{address}#0")
    place = mailbox(home, address) / "inbound.db"
    with contextlib.closing(sqlite3.connect(place, timeout=PATIENCE)) as connection, connection:
        connection.executemany(
            # Killed at random it may lose a try more often than one usually grants.
            "INSERT INTO messages_in(id, content, max_tries) VALUES (?, ?, 1000)",
            [(f"{address}#{number}", str(number)) for number in range(1, count)],
        )
        connection.execute("UPDATE messages_in SET max_tries = 1000")


class Receiver:
    """A webhook that refuses some messages for a while, and never answers one of the sessions."""

    def __init__(self) -> None:
        self.received: dict[str, list[dict]] = defaultdict(list)
        self.over = threading.Event()
        self.failures: list[str] = []
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                # Whoever asks may be killed at any time.
                with contextlib.suppress(ConnectionError):
                    message = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                    self.send_response(receiver.take(message, self.headers["Idempotency-Key"]))
                    self.send_header("Content-Length", "0")
                    self.end_headers()

            def log_message(self, *_: object) -> None:
                """Quiet."""

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: object, address: object) -> None:
                """A host that was killed is no failure; all else is told by what was received."""

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/hook"

    def take(self, message: dict, key: str) -> int:
        address = message["mailbox"]
        if address == DEAF:
            self.over.wait(PATIENCE)
            return 503
        if key != message["idempotency_key"]:
            self.failures.append(f"{key} is not the key in {message}")
        # Every fortieth fails at first, before it is taken or after: the sender cannot tell.
        number = message["content"]
        fails = number % 40 == 7 and message["attempt"] == 1
        if not fails or number % 80 == 7:
            self.received[address].append(message)
        return 503 if fails else 200

    def close(self) -> None:
        self.over.set()
        self.server.shutdown()
        self.server.server_close()


class Host:
    """The supervisor, killed and started again; what all of them told."""

    def __init__(self, home: Home, config: Path) -> None:
        self.home, self.config = home, config
        self.past: list[Supervise] = []
        self.now = self._start()

    def _start(self) -> Supervise:
        # Below this is debug only.
        return Supervise(self.home, self.config, HOLDFAST_LOG_LEVEL="info")

    def restart(self) -> None:
        self.now.kill()
        self.past.append(self.now)
        self.now = self._start()

    @property
    def all(self) -> list[Supervise]:
        return [*self.past, self.now]

    def events(self, name: str) -> list[dict]:
        return [event for host in self.all for event in host.of(name)]

    def living(self) -> list[int]:
        """The workers it runs that exchange messages."""
        pids = {event["mailbox"]: event["pid"] for event in self.now.of("started")}
        return [pid for address, pid in pids.items() if address not in (HOLDER, DEAF) and is_alive(pid)]


def disturb(host: Host, kill_every: float, restart_every: float, over: threading.Event, spare: int) -> int:
    """Kills a worker and restarts the host by the clock until told that it is over; how many it killed.

    Workers that are done are not started again, so that when few are left the same ones would be killed each
    time, with ever longer pauses before the next start: no more than `spare` are left in peace.
    """
    kills = 0
    next_restart = time.monotonic() + restart_every
    while not over.wait(kill_every):
        living = host.living()
        if len(living) > spare:
            kill(random.choice(living))
            kills += 1
        if time.monotonic() >= next_restart:
            host.restart()
            eventually("the next host is at work", lambda: host.now.events)
            next_restart = time.monotonic() + restart_every
    return kills


def exchange(
    home: Home, messages: int, kill_every: float, restart_every: float, spare: int, within: float
) -> Host:
    addresses = exchanging()
    receiver = Receiver()
    config = configure(
        home,
        defaults={
            "heartbeat_seconds": 1,
            "first_pause_seconds": 0.1,
            "longest_pause_seconds": 0.5,
            "breaker_ends": 1000000,
            "stop_grace_seconds": 5,
            "environment": {"WORK_SECONDS": "0.1"},
        },
        workers=addresses
        | {
            HOLDER: {"command": python_worker(HOLDING), "start": "always"},
            DEAF: {"command": python_worker(ANSWERING)},
        },
        deliveries={"*": {"webhook": receiver.url, "timeout_seconds": 5}},
    )
    everybody = [*addresses, HOLDER, DEAF]
    host = Host(home, config)
    for address in everybody:
        # Whoever makes a mailbox decides on its journals.
        eventually(f"{address} is made", (mailbox(home, address) / "worker.lock").exists)
    for address in [*addresses, DEAF]:
        fill(home, address, messages)

    def delivered(address: str) -> int:
        place = mailbox(home, address) / "inbound.db"
        with contextlib.closing(sqlite3.connect(place, timeout=PATIENCE)) as connection:
            query = "SELECT count(*) FROM deliveries WHERE status = 'delivered'"
            return connection.execute(query).fetchone()[0]

    over = threading.Event()
    kills: list[int] = []
    killer = threading.Thread(
        target=lambda: kills.append(disturb(host, kill_every, restart_every, over, spare))
    )
    killer.start()
    began = time.monotonic()
    try:
        while True:
            done = {address: delivered(address) for address in addresses}
            if sum(done.values()) == messages * len(addresses) and host.past:
                break
            left = {address: messages - count for address, count in done.items() if count < messages}
            assert time.monotonic() - began < within, f"not delivered: {left}"
            over.wait(0.5)
        took = time.monotonic() - began
    finally:
        over.set()
        killer.join()
        receiver.over.set()
        assert host.now.stop() == 0, host.now.errors[-20:]
        receiver.close()
    assert receiver.failures == []
    # A host that is stopped leaves nobody behind, whichever host had started them.
    assert [event for event in host.events("started") if is_alive(event["pid"])] == []
    again = 0
    for address in addresses:
        came = receiver.received[address]
        first = list({message["id"]: message for message in reversed(came)}.values())[::-1]
        first.sort(key=came.index)
        assert {message["id"] for message in first} == {f"re-{address}#{n}" for n in range(messages)}
        assert all(message["content"] == int(message["id"].rsplit("#", 1)[1]) for message in first)
        # What came again was the same, key and all, and only what came before it had come before.
        for message in came:
            assert message["idempotency_key"] == f"{address}/{message['id']}"
        seqs = [message["seq"] for message in came]
        assert seqs == sorted(seqs), address
        again += len(came) - len(first)
        assert home.json_lines("mailbox", "dead-letters", address) == []
        with contextlib.closing(sqlite3.connect(mailbox(home, address) / "outbound.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            journal = connection.execute("PRAGMA journal_mode").fetchone()[0]
            assert (journal == "delete") == ("rollback" in address), address
    # Those that stood still did so alone. The one on its file was ended with its hosts only.
    assert 1 <= sum(event["mailbox"] == HOLDER for event in host.events("started")) <= len(host.all)
    assert delivered(DEAF) == 0 and receiver.received[DEAF] == []
    # Nothing that passes by itself is worth a word above debug. A worker that holds its file for ever is.
    lines = [line for one in host.all for line in one.errors if HOLDER not in line]
    assert [line for line in lines if re.search(r"\b(warning|error|critical)\b", line)] == []
    assert [line for line in lines if re.search(r"tried again|could not be|failed", line)] == []
    assert kills[0] > 0
    # Each number of a worker was given once.
    for address in everybody:
        numbers = [event["incarnation"] for event in host.events("started") if event["mailbox"] == address]
        assert numbers == sorted(set(numbers)), address
    undone = len(host.events("recovered"))
    print(
        f"{messages * len(addresses)} messages in {took:.0f} s, {again} came again; "
        f"{kills[0]} workers killed, {len(host.past)} hosts, {undone} transactions undone"
    )
    return host


def test_every_message_is_delivered_in_order_whoever_is_killed_C01_E03_E04_E07_E08(home: Home) -> None:
    exchange(home, messages=30, kill_every=0.15, restart_every=6, spare=5, within=250)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_twenty_thousand_messages_are_delivered_whoever_is_killed_C01_E03_E04_E07_E08(home: Home) -> None:
    host = exchange(home, messages=1000, kill_every=1, restart_every=30, spare=0, within=3000)
    # By chance, but of hundreds.
    assert host.events("recovered")
