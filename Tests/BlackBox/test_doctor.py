# SPDX-License-Identifier: Apache-2.0
"""`holdfast doctor` on files of any program: its verdicts and exit codes, and that it changes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import Home

CONTRACT = {
    "path",
    "verdict",
    "sqlite_version",
    "wal_reset_bug",
    "journal_mode",
    "wal_bytes",
    "page_count",
    "filesystem",
    "holders",
    "findings",
}

# What the driver says when it stands, and then waits for its end.
WRITER = """
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    c.execute(statement).fetchall()
print("ready", flush=True)
sys.stdin.read()
"""
MORE = "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < {last})"
SPILLED = [
    "PRAGMA cache_size = 5",
    "BEGIN IMMEDIATE",
    "UPDATE t SET b = b || 'changed'",
    MORE.format(last=5000) + " INSERT INTO t SELECT i, hex(randomblob(200)) FROM n",
]


def make(path: Path, mode: str = "delete", rows: int = 500) -> Path:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA journal_mode = {mode}")
        connection.execute("CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT)")
        connection.execute("CREATE INDEX t_b ON t(b)")
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO t VALUES (?, ?)", [(i, f"text {i:06}") for i in range(rows)])
        connection.execute("COMMIT")
    path.chmod(0o600)
    return path


@contextlib.contextmanager
def writing(path: Path, *statements: str) -> Iterator[subprocess.Popen]:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), *statements],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert writer.stdout.readline() == "ready\n"
        yield writer
    finally:
        with contextlib.suppress(ProcessLookupError):
            writer.send_signal(signal.SIGKILL)
        writer.communicate()


def killed_while(path: Path, *statements: str) -> None:
    with writing(path, *statements) as writer:
        writer.send_signal(signal.SIGKILL)
        writer.wait()


def everything_in(directory: Path) -> dict[str, tuple[str, int, int]]:
    return {
        file.name: (
            hashlib.sha256(file.read_bytes()).hexdigest(),
            file.stat().st_mtime_ns,
            file.stat().st_mode,
        )
        for file in directory.iterdir()
        if file.is_file()
    }


def examine(home: Home, path: Path, code: int, unchanged: bool = True) -> dict:
    before = everything_in(path.parent)
    done = home.run("doctor", str(path), "--json", check=False)
    assert done.returncode == code, (done.stdout, done.stderr)
    (line,) = done.stdout.splitlines()
    diagnosis = json.loads(line)
    assert set(diagnosis) >= CONTRACT
    for finding in diagnosis["findings"]:
        assert set(finding) >= {"code", "severity", "message", "remedy"}
        assert finding["severity"] in ("info", "warning", "error")
        assert finding["message"].endswith(".")
    for holder in diagnosis["holders"]:
        assert set(holder) >= {"pid", "command", "locks"}
        assert isinstance(holder["locks"], list)
    if unchanged:
        assert everything_in(path.parent) == before, "the doctor left a trace"
    return diagnosis


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "files"
    place.mkdir()
    return place


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_a_sound_file_is_healthy_whatever_its_name_C13(home: Home, place: Path, mode: str) -> None:
    diagnosis = examine(home, make(place / "a?b#c %41 é.db", mode), 0)
    assert (diagnosis["verdict"], diagnosis["journal_mode"]) == ("healthy", mode)
    assert diagnosis["holders"] == []
    assert diagnosis["page_count"] > 1
    assert diagnosis["filesystem"]
    assert not [finding for finding in diagnosis["findings"] if finding["severity"] == "error"]


def test_an_empty_file_alone_is_fresh_C05(home: Home, place: Path) -> None:
    path = place / "x.db"
    path.touch(mode=0o600)
    assert examine(home, path, 0)["verdict"] == "fresh"


def test_an_empty_file_with_a_wal_is_an_orphan_of_it_C05(home: Home, place: Path) -> None:
    path = make(place / "x.db", "wal")
    killed_while(path, "PRAGMA wal_autocheckpoint = 0", "DELETE FROM t WHERE a < 100")
    assert (place / "x.db-wal").stat().st_size > 0
    os.truncate(path, 0)
    assert examine(home, path, 65)["verdict"] == "wal-orphan"


@pytest.mark.parametrize("overwritten", [100, 4096])
def test_a_bad_first_page_is_no_database_and_its_wal_stays_C06(
    home: Home, place: Path, overwritten: int
) -> None:
    path = make(place / "x.db", "wal")
    killed_while(path, "PRAGMA wal_autocheckpoint = 0", "DELETE FROM t WHERE a < 100")
    with path.open("r+b") as file:
        file.write(b"\xa5" * overwritten)
    diagnosis = examine(home, path, 65)
    assert diagnosis["verdict"] == "not-a-database"
    assert diagnosis["wal_bytes"] == (place / "x.db-wal").stat().st_size > 0


def test_a_file_of_nul_is_zeroed_C05(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    path.write_bytes(bytes(path.stat().st_size))
    assert examine(home, path, 65)["verdict"] == "zeroed"


def test_a_file_cut_short_is_truncated(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    os.truncate(path, path.stat().st_size // 8192 * 4096)
    assert examine(home, path, 65)["verdict"] == "truncated"


def pages_of(path: Path, name: str) -> list[int]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT pageno FROM dbstat WHERE name = ? AND pagetype = 'leaf'", [name])
        return [row[0] for row in found]


def test_damage_in_a_table_is_told_from_damage_in_an_index_C07(home: Home, place: Path) -> None:
    for name, verdict in (("t", "damaged"), ("t_b", "index-damaged")):
        path = make(place / f"{name}.db")
        page = pages_of(path, name)[2]
        with path.open("r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(b"\xff" * 64)
        diagnosis = examine(home, path, 65)
        assert diagnosis["verdict"] == verdict, diagnosis
    assert any("t_b" in finding["message"] for finding in diagnosis["findings"])


def test_one_wrong_byte_of_an_index_entry_is_found_C07(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    content = bytearray(path.read_bytes())
    first = (pages_of(path, "t_b")[0] - 1) * 4096
    at = content.index(b"text ", first, first + 4096)
    content[at] ^= 1
    path.write_bytes(content)
    assert examine(home, path, 65)["verdict"] == "index-damaged"


def test_a_file_of_a_later_format_wants_a_newer_sqlite(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    with path.open("r+b") as file:
        file.seek(19)
        file.write(b"\x07")
    assert examine(home, path, 65)["verdict"] == "newer-schema"


def test_a_hot_journal_of_a_dead_writer_is_said_and_nobody_named_C01(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    killed_while(path, *SPILLED)
    reader = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    with contextlib.closing(reader), pytest.raises(sqlite3.OperationalError):
        reader.execute("SELECT count(*) FROM t").fetchone()
    diagnosis = examine(home, path, 65)
    assert (diagnosis["verdict"], diagnosis["holders"]) == ("hot-journal", [])


def test_a_living_writer_is_busy_and_named_C02(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    with writing(path, *SPILLED) as writer:
        diagnosis = examine(home, path, 75)
        assert diagnosis["verdict"] == "busy"
        (holder,) = diagnosis["holders"]
        assert holder["pid"] == writer.pid
        assert "python" in holder["command"]
        assert any("EXCLUSIVE" in lock or "RESERVED" in lock for lock in holder["locks"])


def test_a_journal_that_is_not_hot_is_no_finding_C03(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    killed_while(path, "BEGIN IMMEDIATE", "UPDATE t SET b = 'x' WHERE a = 1")
    assert (place / "x.db-journal").exists()
    diagnosis = examine(home, path, 0)
    assert diagnosis["verdict"] == "healthy"
    assert not [finding for finding in diagnosis["findings"] if "journal" in finding["code"]]


def test_a_wal_file_that_is_being_written_is_healthy_with_its_holder(home: Home, place: Path) -> None:
    path = make(place / "x.db", "wal")
    with writing(path, "BEGIN IMMEDIATE", "UPDATE t SET b = 'x' WHERE a = 1") as writer:
        # A reader's mark goes into the -shm, as every reader's does; the data is not touched.
        before = path.read_bytes(), (place / "x.db-wal").read_bytes()
        diagnosis = examine(home, path, 0, unchanged=False)
        assert (path.read_bytes(), (place / "x.db-wal").read_bytes()) == before
        assert diagnosis["verdict"] == "healthy"
        assert [holder["pid"] for holder in diagnosis["holders"]] == [writer.pid]
        assert "the WAL write lock" in diagnosis["holders"][0]["locks"]


def test_nothing_there_is_66_and_several_files_have_a_line_each_and_the_worst_code(
    home: Home, place: Path
) -> None:
    missing = home.run("doctor", str(place / "none.db"), "--json", check=False)
    assert (missing.returncode, missing.stdout) == (66, "")
    assert "none.db" in missing.stderr
    sound, bad = make(place / "sound.db"), make(place / "bad.db")
    bad.write_bytes(b"\xa5" * 9000)
    both = home.run("doctor", str(bad), str(sound), "--json", check=False)
    assert both.returncode == 65
    assert [json.loads(line)["verdict"] for line in both.stdout.splitlines()] == ["not-a-database", "healthy"]
