# SPDX-License-Identifier: Apache-2.0
"""`holdfast doctor --repair`: the plan, the question, the old files, and every row that can be had."""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from foreign import integrity
from program import Home
from test_doctor import SPILLED, everything_in, killed_while, make, pages_of, writing


@pytest.fixture
def place(tmp_path: Path) -> Path:
    place = tmp_path / "files"
    place.mkdir(mode=0o700)
    return place


def repair(home: Home, path: Path, code: int, *more: str, stdin: str = "") -> subprocess.CompletedProcess:
    done = home.run("doctor", "--repair", str(path), *more, check=False, stdin=stdin)
    assert done.returncode == code, (done.stdout, done.stderr)
    return done


def repaired(home: Home, path: Path) -> dict:
    (line,) = repair(home, path, 0, "--yes", "--json").stdout.splitlines()
    answer = json.loads(line)
    assert answer["verdict"] == "healthy"
    assert answer["repair"]["done"] is True
    assert integrity(path) == "ok"
    assert not [file for file in path.parent.iterdir() if "repairing" in file.name]
    return answer["repair"]


def digests(directory: Path, stem: str) -> dict[str, str]:
    return {
        file.name: hashlib.sha256(file.read_bytes()).hexdigest()
        for file in directory.iterdir()
        if file.name in (stem, f"{stem}-wal", f"{stem}-journal")
    }


def rows(path: Path, table: str = "t") -> list[tuple]:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall()


