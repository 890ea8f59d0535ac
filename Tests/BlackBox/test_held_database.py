# SPDX-License-Identifier: Apache-2.0
"""A database that is locked, gone or damaged is no concern of a request's."""

from __future__ import annotations

import contextlib
import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import providers
from expectations import ANTHROPIC_HEADERS, assert_usage
from fake_upstream import FakeUpstream
from foreign import connected, disk_of, integrity, write_lock_held
from program import Daemon, Home, eventually
from raw_http import Connection, in_parallel
from wire import PLAIN

REQUESTS = 200
HOLD = 30.0


def stream_requests(daemon: Daemon, model: str, count: int = REQUESTS) -> list[float]:
    """So many streamed requests from eight clients; returns how long each took, in seconds."""
    body = json.dumps(PLAIN.request | {"model": model}).encode()
    whole = PLAIN.body(model)

    def one(_: int) -> float:
        begun = time.monotonic()
        with Connection(daemon.url) as connection:
            answer = connection.ask("POST", PLAIN.path, ANTHROPIC_HEADERS, body)
        assert (answer.status, answer.complete, answer.body) == (200, True, whole)
        return time.monotonic() - begun

    return in_parallel(8, count, one)


def describe(latencies: list[float]) -> str:
    of_hundred = statistics.quantiles((latency * 1e3 for latency in latencies), n=100)
    return f"p50 {of_hundred[49]:.1f} ms, p99 {of_hundred[98]:.1f} ms, max {max(latencies) * 1e3:.1f} ms"


def test_no_request_waits_for_a_locked_database_and_all_rows_arrive_A07_A08_G05(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, model: str, record_property
) -> None:
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    free = stream_requests(daemon, f"{model}-free")
    daemon.requests_of(f"{model}-free", REQUESTS)

    with write_lock_held(home.usage_db):
        locked_since = time.monotonic()
        # Every answer is whole before the lock is let go: a request that waited for it would not be.
        held = stream_requests(daemon, f"{model}-held")
        assert f"{model}-held" not in home.report(), "the lock held nobody up; this test shows nothing"
        status = home.json_lines("status")[0]
        assert status["daemon"]["pid"] == daemon.pid
        assert status["spool"]["depth"] >= REQUESTS
        assert daemon.get("/health")[0] == 200
        named = eventually(
            "the status names the holder",
            lambda: [
                finding["message"]
                for finding in home.json_lines("status")[0]["findings"]
                if finding["code"] == "usage-held"
            ],
        )
        assert "the WAL write lock" in named[0], named
        time.sleep(max(0.0, HOLD - (time.monotonic() - locked_since)))
    assert_usage(daemon.requests_of(f"{model}-held", REQUESTS), PLAIN.usage, REQUESTS)
    eventually("the spool is empty", lambda: home.json_lines("status")[0]["spool"]["depth"] == 0)

    # Reported, not asserted: machines are shared and noisy.
    record_property("latency with the database free", describe(free))
    record_property("latency with the database locked", describe(held))


def test_rows_accepted_while_locked_survive_a_kill_A08_G08(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, model: str
) -> None:
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    with write_lock_held(home.usage_db):
        stream_requests(daemon, model)
        daemon.kill()
    daemons.append(daemon := home.serve())
    assert_usage(daemon.requests_of(model, REQUESTS), PLAIN.usage, REQUESTS)
    assert integrity(home.usage_db) == "ok"


def test_a_daemon_started_while_the_database_is_locked_serves_A04_G05(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, model: str
) -> None:
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    with write_lock_held(home.usage_db):
        stream_requests(daemon, f"{model}-before", 20)
        daemon.kill()
        daemons.append(daemon := home.serve())
        stream_requests(daemon, f"{model}-after", 20)
    daemon.requests_of(f"{model}-before", 20)
    daemon.requests_of(f"{model}-after", 20)


@pytest.mark.parametrize("served", [True, False], ids=["beside a daemon", "alone"])
def test_reports_are_read_while_the_database_is_locked_A04(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, model: str, served: bool
) -> None:
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    stream_requests(daemon, model, 20)
    daemon.requests_of(model, 20)
    if not served:
        daemon.terminate()
    with write_lock_held(home.usage_db):
        if served:
            stream_requests(daemon, model, 20)
        assert home.report()[model]["requests"] == 20
        if served:
            assert [line["requests"] for line in daemon.json("/api/usage")] == [20]


def test_a_home_kept_locked_from_its_first_second_opens_when_it_is_free_A04(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, model: str
) -> None:
    """The schema itself has to wait: the file exists, empty, and somebody else has it."""
    home.configure(providers=providers(upstream))
    with write_lock_held(home.usage_db):
        daemons.append(daemon := Daemon(home))
        # Time for the daemon to meet the lock; whether it serves meanwhile is its own affair.
        time.sleep(2)
        assert daemon.process.poll() is None, daemon.errors
    daemon.wait_until_listening()
    stream_requests(daemon, model, 20)
    daemon.requests_of(model, 20)


