# SPDX-License-Identifier: Apache-2.0
"""`holdfast state …`, as scripts and agents use it."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import stat
import subprocess
import threading

from program import PATIENCE, Daemon, Home, eventually


def line(home: Home, *arguments: str, code: int = 0, **options) -> dict:
    done = home.run("state", *arguments, "--json", check=False, **options)
    assert done.returncode == code, f"{arguments}: exit {done.returncode}: {done.stderr}"
    return json.loads(done.stdout) if done.stdout else {}


def shape(found: dict) -> dict:
    """What the contract has; fields may be added to it."""
    return {name: found[name] for name in ("namespace", "key", "value", "version")}


def test_values_are_set_read_compared_and_deleted(home: Home) -> None:
    made = line(home, "set", "agents", "a", '{ "mood": "calm", "n": 1.50 }')
    assert shape(made) == {
        "namespace": "agents",
        "key": "a",
        "value": {"mood": "calm", "n": 1.5},
        "version": 1,
    }
    assert shape(line(home, "get", "agents", "a")) == shape(made)
    assert home.run("state", "get", "agents", "a").stdout == '{"mood":"calm","n":1.50}\n'
    assert line(home, "set", "agents", "a", "2", "--if-version", "1")["version"] == 2
    conflict = line(home, "set", "agents", "a", "3", "--if-version", "1", code=75)
    assert conflict == {"error": "version-conflict", "version": 2}
    assert line(home, "delete", "agents", "a", "--if-version", "9", code=75)["version"] == 2
    assert line(home, "set", "agents", "a", "3", "--if-version", "0", code=75)["version"] == 2
    assert line(home, "delete", "agents", "a")["version"] == 2
    assert line(home, "get", "agents", "a", code=66) == {}
    assert line(home, "delete", "agents", "a", code=66) == {}
    # A version means one value for ever.
    assert line(home, "set", "agents", "a", "null", "--if-version", "0")["version"] == 3


def test_a_missing_key_exits_66_and_makes_no_home(home: Home) -> None:
    for command in (("get", "n", "k"), ("delete", "n", "k")):
        done = home.run("state", *command, check=False)
        assert (done.returncode, done.stdout) == (66, "")
        assert done.stderr.startswith("holdfast: ")
    assert home.run("state", "list", "n", "--json").stdout == ""
    assert not home.path.exists()


def test_what_is_no_json_and_no_time_is_refused(home: Home) -> None:
    assert home.run("state", "set", "n", "k", "hello", check=False).returncode == 65
    assert home.run("state", "set", "n", "", "1", check=False).returncode == 65
    assert home.run("state", "set", "n", "k", "1", "--expires", "soon", check=False).returncode == 64
    assert home.run("state", "set", "n", "k", "1", "--if-version", "-1", check=False).returncode == 64
    assert line(home, "set", "n", "k", "-", stdin=' ["from", "stdin"]\n')["value"] == ["from", "stdin"]


def test_lists_are_in_order_by_prefix_and_go_on_past_what_cannot_be_read(home: Home) -> None:
    for key in ("b/2", "b/10", "a", "c", "b/1", "B/1"):
        line(home, "set", "n", key, json.dumps(key))
    found = home.json_lines("state", "list", "n", "--prefix", "b/")
    assert [entry["value"] for entry in found] == ["b/1", "b/10", "b/2"]
    with contextlib.closing(sqlite3.connect(home.path / "state.db", timeout=PATIENCE)) as peer, peer:
        peer.execute("UPDATE state SET value = '{' WHERE key = 'b/10'")
    done = home.run("state", "list", "n", "--json", check=False)
    keys = [json.loads(text)["key"] for text in done.stdout.splitlines()]
    assert (done.returncode, keys) == (65, ["B/1", "a", "b/1", "b/2", "c"])
    assert "n/b/10" in done.stderr
    done = home.run("state", "get", "n", "b/10", check=False)
    assert done.returncode == 65 and "n/b/10" in done.stderr
    with contextlib.closing(sqlite3.connect(home.path / "state.db", timeout=PATIENCE)) as peer:
        assert peer.execute("SELECT value FROM state WHERE key = 'b/10'").fetchone() == ("{",)


def test_secrets_are_masked_wherever_they_are_listed_F06(home: Home) -> None:
    made = line(home, "set", "tokens", "github", '"ghp_0123456789"', "--secret")
    assert made["value"] == "***" and made["secret"] is True
    line(home, "set", "tokens", "github", '"ghp_9876543210"')
    line(home, "set", "tokens", "plain", '"shown"')
    shown = ""
    for arguments in (
        ("get", "tokens", "github"),
        ("get", "tokens", "github", "--json"),
        ("list", "tokens"),
        ("list", "tokens", "--json"),
    ):
        shown += home.run("state", *arguments).stdout
    shown += home.run("status", "--json").stdout
    assert "ghp_" not in shown and "***" in shown and "shown" in shown
    assert line(home, "get", "tokens", "github", "--reveal")["value"] == "ghp_9876543210"
    assert "ghp_9876543210" in home.run("state", "list", "tokens", "--reveal").stdout
    assert stat.S_IMODE((home.path / "state.db").stat().st_mode) == 0o600
    line(home, "set", "tokens", "github", '"public"', "--no-secret")
    assert line(home, "get", "tokens", "github")["value"] == "public"


def test_what_has_expired_is_not_there(home: Home) -> None:
    line(home, "set", "n", "old", "1", "--expires", "2020-01-01T00:00:00Z")
    line(home, "set", "n", "new", "1", "--expires", "1h")
    assert line(home, "get", "n", "old", code=66) == {}
    assert [entry["key"] for entry in home.json_lines("state", "list", "n")] == ["new"]
    assert line(home, "set", "n", "old", "2", "--if-version", "0")["value"] == 2


def test_increments_by_eight_processes_at_once_are_exact(home: Home) -> None:
    each, failures = 5, []

    def work() -> None:
        made = 0
        while made < each:
            done = home.run("state", "get", "n", "count", "--json", check=False)
            found = json.loads(done.stdout) if done.returncode == 0 else {"value": 0, "version": 0}
            done = home.run(
                "state", "set", "n", "count", str(found["value"] + 1), "--if-version", str(found["version"]),
                "--json", check=False,
            )  # fmt: skip
            if done.returncode == 0:
                made += 1
            elif done.returncode != 75:
                failures.append(done.stderr)
                return

    workers = [threading.Thread(target=work) for _ in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert failures == []
    assert line(home, "get", "n", "count")["value"] == 8 * each


def test_other_programs_may_write_and_versions_stay_right(home: Home) -> None:
    first = line(home, "set", "n", "k", "1")["version"]
    with contextlib.closing(sqlite3.connect(home.path / "state.db", timeout=PATIENCE)) as peer, peer:
        peer.execute("UPDATE state SET value = '2' WHERE namespace = 'n' AND key = 'k'")
        peer.execute("INSERT INTO state(namespace, key, value) VALUES ('n', 'other', '\"theirs\"')")
    assert line(home, "set", "n", "k", "3", "--if-version", str(first), code=75)["version"] == first + 1
    assert line(home, "get", "n", "other")["value"] == "theirs"


def test_state_is_in_backups_and_the_doctor_knows_it(home: Home) -> None:
    line(home, "set", "n", "k", "1")
    made = json.loads(home.run("backup", "--json").stdout)
    (file,) = made["files"]
    assert file["name"].startswith("state-") and file["rows"]["state"] == 1
    done = home.run("doctor", str(home.path / "state.db"), "--json")
    found = json.loads(done.stdout)
    assert found["verdict"] == "healthy"
    assert {finding["severity"] for finding in found["findings"]} <= {"info"}
    assert [store["name"] for store in json.loads(home.run("status", "--json").stdout)["stores"]] == ["state"]


def test_a_write_waits_for_another_program_and_is_made(home: Home) -> None:
    line(home, "set", "n", "k", "1")
    with contextlib.closing(sqlite3.connect(home.path / "state.db", isolation_level=None)) as peer:
        peer.execute("BEGIN IMMEDIATE")
        process = subprocess.Popen(
            home.command("state", "set", "n", "k", "2", "--json"),
            stdout=subprocess.PIPE,
            env=home.environment(),
        )
        # Whatever it does meanwhile, it does not fail.
        peer.execute("UPDATE state SET value = '3' WHERE key = 'k'")
        peer.execute("COMMIT")
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert json.loads(out)["value"] == 2


def test_the_daemon_tells_of_it(home: Home, daemons: list[Daemon]) -> None:
    line(home, "set", "n", "k", "1")
    daemon = home.serve()
    daemons.append(daemon)

    def opened() -> bool:
        page = daemon.get("/metrics")[2].decode()
        assert "holdfast_state_lost_total 0\n" in page and "holdfast_state_waiting 0\n" in page
        assert "holdfast_state_fault 0\n" in page
        return "holdfast_state_db_bytes" in page

    eventually("the daemon to have opened it", opened)
    assert "state" in [store["name"] for store in daemon.json("/api/status")["stores"]]
    # Beside the daemon, the command still writes.
    assert line(home, "set", "n", "k", "2", "--if-version", "1")["version"] == 2
    assert daemon.stop() == 0
