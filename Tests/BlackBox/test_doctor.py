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
import tempfile
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


def codes(diagnosis: dict) -> list[str]:
    return [finding["code"] for finding in diagnosis["findings"]]


def message(diagnosis: dict, code: str) -> str:
    (finding,) = [finding for finding in diagnosis["findings"] if finding["code"] == code]
    return finding["message"]


def change(path: Path, *statements: str) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement).fetchall()


def damage(path: Path, table: str, leaf: int = 2) -> None:
    page = pages_of(path, table)[leaf]
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 64)


def test_nothing_is_copied_to_be_looked_at(home: Home, place: Path) -> None:
    path = make(place / "x.db", "wal")
    killed_while(path, "PRAGMA wal_autocheckpoint = 0", "DELETE FROM t WHERE a < 100")
    before = everything_in(place)
    done = subprocess.run(
        home.command("doctor", str(path), "--deep", "--json"),
        env=home.environment(TMPDIR="/nowhere"),
        capture_output=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    diagnosis = json.loads(done.stdout)
    # What is only in the -wal is seen.
    assert diagnosis["tables"] == [{"name": "t", "rows": 400}]
    assert "wal-pending" in codes(diagnosis)
    assert everything_in(place) == before


def test_a_deep_look_counts_rows_follows_references_and_has_search_indexes_check_themselves(
    home: Home, place: Path
) -> None:
    path = make(place / "x.db")
    change(
        path,
        "CREATE TABLE child(id INTEGER PRIMARY KEY, t INTEGER REFERENCES t(a))",
        "INSERT INTO child VALUES (1, 1), (2, 99999), (3, 99999)",
        "CREATE VIRTUAL TABLE good USING fts5(b)",
        "INSERT INTO good VALUES ('some words')",
        "CREATE VIRTUAL TABLE stale USING fts5(b, content = 't', content_rowid = 'a')",
        "CREATE VIRTUAL TABLE bad USING fts5(b)",
        "INSERT INTO bad VALUES ('some words')",
        "UPDATE bad_content SET c0 = 'others'",
    )
    quick = examine(home, path, 0)
    assert quick["tables"] is None
    assert "foreign-key" not in codes(quick)
    assert "child(t)" in message(quick, "unindexed-foreign-key")
    before = everything_in(place)
    done = home.run("doctor", str(path), "--deep", "--json", check=False)
    assert (done.returncode, done.stderr) == (65, "")
    assert everything_in(place) == before
    deep = json.loads(done.stdout)
    assert deep["verdict"] == "index-damaged"
    assert deep["indexes"] == []
    assert deep["search_indexes"] == ["bad", "stale"]
    assert "bad" in message(deep, "search-index-damage")
    assert "stale" in message(deep, "search-index-stale")
    assert "2 rows of child" in message(deep, "foreign-key")
    assert {"name": "child", "rows": 3} in deep["tables"]
    # What it says to do, mends it.
    change(
        path,
        "INSERT INTO bad(bad) VALUES ('rebuild')",
        "INSERT INTO stale(stale) VALUES ('rebuild')",
        "DELETE FROM child WHERE id > 1",
        "CREATE INDEX child_t ON child(t)",
    )
    mended = json.loads(home.run("doctor", str(path), "--deep", "--json").stdout)
    assert (mended["verdict"], codes(mended)) == ("healthy", [])


def test_a_damaged_search_index_is_built_anew_where_it_is(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    change(
        path,
        "CREATE VIRTUAL TABLE found USING fts5(b)",
        "INSERT INTO found VALUES ('some words')",
        "UPDATE found_content SET c0 = 'others'",
    )
    assert json.loads(home.run("doctor", str(path), "--deep", "--json", check=False).stdout)[
        "search_indexes"
    ] == ["found"]
    done = home.run("doctor", str(path), "--deep", "--repair", "--yes", "--json", check=False)
    assert done.returncode == 0, (done.stdout, done.stderr)
    diagnosis = json.loads(done.stdout)
    assert (diagnosis["verdict"], diagnosis["search_indexes"]) == ("healthy", [])
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT b FROM found WHERE found MATCH 'others'").fetchall() == [
            ("others",)
        ]
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (500,)


def test_a_large_file_is_looked_at_in_part_unless_asked(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    # Neither the first row is in it nor the last.
    damage(path, "t", leaf=1)
    with path.open("r+b") as file:
        # Pages of nothing behind the end, which takes no room on the disk.
        file.truncate((256 << 20) + 4096)
    quick = examine(home, path, 0)
    assert "bytes" in message(quick, "not-deep")
    done = home.run("doctor", str(path), "--deep", "--json", check=False)
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (65, "damaged")


def test_progress_is_shown_on_a_terminal_only(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    assert home.run("doctor", str(path), "--deep").stderr == ""
    ours, theirs = os.openpty()
    done = subprocess.run(
        home.command("doctor", str(path), "--deep"),
        env=home.environment(),
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=False,
    )
    os.close(theirs)
    shown = b""
    with contextlib.suppress(OSError):
        while piece := os.read(ours, 4096):
            shown += piece
    os.close(ours)
    assert done.returncode == 0
    assert b"x.db [" in shown
    assert b"% " in shown
    # The bar is gone when the verdict comes.
    assert shown.endswith(b"\r\x1b[K")
    assert b"healthy" in done.stdout
    assert b"500 rows" in done.stdout


def test_tables_only_their_own_program_can_compare_are_said_and_not_called_damaged(
    home: Home, place: Path
) -> None:
    path = make(place / "x.db")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.create_collation("THEIRS", lambda a, b: (a > b) - (a < b))
        connection.execute("CREATE TABLE named(name TEXT COLLATE THEIRS)")
        connection.execute("CREATE INDEX named_name ON named(name)")
        connection.execute("INSERT INTO named VALUES ('a'), ('b')")
        connection.commit()
    diagnosis = examine(home, path, 0)
    assert diagnosis["verdict"] == "healthy"
    assert "named" in message(diagnosis, "not-checked")


def test_a_directory_stands_for_every_database_in_it(home: Home, place: Path) -> None:
    make(place / "b.db")
    make(place / "a.sqlite", "wal")
    (place / "notes.txt").write_text("SQLite is mentioned here", encoding="utf-8")
    (place / "bad.db").write_bytes(b"\xa5" * 5000)
    box = place / "mailboxes" / "agent" / "session"
    box.mkdir(parents=True)
    make(box / "inbound.db")
    (place / "link.db").symlink_to(place / "b.db")
    orphan = make(place / "gone.db", "wal")
    killed_while(orphan, "PRAGMA wal_autocheckpoint = 0", "DELETE FROM t WHERE a < 100")
    orphan.unlink()
    done = home.run("doctor", str(place), "--json", check=False)
    found = {
        str(Path(one["path"]).relative_to(place)): one["verdict"]
        for one in map(json.loads, done.stdout.splitlines())
    }
    assert found == {
        "a.sqlite": "healthy",
        "b.db": "healthy",
        "bad.db": "not-a-database",
        "gone.db": "wal-orphan",
        "mailboxes/agent/session/inbound.db": "healthy",
    }
    assert done.returncode == 65
    empty = place / "empty"
    empty.mkdir()
    nothing = home.run("doctor", str(empty), check=False)
    assert (nothing.returncode, nothing.stdout) == (66, "")


def recorded(home: Home) -> Path:
    row = {"provider": "p", "model": "m", "input_tokens": 1, "output_tokens": 1}
    home.run("usage", "record", "--jsonl", "-", stdin=json.dumps(row) + "\n")
    return home.usage_db


def test_a_set_in_quarantine_is_examined_in_place_of_the_file_C05(home: Home) -> None:
    path = recorded(home)
    content = path.read_bytes()
    path.write_bytes(bytes(len(content)))
    for suffix in ("-wal", "-shm"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    home.run("usage", "report", check=False)
    assert not path.exists()
    (entry,) = (home.path / "quarantine").iterdir()
    for given in (path, entry, home.path):
        done = home.run("doctor", str(given), "--json", check=False)
        assert done.returncode == 65, done.stderr
        (diagnosis,) = map(json.loads, done.stdout.splitlines())
        assert diagnosis["path"] == str(path)
        assert diagnosis["verdict"] == "zeroed"
        assert diagnosis["quarantine"] == str(entry)
        assert str(entry) in message(diagnosis, "quarantined")
    # A file in its place does not make the lost one be forgotten.
    path.write_bytes(content)
    path.chmod(0o600)
    diagnosis = json.loads(home.run("doctor", str(path), "--json").stdout)
    assert diagnosis["verdict"] == "healthy"
    assert str(entry) in next(f["remedy"] for f in diagnosis["findings"] if f["code"] == "quarantined")


def test_a_store_a_newer_build_has_migrated_says_so_C16(home: Home) -> None:
    path = recorded(home)
    assert json.loads(home.run("doctor", str(path), "--json").stdout)["verdict"] == "healthy"
    change(path, "INSERT INTO grdb_migrations VALUES ('usage 999')")
    done = home.run("doctor", str(path), "--json", check=False)
    diagnosis = json.loads(done.stdout)
    assert (done.returncode, diagnosis["verdict"]) == (65, "newer-schema")
    assert "usage 999" in message(diagnosis, "newer-schema")


def test_another_programs_migrations_are_its_own_affair(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    change(path, "CREATE TABLE grdb_migrations(identifier TEXT)", "INSERT INTO grdb_migrations VALUES ('v9')")
    assert examine(home, path, 0)["verdict"] == "healthy"


def test_a_wal_of_another_database_is_told(home: Home, place: Path) -> None:
    # A copy was put back over a database whose -wal stayed: SQLite would lay that over it.
    path = make(place / "x.db", "wal")
    killed_while(path, "PRAGMA wal_autocheckpoint = 0", "UPDATE t SET b = 'new ' || a")
    other = make(place / "other.db")
    change(other, "VACUUM")
    path.write_bytes(other.read_bytes())
    found = examine(home, path, 65)
    assert "foreign-wal" in codes(found)


def test_a_journal_of_another_moment_is_told_C02(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    earlier = path.read_bytes()
    killed_while(path, *SPILLED)
    journal = (place / "x.db-journal").read_bytes()
    path.write_bytes(earlier)
    (place / "x.db-journal").unlink()
    change(path, "DELETE FROM t WHERE a % 2", "DELETE FROM t WHERE a % 3", "VACUUM")
    (place / "x.db-journal").write_bytes(journal)
    diagnosis = examine(home, path, 65)
    assert diagnosis["verdict"] == "hot-journal"
    assert "foreign-journal" in codes(diagnosis)


def test_what_a_rollback_would_make_of_it_is_said_beforehand_C01(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    killed_while(path, *SPILLED)
    diagnosis = examine(home, path, 65)
    assert "sound" in message(diagnosis, "recoverable")
    assert diagnosis["holders"] == []


def test_a_shm_nobody_uses_holds_no_data(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    (place / "x.db-shm").write_bytes(bytes(32768))
    assert "stale-shm" in codes(examine(home, path, 0))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_files_of_different_users_and_files_everybody_may_read_are_told_C11(
    home: Home, tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        # The test's own directory is closed to others, so what lies in it is not in their reach.
        hidden = make(tmp_path / "x.db", "wal")
        hidden.chmod(0o644)
        assert "world-readable" not in codes(examine(home, hidden, 0))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp")))
        directory.chmod(0o755)
        path = make(directory / "x.db", "wal")
        killed_while(path, "PRAGMA wal_autocheckpoint = 0", "DELETE FROM t WHERE a < 100")
        path.chmod(0o644)
        os.chown(directory / "x.db-wal", 65534, 65534)
        diagnosis = examine(home, path, 0)
        assert "x.db-wal belongs to user 65534" in message(diagnosis, "other-owner")
        assert "x.db" in message(diagnosis, "world-readable")


def test_damage_is_placed_also_while_others_have_the_file_open_C07(home: Home, place: Path) -> None:
    for name, verdict in (("t", "damaged"), ("t_b", "index-damaged")):
        path = make(place / f"{name}.db", "wal")
        damage(path, name)
        with writing(path, "BEGIN IMMEDIATE", "CREATE TABLE another(x)") as writer:
            diagnosis = examine(home, path, 65, unchanged=False)
            assert diagnosis["verdict"] == verdict, diagnosis
            assert [holder["pid"] for holder in diagnosis["holders"]] == [writer.pid]
    assert diagnosis["indexes"] == ["t_b"]


def test_who_only_has_a_file_open_is_named_and_leaves_it_readable_as_it_is(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    with writing(path, "SELECT count(*) FROM t") as reader:
        diagnosis = examine(home, path, 0)
        assert diagnosis["verdict"] == "healthy"
        assert [holder["locks"] for holder in diagnosis["holders"]] == [["open, no lock"]]
        assert diagnosis["holders"][0]["pid"] == reader.pid


def can_unshare() -> bool:
    tried = subprocess.run(
        ["unshare", "-p", "-f", "-m", "--mount-proc", "true"], capture_output=True, check=False
    )
    return tried.returncode == 0


needs_namespaces = pytest.mark.skipif(
    not can_unshare(), reason="this user may not make a pid namespace (`unshare -p` fails)"
)


@needs_namespaces
def test_a_writer_in_a_container_is_named_by_its_pid_here_A16(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    writer = subprocess.Popen(
        [
            "unshare",
            "-p",
            "-f",
            "-m",
            "--mount-proc",
            "--kill-child",
            sys.executable,
            "-c",
            WRITER,
            str(path),
            *SPILLED,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert writer.stdout.readline() == "ready\n"
        diagnosis = examine(home, path, 75)
        assert diagnosis["verdict"] == "busy"
        (holder,) = diagnosis["holders"]
        assert "python" in holder["command"]
        assert Path(f"/proc/{holder['pid']}").exists()
        # Its own namespace knows it as the first process.
        status = Path(f"/proc/{holder['pid']}/status").read_text(encoding="utf-8")
        assert [line.split()[-1] for line in status.splitlines() if line.startswith("NSpid:")] == ["1"]
    finally:
        writer.kill()
        writer.communicate()


@needs_namespaces
def test_a_writer_outside_the_container_is_unseen_and_its_journal_not_called_hot_C02(
    home: Home, place: Path
) -> None:
    path = make(place / "x.db")
    with writing(path, *SPILLED):
        before = everything_in(place)
        done = subprocess.run(
            ["unshare", "-p", "-f", "-m", "--mount-proc", *home.command("doctor", str(path), "--json")],
            env=home.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 75, (done.stdout, done.stderr)
        diagnosis = json.loads(done.stdout)
        assert diagnosis["verdict"] == "busy"
        assert diagnosis["holders"] == []
        assert "invisible-holder" in codes(diagnosis)
        assert everything_in(place) == before


OVERLAY = """
set -e
mkdir lower upper work seen
mount -t tmpfs none lower
cp x.db lower/
mount -t overlay overlay -o lowerdir=lower,upperdir=upper,workdir=work seen
"""


def can_overlay(directory: Path) -> bool:
    tried = subprocess.run(
        ["unshare", "-m", "sh", "-c", OVERLAY], cwd=directory, capture_output=True, check=False
    )
    return tried.returncode == 0


def test_locks_are_seen_where_the_kernel_lists_files_under_another_device_A16(
    home: Home, place: Path, tmp_path: Path
) -> None:
    tried = tmp_path / "tried"
    tried.mkdir()
    make(tried / "x.db")
    if not can_overlay(tried):
        pytest.skip("this user may not mount an overlay over two filesystems")
    make(place / "x.db")
    # stat(2) of a file on such an overlay names another device than /proc/locks, as on btrfs.
    script = OVERLAY + 'cd seen\nexec "$@"\n'
    inside = """
import subprocess, sqlite3, sys
c = sqlite3.connect("x.db", isolation_level=None)
for statement in ("PRAGMA cache_size = 5", "BEGIN IMMEDIATE", "UPDATE t SET b = hex(randomblob(200))"):
    c.execute(statement).fetchall()
sys.exit(subprocess.run(sys.argv[1:]).returncode)
"""
    done = subprocess.run(
        [
            "unshare",
            "-m",
            "sh",
            "-c",
            script,
            "sh",
            sys.executable,
            "-c",
            inside,
            *home.command("doctor", "x.db", "--json"),
        ],
        cwd=place,
        env=home.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 75, (done.stdout, done.stderr)
    diagnosis = json.loads(done.stdout)
    assert diagnosis["filesystem"] == "overlay"
    assert "an EXCLUSIVE lock" in diagnosis["holders"][0]["locks"]
    assert "invisible-holder" not in codes(diagnosis)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can act as another user")
def test_a_file_that_may_not_be_read_is_77_C11(home: Home) -> None:
    with tempfile.TemporaryDirectory(dir="/var/tmp") as name:
        directory = Path(name)
        directory.chmod(0o755)
        path = make(directory / "x.db")
        done = subprocess.run(
            home.command("doctor", str(path), "--json"),
            env=home.environment(),
            user=65534,
            group=65534,
            extra_groups=[],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 77, (done.stdout, done.stderr)
        diagnosis = json.loads(done.stdout)
        assert diagnosis["verdict"] == "unreadable"
        assert "belongs to user 0" in message(diagnosis, "permission")


def test_a_file_that_ends_in_its_header_is_truncated(home: Home, place: Path) -> None:
    path = make(place / "x.db")
    os.truncate(path, 60)
    assert examine(home, path, 65)["verdict"] == "truncated"


def test_a_huge_wal_and_the_reader_that_pins_it_are_named_A12(home: Home, place: Path) -> None:
    path = make(place / "x.db", "wal")
    with writing(path, "BEGIN", "SELECT count(*) FROM t") as reader:
        change(path, "PRAGMA synchronous = OFF", "INSERT INTO t VALUES (9000, zeroblob(66 << 20))")
        diagnosis = examine(home, path, 0, unchanged=False)
        assert f"pid {reader.pid} " in message(diagnosis, "huge-wal")


def test_backups_are_offered_for_what_is_lost_C18(home: Home) -> None:
    path = recorded(home)
    home.run("backup")
    assert "backups" not in codes(json.loads(home.run("doctor", str(path), "--json").stdout))
    path.write_bytes(b"\xa5" * path.stat().st_size)
    diagnosis = json.loads(home.run("doctor", str(path), "--json", check=False).stdout)
    assert str(home.path / "backups") in message(diagnosis, "backups")
