# SPDX-License-Identifier: Apache-2.0
"""A steady load while the database is locked, its disk is full and the daemon is killed, in turn: every
request leaves one row, and neither memory nor descriptors grow."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from foreign import disk_of
from program import PATIENCE, Daemon, Home, eventually
from soak_load import Load, kind_of, upstream

# What each kind of request leaves, where nothing disturbed it.
OUTCOMES = {
    "stream": ("done", "complete", 200),
    "body": ("done", "complete", 200),
    "chat": ("done", "complete", 200),
    "limited": ("done", "upstream_error", 429),
    "failing": ("done", "upstream_error", 500),
    "leaving": ("left", "client_left", 200),
    "dying": ("broken", "upstream_died", 200),
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with disk_of(1024, tmp_path / "disk") as disk:
        yield disk


@dataclass
class Sample:
    at: float
    resident: int
    descriptors: int


class Watch:
    """What a daemon uses, looked at every half second."""

    def __init__(self) -> None:
        self.lives: list[list[Sample]] = []

    def look(self, pid: int) -> None:
        with contextlib.suppress(OSError):
            resident = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            descriptors = len(list(Path(f"/proc/{pid}/fd").iterdir()))
            self.lives[-1].append(Sample(time.monotonic(), resident, descriptors))

    def report(self) -> list[str]:
        return [
            f"life {index + 1} of {life[-1].at - life[0].at:.0f} s: resident "
            f"{early // 1_000_000} → {late // 1_000_000} MB, descriptors {first} → {last}"
            for index, life in enumerate(self.lives)
            if len(life) >= 8
            for early, late, first, last in [self.halves(life)]
        ]

    @staticmethod
    def halves(life: list[Sample]) -> tuple[int, int, int, int]:
        """The most in the first and in the second half of a life, its first tenth left out: it warms up."""
        rest = life[len(life) // 10 :]
        early, late = rest[: len(rest) // 2], rest[len(rest) // 2 :]
        return (
            max(sample.resident for sample in early),
            max(sample.resident for sample in late),
            max(sample.descriptors for sample in early),
            max(sample.descriptors for sample in late),
        )


class Faults:
    """What happens to the daemon's database while it serves."""

    def __init__(self, home: Home, disk: Path, daemons: list[Daemon], load: Load, watch: Watch) -> None:
        self.home, self.disk, self.daemons, self.load, self.watch = home, disk, daemons, load, watch
        self.done: Counter[str] = Counter()

    async def rest(self, seconds: float) -> None:
        """Time passes, and the daemon is looked at."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.watch.look(self.daemons[-1].pid)
            await asyncio.sleep(0.5)

    async def lock(self, seconds: float) -> None:
        def begin() -> sqlite3.Connection:
            connection = sqlite3.connect(
                self.home.usage_db, timeout=PATIENCE, isolation_level=None, check_same_thread=False
            )
            connection.execute("BEGIN EXCLUSIVE")
            return connection

        connection = await asyncio.to_thread(begin)
        await self.rest(seconds)
        connection.execute("ROLLBACK")
        connection.close()
        self.done["locked"] += 1

    async def fill(self, seconds: float) -> None:
        ballast = self.disk / "ballast"
        with ballast.open("wb", buffering=0) as file:
            size, piece = 0, 16 << 20
            while piece >= 4096:
                try:
                    os.posix_fallocate(file.fileno(), size, piece)
                    size += piece
                except OSError:
                    piece //= 2
        await self.rest(seconds)
        ballast.unlink()
        self.done["full"] += 1

    async def kill(self) -> None:
        refused = (await asyncio.to_thread(self.daemons[-1].json, "/api/status"))["spool"]["refused"]
        assert refused == 0, "rows were refused"
        self.load.generation += 1
        self.daemons[-1].kill()
        self.watch.lives.append([])
        self.daemons.append(await asyncio.to_thread(self.home.serve, "--port", str(self.load.port)))
        self.load.generation += 1
        self.done["killed"] += 1

    async def run(self, seconds: float, cycle: float, kill_every: int) -> None:
        """Locked for a sixth of each cycle, full for a sixth, and killed at the end of every so many."""
        for turn in range(1, round(seconds / cycle) + 1):
            await self.rest(cycle / 6)
            await self.lock(cycle / 6)
            await self.rest(cycle / 6)
            await self.fill(cycle / 6)
            await self.rest(cycle / 6)
            if turn % kill_every == 0:
                await self.kill()
            await self.rest(cycle / 6)
        self.load.isStopping = True


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return free.getsockname()[1]


def soak(
    disk: Path, daemons: list[Daemon], rate: float, seconds: float, cycle: float, kill_every: int
) -> tuple[Load, Watch, list[str]]:
    home = Home(disk / "user")
    load, watch = Load(port=free_port(), rate=rate), Watch()
    with upstream() as url:
        home.configure(
            providers={
                "anthropic": {"kind": "anthropic", "base_url": url, "enabled": False},
                "openai": {"kind": "openai", "base_url": f"{url}/v1", "enabled": False},
            },
            backup="never",
        )
        daemons.append(home.serve("--port", str(load.port)))
        watch.lives.append([])
        faults = Faults(home, disk, daemons, load, watch)

        async def both() -> None:
            await asyncio.gather(load.run(), faults.run(seconds, cycle, kill_every))

        asyncio.run(both())
        status = eventually(
            "all rows have landed",
            lambda: (status := daemons[-1].json("/api/status"))["spool"]["depth"] == 0 and status,
        )
        assert status["spool"]["refused"] == 0
        assert daemons[-1].terminate() == 0

    told = [
        f"{load.number} requests in {seconds:.0f} s, {load.late['not sent']} not sent for lack of a client, "
        f"{load.late['refused']} met nobody listening; faults {dict(faults.done)}; "
        f"ends {dict(Counter(load.ends.values()))}, {len(load.disturbed)} disturbed by a kill",
        *watch.report(),
    ]
    print("\n" + "\n".join(told))
    check(home, load)
    return load, watch, told


def check(home: Home, load: Load) -> None:
    """Every request has one row that says what became of it."""
    with contextlib.closing(sqlite3.connect(home.usage_db, timeout=PATIENCE)) as connection:
        rows: dict[int, tuple[str, int]] = {}
        unnamed = 0
        for request, outcome, status in connection.execute("SELECT request_id, outcome, status FROM usage"):
            if request is None:
                unnamed += 1
                continue
            number = int(request.removeprefix("req_"))
            assert number not in rows, f"request {number} has two rows"
            rows[number] = (outcome, status)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        hourly = connection.execute(
            "SELECT sum(requests) FROM usage_hourly WHERE dimension = 'model'"
        ).fetchone()[0]
        assert hourly == len(rows) + unnamed
    assert not [number for number, end in load.ends.items() if end == "hung"]
    wrong = []
    for number, end in load.ends.items():
        expected = OUTCOMES[kind_of(number)]
        if number in load.disturbed:
            continue
        if end != expected[0] or rows.get(number) != expected[1:]:
            wrong.append((number, kind_of(number), end, rows.get(number)))
    assert not wrong, f"{len(wrong)} of {len(load.ends)}: {wrong[:10]}"
    # Without a name are only those whose upstream had not answered when they were disturbed.
    assert unnamed <= len(load.disturbed)
    assert len(rows) + unnamed <= len(load.ends)


def test_a_steady_load_through_locks_a_full_disk_and_a_kill_leaves_one_row_each_G05_G08(
    disk: Path, daemons: list[Daemon]
) -> None:
    load, _, _ = soak(disk, daemons, rate=100, seconds=18, cycle=9, kill_every=1)
    assert len(load.ends) > 500


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_twenty_minutes_at_300_a_second_with_flat_memory_and_descriptors_G05_G08(
    disk: Path, daemons: list[Daemon], record_property
) -> None:
    seconds = float(os.environ.get("HOLDFAST_SOAK_SECONDS", "1200"))
    load, watch, told = soak(disk, daemons, rate=300, seconds=seconds, cycle=60, kill_every=5)
    record_property("soak", "; ".join(told))
    assert len(load.ends) >= 0.95 * 300 * seconds, "the load was not what it should have been"
    for life in watch.lives:
        if life and life[-1].at - life[0].at >= 120:
            early, late, first, last = Watch.halves(life)
            assert late <= early * 1.15 + (8 << 20), f"memory grew from {early} to {late} bytes"
            assert last <= first + 16, f"descriptors grew from {first} to {last}"