def test_requests_go_on_when_the_database_is_deleted_and_health_says_so_G05(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, model: str
) -> None:
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    stream_requests(daemon, f"{model}-before", 20)
    daemon.requests_of(f"{model}-before", 20)

    for path in home.path.glob("usage.db*"):
        path.unlink()
    stream_requests(daemon, f"{model}-after", 50)
    assert daemon.get("/health")[0] == 200, "alive is alive"
    eventually("the health says so", lambda: daemon.json("/api/status")["health"] != "ok")
    stream_requests(daemon, f"{model}-later", 50)


def test_requests_go_on_without_a_damaged_database_which_is_set_aside_whole_G05_C06(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, model: str
) -> None:
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    stream_requests(daemon, f"{model}-before", 20)
    daemon.requests_of(f"{model}-before", 20)
    daemon.kill()
    kept = home.usage_db.read_bytes(), (home.path / "usage.db-wal").read_bytes()
    assert kept[1], "a killed daemon leaves its -wal"
    damaged = b"\xa5" * len(kept[0]), kept[1]
    home.usage_db.write_bytes(damaged[0])

    daemons.append(daemon := home.serve())
    stream_requests(daemon, f"{model}-after", 50)
    assert daemon.get("/health")[0] == 200, "alive is alive"
    eventually("rows wait", lambda: daemon.json("/api/status")["spool"]["depth"] >= 50)
    # The database is opened beside the requests, so it may be a moment until the loss is found.
    status = eventually(
        "the loss is said", lambda: (now := daemon.json("/api/status"))["health"] != "ok" and now
    )
    assert any("usage.db" in finding["message"] for finding in status["findings"])
    assert home.run("usage", "report", check=False).returncode == 66
    daemon.terminate()
    # SQLite, let near such a file, would have removed the -wal that can save it.
    (aside,) = (home.path / "quarantine").iterdir()
    assert ((aside / "usage.db").read_bytes(), (aside / "usage.db-wal").read_bytes()) == damaged
    assert not home.usage_db.exists()

    home.usage_db.write_bytes(kept[0])
    (home.path / "usage.db-wal").write_bytes(kept[1])
    daemons.append(daemon := home.serve())
    daemon.requests_of(f"{model}-before", 20)
    daemon.requests_of(f"{model}-after", 50)


def test_damage_in_a_page_met_by_a_report_shows_in_the_health_and_stops_writing_C07(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, model: str
) -> None:
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    stream_requests(daemon, f"{model}-before", 20)
    daemon.requests_of(f"{model}-before", 20)
    daemon.terminate()
    with connected(home.usage_db) as connection:
        # As long as a page is in the -wal, the one in the database is not looked at.
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        roots = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE tbl_name LIKE 'usage%'"
        ).fetchall()
    whole = home.usage_db.read_bytes()
    damaged = bytearray(whole)
    for (root,) in roots:
        if root:
            damaged[(root - 1) * size : (root - 1) * size + 64] = b"\xa5" * 64
    home.usage_db.write_bytes(damaged)

    daemons.append(daemon := home.serve())
    assert daemon.get("/api/usage?by=model")[0] == 503
    status = daemon.json("/api/status")
    assert status["health"] == "failing"
    assert [finding["severity"] for finding in status["findings"] if finding["code"] == "usage-damaged"] == [
        "error"
    ]
    stream_requests(daemon, f"{model}-after", 20)
    daemon.terminate()
    assert home.usage_db.read_bytes() == bytes(damaged)

    home.usage_db.write_bytes(whole)
    daemons.append(daemon := home.serve())
    daemon.requests_of(f"{model}-before", 20)
    daemon.requests_of(f"{model}-after", 20)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with disk_of(48, tmp_path / "disk") as disk:
        yield disk


def test_requests_go_on_with_a_full_disk_and_rows_arrive_when_there_is_room_G05(
    daemons: list[Daemon], upstream: FakeUpstream, model: str, small_disk: Path
) -> None:
    home = Home(small_disk / "user")
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    stream_requests(daemon, f"{model}-before", 20)
    daemon.requests_of(f"{model}-before", 20)

    ballast = small_disk / "ballast"
    with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    stream_requests(daemon, f"{model}-full", 500)
    assert daemon.get("/health")[0] == 200
    eventually("the health says so", lambda: daemon.json("/api/status")["health"] != "ok")
    assert daemon.process.poll() is None

    ballast.unlink()
    daemon.requests_of(f"{model}-full", 500)
    eventually("the health is well again", lambda: daemon.json("/api/status")["health"] == "ok")
    assert integrity(home.usage_db) == "ok"
    assert daemon.terminate() == 0