def overwrite(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def with_a_wal(path: Path) -> list[tuple]:
    """Rows in the database and, of a writer that was killed, more than 200 KB of them in its -wal."""
    make(path, "wal")
    killed_while(
        path,
        "PRAGMA wal_autocheckpoint = 0",
        "WITH RECURSIVE n(i) AS (SELECT 1000 UNION ALL SELECT i + 1 FROM n WHERE i < 1400)"
        " INSERT INTO t SELECT i, hex(randomblob(200)) FROM n",
    )
    assert Path(f"{path}-wal").stat().st_size > 200_000
    copies = path.parent.parent / "copies"
    copies.mkdir()
    for suffix in ("", "-wal"):
        (copies / f"x.db{suffix}").write_bytes(Path(f"{path}{suffix}").read_bytes())
    wanted = rows(copies / "x.db")
    assert len(wanted) == 901
    return wanted


@pytest.mark.parametrize("lost", [100, 4096])
def test_every_row_of_the_wal_is_back_after_the_first_page_was_overwritten_C06(
    home: Home, place: Path, lost: int
) -> None:
    path = place / "x.db"
    wanted = with_a_wal(path)
    overwrite(path, 0, b"\xa5" * lost)
    before = digests(place, "x.db")
    done = repaired(home, path)
    assert rows(path) == wanted
    assert {"name": "t", "scanned": 901, "recovered": 901, "lost_and_found": 0} in done["tables"]
    assert digests(Path(done["quarantine"]), "x.db") == before
    assert path.stat().st_mode & 0o777 == 0o600
    # Nothing is left to do, and a foreign file gets no lane.
    assert "Nothing to repair" in repair(home, path, 0, "--yes").stdout
    assert not (place / "x.db-lane").exists()


def test_a_store_of_holdfasts_own_comes_back_after_its_first_page_was_overwritten_C06(home: Home) -> None:
    lines = [
        json.dumps({"provider": "p", "model": "m", "input_tokens": i, "output_tokens": 1}) for i in range(40)
    ]
    home.run("usage", "record", "--jsonl", "-", stdin="\n".join(lines) + "\n")
    wanted = home.report()["m"]
    assert wanted["requests"] == 40
    overwrite(home.usage_db, 0, b"\xa5" * 4096)
    refused = home.run("usage", "report", check=False)
    assert refused.returncode == 65
    assert "holdfast doctor --repair" in refused.stderr
    asked = home.run("doctor", str(home.usage_db), "--json", check=False)
    assert asked.returncode == 65
    repaired(home, home.usage_db)
    assert home.report()["m"] == wanted
    home.run("usage", "record", "--jsonl", "-", stdin=lines[0] + "\n")
    assert home.report()["m"]["requests"] == 41


def test_a_hot_journal_of_a_dead_writer_is_rolled_back_behind_a_copy_C01(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    wanted = rows(path)
    killed_while(path, *SPILLED)
    before = digests(place, "x.db")
    done = repaired(home, path)
    assert rows(path) == wanted
    assert digests(Path(done["quarantine"]), "x.db") == before
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reader:
        assert reader.execute("SELECT count(*) FROM t").fetchone() == (500,)


def test_a_living_writer_is_named_and_nothing_is_changed_C02(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    with writing(path, *SPILLED) as writer:
        before = everything_in(place)
        for more in (["--yes"], ["--yes", "--json"]):
            done = repair(home, path, 75, *more)
            assert str(writer.pid) in done.stderr
        assert everything_in(place) == before
        assert not (place / "quarantine").exists()


def test_whoever_merely_has_a_damaged_file_open_is_named_too_C02(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    page = pages_of(path, "t")[2]
    with writing(path, "SELECT 1 FROM t LIMIT 1") as idle:
        overwrite(path, (page - 1) * 4096, b"\xff" * 64)
        before = everything_in(place)
        done = repair(home, path, 75, "--yes")
        assert str(idle.pid) in done.stderr
        assert everything_in(place) == before
        idle.send_signal(signal.SIGKILL)
        idle.wait()
    repaired(home, path)


def test_a_journal_that_is_not_hot_is_nothing_to_repair_C03(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    killed_while(path, "BEGIN IMMEDIATE", "UPDATE t SET b = 'x' WHERE a = 1")
    before = everything_in(place)
    assert "Nothing to repair" in repair(home, path, 0, "--yes").stdout
    assert everything_in(place) == before


def test_a_file_of_nul_with_its_wal_comes_back_and_one_without_is_left_alone_C05(
    home: Home, place: Path
) -> None:
    path = place / "x.db"
    make(path, "wal", rows=0)
    killed_while(path, "PRAGMA wal_autocheckpoint = 0", "INSERT INTO t VALUES (1, 'one')", "VACUUM")
    path.write_bytes(bytes(path.stat().st_size))
    repaired(home, path)
    assert rows(path) == [(1, "one")]
    alone = make(place / "alone.db")
    alone.write_bytes(bytes(alone.stat().st_size))
    before = everything_in(place)
    done = repair(home, alone, 65, "--yes")
    assert "nothing was changed" in done.stderr and "backup" in done.stderr
    assert everything_in(place) == before


def test_damage_to_a_table_is_salvaged_and_to_an_index_mended_in_place_C07(home: Home, place: Path) -> None:
    path = make(place / "t.db", rows=2000)
    page = pages_of(path, "t")[2]
    overwrite(path, (page - 1) * 4096, b"\xff" * 64)
    (table,) = [table for table in repaired(home, path)["tables"] if table["name"] == "t"]
    assert table["recovered"] == len(rows(path)) >= max(1800, table["scanned"])

    path = make(place / "i.db")
    wanted, inode = rows(path), path.stat().st_ino
    content = bytearray(path.read_bytes())
    first = (pages_of(path, "t_b")[0] - 1) * 4096
    content[content.index(b"text ", first, first + 4096)] ^= 1
    path.write_bytes(content)
    done = repaired(home, path)
    assert any("t_b" in action for action in done["actions"])
    assert (rows(path), path.stat().st_ino) == (wanted, inode)


def test_the_plan_is_shown_and_anything_but_yes_leaves_the_file_alone(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    page = pages_of(path, "t")[2]
    overwrite(path, (page - 1) * 4096, b"\xff" * 64)
    before = everything_in(place)
    for answer in ("", "\n", "n\n", "yesterday\n"):
        done = repair(home, path, 65, stdin=answer)
        assert "1. " in done.stdout and "quarantine" in done.stdout and "Repair? [y/N]" in done.stdout
        assert everything_in(place) == before
        assert not (place / "quarantine").exists()
    asked = repair(home, path, 65, "--json")
    assert json.loads(asked.stdout)["repair"]["done"] is False
    assert "Repair? [y/N]" in asked.stderr
    assert everything_in(place) == before
    done = repair(home, path, 0, stdin="y\n")
    assert "healthy" in done.stdout
    assert integrity(path) == "ok"


def test_each_of_several_files_is_asked_about_and_the_worst_code_counts(home: Home, place: Path) -> None:
    paths = [make(place / f"{name}.db") for name in ("a", "b", "c")]
    for path in paths[:2]:
        page = pages_of(path, "t")[2]
        overwrite(path, (page - 1) * 4096, b"\xff" * 64)
    done = home.run("doctor", "--repair", *map(str, paths), check=False, stdin="n\ny\n")
    assert done.returncode == 65
    assert done.stdout.count("Repair? [y/N]") == 2
    verdicts = [home.json_lines("doctor", str(path), check=False)[0]["verdict"] for path in paths]
    assert verdicts == ["damaged", "healthy", "healthy"]


def test_yes_without_repair_is_a_mistake(home: Home, place: Path) -> None:
    done = home.run("doctor", "--yes", str(place / "x.db"), check=False)
    assert done.returncode == 64
