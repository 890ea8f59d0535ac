# SPDX-License-Identifier: Apache-2.0
"""Backups are made beside writers, and a file that passes for one is one (C18)."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from foreign import connected, integrity
from program import Daemon, Home

WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
print("writing", flush=True)
while True:
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("INSERT INTO a(text) VALUES (hex(randomblob(400)))")
    connection.execute("INSERT INTO b(text) VALUES (hex(randomblob(400)))")
    connection.execute("COMMIT")
"""


def make_store(home: Home, rows: int) -> Path:
    """A database in WAL mode in which every commit leaves two tables with as many rows."""
    home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = home.path / "state.db"
    with connected(path) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        for table in "ab":
            connection.execute(f"CREATE TABLE {table}(id INTEGER PRIMARY KEY, text TEXT)")
        connection.execute("BEGIN")
        for table in "ab":
            connection.execute(
                "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)"
                f" INSERT INTO {table}(text) SELECT hex(randomblob(400)) FROM n",
                [rows],
            )
        connection.execute("COMMIT")
    return path


@contextlib.contextmanager
def writers(path: Path, count: int = 2) -> Iterator[None]:
    """Python programs that commit without a pause."""
    running = [
        subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    try:
        for writer in running:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "writing\n"
        yield
        assert all(writer.poll() is None for writer in running), "a writer failed beside the backup"
    finally:
        for writer in running:
            writer.kill()
            writer.wait()
            if writer.stdout:
                writer.stdout.close()


def dump(path: Path) -> list[str]:
    with connected(path) as connection:
        return list(connection.iterdump())


def counts(path: Path) -> tuple[int, int]:
    with connected(path) as connection:
        a, b = (connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in "ab")
        return a, b


def test_a_backup_under_writers_is_restored_as_it_was_C18(home: Home) -> None:
    store = make_store(home, 2000)
    with writers(store):
        (made,) = home.json_lines("backup")
    (file,) = made["files"]
    backup = Path(made["path"]) / file["name"]
    assert made["path"] == str(home.path / "backups")
    assert file["integrity"] == "ok"
    assert file["rows"]["a"] == file["rows"]["b"] >= 2000
    assert file["bytes"] == backup.stat().st_size
    assert backup.stat().st_mode & 0o777 == 0o600
    saved = dump(backup)
    assert counts(backup) == (file["rows"]["a"], file["rows"]["b"])

    (checked,) = home.json_lines("verify")
    assert checked == made
    now = counts(store)
    (restored,) = home.json_lines("restore", file["name"])
    assert restored["path"] == str(store)
    assert dump(store) == saved
    old = Path(restored["quarantine"]) / "state.db"
    assert counts(old) == now
    assert integrity(store) == integrity(old) == "ok"


def test_a_restore_refuses_while_somebody_has_the_database_and_names_them_C18(home: Home) -> None:
    store = make_store(home, 100)
    (made,) = home.json_lines("backup")
    for mode in ["WAL", "DELETE"]:
        with connected(store) as holder:
            # In DELETE mode an idle connection holds no lock at all.
            holder.execute(f"PRAGMA journal_mode = {mode}")
            holder.execute("INSERT INTO a(text) VALUES ('later')")
            refused = home.run("restore", made["files"][0]["name"], check=False)
            assert refused.returncode == 75
            assert f"pid {os.getpid()}" in refused.stderr
            assert holder.execute("SELECT count(*) FROM a WHERE text = 'later'").fetchone()[0] > 0
        assert not (home.path / "quarantine").exists()
    home.run("restore", made["files"][0]["name"])
    assert counts(store) == (100, 100)


def test_exit_codes_say_what_is_wrong_C18(home: Home, tmp_path: Path) -> None:
    assert home.run("backup", check=False).returncode == 66
    assert home.run("verify", check=False).returncode == 66
    assert home.run("verify", str(tmp_path / "absent.db"), check=False).returncode == 66
    assert home.run("restore", "absent.db", check=False).returncode == 66
    store = make_store(home, 2000)
    assert home.run("backup", "--to", "/dev/null/place", check=False).returncode == 73
    (made,) = home.json_lines("backup")
    backup = Path(made["path"]) / made["files"][0]["name"]
    with backup.open("r+b") as file:
        file.seek(40 * 4096)
        file.write(b"\xa5" * 8192)
    damaged = home.run("verify", "--json", check=False)
    assert damaged.returncode == 65
    assert json.loads(damaged.stdout)["files"][0]["integrity"] != "ok"
    before = dump(store)
    assert home.run("restore", backup.name, check=False).returncode == 65
    assert dump(store) == before


def test_old_backups_go_when_asked_and_the_newest_stays_C18(home: Home) -> None:
    make_store(home, 10)
    names = [home.json_lines("backup")[0]["files"][0]["name"] for _ in range(3)]
    assert sorted(path.name for path in (home.path / "backups").glob("*.db")) == names
    (last,) = home.json_lines("backup", "--keep-hourly", "0")
    assert [path.name for path in (home.path / "backups").glob("*.db")] == [last["files"][0]["name"]]
    assert len(list((home.path / "backups").iterdir())) == 2


def test_a_flipped_bit_in_a_backup_is_refused_C18(home: Home) -> None:
    store = make_store(home, 200)
    before = dump(store)
    for option in [[], ["--compress"]]:
        (made,) = home.json_lines("backup", *option)
        backup = Path(made["path"]) / made["files"][0]["name"]
        whole = backup.read_bytes()
        manifest = json.loads(backup.with_name(f"{backup.name}.json").read_text())
        assert manifest["sha256"] == hashlib.sha256(whole).hexdigest()
        for place in [100, len(whole) // 2, len(whole) - 1]:
            backup.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
            assert home.run("verify", str(backup), check=False).returncode == 65
            assert home.run("restore", str(backup), check=False).returncode == 65
        backup.write_bytes(whole)
        home.run("verify", str(backup))
    assert dump(store) == before
    assert not (home.path / "quarantine").exists()


def test_a_compressed_backup_comes_back_as_it_was_C18(home: Home, tmp_path: Path) -> None:
    store = make_store(home, 2000)
    with writers(store):
        (made,) = home.json_lines("backup", "--compress")
    (file,) = made["files"]
    backup = Path(made["path"]) / file["name"]
    assert backup.name.endswith(".db.gz")
    assert file["compressed_bytes"] == backup.stat().st_size < file["bytes"]
    assert backup.stat().st_mode & 0o777 == 0o600
    content = tmp_path / "content.db"
    content.write_bytes(gzip.decompress(backup.read_bytes()))
    assert content.stat().st_size == file["bytes"]
    assert counts(content) == (file["rows"]["a"], file["rows"]["b"])
    (checked,) = home.json_lines("verify")
    assert checked == made
    home.run("restore", backup.name)
    assert dump(store) == dump(content)
    assert not [path for path in (home.path / "backups").iterdir() if path.name.startswith(".")]


def test_the_daemon_says_where_and_when_it_backs_up_C18(home: Home, daemons: list[Daemon]) -> None:
    home.path.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = home.path / "config.yaml"
    config.write_text("backup: { every: fortnightly }\n")
    refused = home.run("serve", "--port", "0", check=False)
    assert refused.returncode == 78
    assert "hourly, daily, weekly or never" in refused.stderr
    config.write_text('backup: { every: hourly, at: "00:20", directory: saved }\n')
    daemons.append(daemon := home.serve())
    backup = daemon.json("/api/status")["backup"]
    assert backup["directory"] == str(home.path / "saved")
    assert backup["last_success"] is None
    assert not backup["running"]
    assert "holdfast_backup_running 0" in daemon.get("/metrics")[2].decode()
    daemon.stop()
    config.write_text("backup: never\n")
    daemons.append(daemon := home.serve())
    assert daemon.json("/api/status")["backup"] is None
    assert "holdfast_backup" not in daemon.get("/metrics")[2].decode()


@pytest.mark.parametrize("options", [[], ["--compress"]], ids=["plain", "compressed"])
def test_a_backup_killed_at_any_moment_leaves_nothing_that_passes_for_one_C18(
    home: Home, tmp_path: Path, options: list[str]
) -> None:
    store = make_store(home, 20_000)
    began = time.monotonic()
    home.run("backup", *options)
    usual = time.monotonic() - began
    choice = random.Random(18)
    killed = 0
    for _ in range(15):
        process = subprocess.Popen(
            home.command("backup", *options),
            env=home.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        timer = threading.Timer(usual * choice.random(), process.kill)
        timer.start()
        killed += process.wait() != 0
        timer.cancel()
        for backup in (home.path / "backups").iterdir():
            if backup.name.startswith(".") or not backup.name.endswith((".db", ".gz")):
                continue
            content = backup
            if backup.name.endswith(".gz"):
                content = tmp_path / "content.db"
                content.write_bytes(gzip.decompress(backup.read_bytes()))
            assert counts(content) == (20_000, 20_000)
            assert integrity(content) == "ok"
            assert backup.with_name(f"{backup.name}.json").exists()
    assert killed > 0
    # What is left is cleared by the next, and the source has not noticed.
    home.run("backup", *options)
    left = [path.name for path in (home.path / "backups").iterdir()]
    assert not [name for name in left if name.endswith(".partial")]
    assert len([name for name in left if name.endswith((".db", ".gz"))]) * 2 == len(left)
    home.run("verify")
    assert counts(store) == (20_000, 20_000)
    with contextlib.closing(sqlite3.connect(store)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
