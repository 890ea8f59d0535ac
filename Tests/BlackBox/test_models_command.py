# SPDX-License-Identifier: Apache-2.0
"""`holdfast models …` against a hundred providers, well-behaved and hostile."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import struct
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from fake_providers import FakeProviders, names
from program import PATIENCE, Home, eventually


@pytest.fixture
def fakes() -> Iterator[FakeProviders]:
    running = FakeProviders()
    yield running
    running.close()
    assert running.upstream.failures == []


def refresh(home: Home, *arguments: str, code: int = 0) -> dict[str, dict]:
    done = home.run("models", "refresh", "--json", *arguments, check=False)
    assert done.returncode == code, f"exit {done.returncode}: {done.stderr}"
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


def listed(home: Home, *arguments: str) -> list[dict]:
    return home.json_lines("models", "list", *arguments)


def ids(home: Home, provider: str) -> list[str]:
    return [line["id"] for line in listed(home, "--provider", provider)]


def stored(home: Home, namespace: str) -> dict[str, dict]:
    """What another program reads in the state store, by the documented schema."""
    with contextlib.closing(sqlite3.connect(home.path / "state.db", timeout=PATIENCE)) as peer:
        rows = peer.execute("SELECT key, value FROM state WHERE namespace = ?", [namespace]).fetchall()
    return {key: json.loads(value) for key, value in rows}


def assert_stamps_agree(home: Home) -> int:
    """Every stamp has its list and every list its stamp; returns how many there are."""
    with contextlib.closing(sqlite3.connect(home.path / "state.db", timeout=PATIENCE)) as peer:
        # One statement is one snapshot.
        rows = peer.execute(
            "SELECT namespace, key, value FROM state WHERE namespace IN ('catalog.stamps', 'catalog.models')"
        ).fetchall()
    found: dict[str, dict[str, dict]] = {"catalog.stamps": {}, "catalog.models": {}}
    for namespace, key, value in rows:
        found[namespace][key] = json.loads(value)
    stamps, models = found["catalog.stamps"], found["catalog.models"]
    assert stamps.keys() == models.keys()
    for name, stamp in stamps.items():
        assert stamp["fetched_at"] == models[name]["fetched_at"], name
        assert stamp["models"] == len(models[name]["models"]), name
    return len(stamps)


HUNDRED = (
    ("fast", 52), ("slow", 6), ("zipped", 4), ("empty", 4), ("anthropic", 2), ("gemini", 2), ("ollama", 2),
    ("hung", 10), ("broken", 2), ("nonsense", 2), ("endless", 2), ("gzip", 2), ("double", 3), ("nan", 3),
    ("circle", 1), ("elsewhere", 1), ("reset", 2),
)  # fmt: skip
WELL = {"fast", "slow", "zipped", "empty", "anthropic", "gemini", "ollama", "double", "nan"}


def kind_of(name: str) -> str:
    return name.rsplit("-", 1)[0]


def test_a_hundred_providers_answer_while_four_processes_write_F01_F04(
    home: Home, fakes: FakeProviders
) -> None:
    configured = fakes.configured(*HUNDRED)
    assert len(configured) == 100
    home.configure(providers=configured)
    home.run("state", "set", "busy", "start", "0")
    stop, failures, written, seen = threading.Event(), [], [], set()

    def write_by_command(number: int) -> None:
        count = 0
        while not stop.is_set():
            done = home.run("state", "set", "busy", f"c{number}", str(count), check=False)
            if done.returncode != 0:
                failures.append(done.stderr)
                return
            count += 1
        written.append(count)

    def write_by_sqlite(number: int) -> None:
        script = (
            "import select, sqlite3, sys\n"
            "c = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)\n"
            "n = 0\n"
            "while not select.select([sys.stdin], [], [], 0.002)[0]:\n"
            "    c.execute(\"INSERT INTO state(namespace, key, value) VALUES ('busy', ?, '0')\","
            " [f'{sys.argv[2]}/{n}'])\n"
            "    n += 1\n"
            "print(n)\n"
        )
        process = subprocess.Popen(
            ["python3", "-c", script, str(home.path / "state.db"), f"s{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        stop.wait()
        out, error = process.communicate("stop\n", timeout=PATIENCE)
        if process.returncode != 0:
            failures.append(error)
        else:
            written.append(int(out.split()[-1]))

    def watch() -> None:
        with contextlib.closing(sqlite3.connect(home.path / "state.db", timeout=PATIENCE)) as peer:
            while not stop.is_set():
                query = "SELECT count(*) FROM state WHERE namespace LIKE 'catalog%'"
                seen.add(peer.execute(query).fetchone()[0])

    threads = [threading.Thread(target=write_by_command, args=(n,)) for n in range(2)]
    threads += [threading.Thread(target=write_by_sqlite, args=(n,)) for n in range(2)]
    threads.append(threading.Thread(target=watch))
    for thread in threads:
        thread.start()
    try:
        process = subprocess.Popen(
            home.command("models", "refresh", "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=home.environment(),
        )
        out, error = process.stdout.read(), process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        eventually("the commit to be seen", lambda: len(seen) > 1)
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert process.returncode == 0, error
    assert failures == [] and len(written) == 4 and all(count > 0 for count in written), (failures, written)
    outcomes = {line["name"]: line for line in map(json.loads, out.splitlines())}
    assert outcomes.keys() == configured.keys()
    for name, outcome in outcomes.items():
        assert outcome["outcome"] == ("fetched" if kind_of(name) in WELL else "failed"), outcome
    # One request each: nobody else was in the way, and nothing was asked again.
    assert {name: count for name, count in fakes.asked.items() if count != 1} == {}
    # Nobody has ever seen a part of it.
    kept = assert_stamps_agree(home)
    assert kept == sum(kind_of(name) in WELL for name in configured)
    assert seen == {0, 2 * kept + (100 - kept) + 1}
    reasons = {kind: outcomes[f"{kind}-0"]["error"] for kind, _ in HUNDRED if kind not in WELL}
    assert "10 seconds" in reasons["hung"] and "500" in reasons["broken"] and "JSON" in reasons["nonsense"]
    assert "32 MiB" in reasons["endless"] and "inflates" in reasons["gzip"] and "page" in reasons["circle"]
    assert "not followed" in reasons["elsewhere"]
    assert all("more than once" in note for note in outcomes["double-0"]["notes"])
    assert len(outcomes["nan-0"]["notes"]) == 3
    assert all(line["input_microusd"] is None for line in listed(home, "--provider", "nan-0"))
    assert outcomes["empty-0"]["models"] == 0 and ids(home, "empty-0") == []
    # A gigabyte from each of four: their bounds, not their sizes, are what is held.
    assert usage.ru_maxrss < 600 * 1024, f"{usage.ru_maxrss} KiB"


def test_twenty_refreshes_at_once_ask_each_provider_once_F03(home: Home, fakes: FakeProviders) -> None:
    home.configure(providers=fakes.configured(("fast", 10), ("broken", 2)))
    home.run("state", "set", "n", "k", "1")
    # They all come while another program has the turn, and so none can be late.
    turn = os.open(home.path / "catalog.lock", os.O_RDWR | os.O_CREAT, 0o600)
    whole = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 1, 0)
    fcntl.fcntl(turn, fcntl.F_OFD_SETLK, whole)
    inode = os.fstat(turn).st_ino
    processes = [
        subprocess.Popen(
            home.command("models", "refresh", "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=home.environment(),
        )
        for _ in range(20)
    ]

    def waiting() -> bool:
        table = Path("/proc/locks").read_text(encoding="ascii").splitlines()
        return sum(" -> " in line and f":{inode} " in line for line in table) == len(processes)

    try:
        eventually("all of them to wait for their turn", waiting)
        assert fakes.asked == {}
        os.close(turn)
        answers = [process.communicate(timeout=PATIENCE) for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * 20, answers
    found = [{line["name"]: line for line in map(json.loads, out.splitlines())} for out, _ in answers]
    assert all(len(outcomes) == 12 for outcomes in found)
    for outcomes in found:
        for name, outcome in outcomes.items():
            expected = {"fetched", "fresh"} if kind_of(name) == "fast" else {"failed"}
            assert outcome["outcome"] in expected, outcome
    assert set(fakes.asked.values()) == {1} and len(fakes.asked) == 12
    # A failure is not remembered: who comes later asks anew.
    refresh(home, code=69)
    assert (fakes.asked["broken-0"], fakes.asked["fast-0"]) == (2, 1)


def test_killed_while_refreshing_lists_and_stamps_agree_F02(home: Home, fakes: FakeProviders) -> None:
    home.configure(providers=fakes.configured(("fast", 30), ("anthropic", 2)))
    assert all(outcome["outcome"] == "fetched" for outcome in refresh(home).values())
    before = stored(home, "catalog.stamps")
    for moment in range(16):
        fakes.reset()
        if moment < 4:
            fakes.gate.clear()
        process = subprocess.Popen(
            home.command("models", "refresh", "--force", "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=home.environment(),
        )
        eventually("all to be asked", lambda: len(fakes.asked) == 32)
        if moment >= 4:
            # From the last question to a little after the commit.
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=moment * 0.004)
        process.kill()
        process.communicate()
        fakes.gate.set()
        assert assert_stamps_agree(home) == 32
        after = stored(home, "catalog.stamps")
        moved = sum(after[name] != before[name] for name in before)
        assert moved in (0, 32), "a refresh was kept in part"
        if moment < 4:
            assert moved == 0
        before = after
    # The turn died with its process.
    assert all(outcome["outcome"] == "fetched" for outcome in refresh(home, "--force").values())


def test_the_fake_is_what_the_sdks_expect_and_the_catalogue_has_the_same(
    home: Home, fakes: FakeProviders
) -> None:
    home.configure(
        providers=fakes.configured(("fast", 1), ("zipped", 1), ("anthropic", 1), ("gemini", 1), ("ollama", 1))
    )
    refresh(home)
    for name in ("fast-0", "zipped-0"):
        with openai.OpenAI(base_url=f"{fakes.url}/{name}/v1", api_key="k", max_retries=0) as client:
            found = [model.id for model in client.models.list()]
        assert found == names(name) == ids(home, name)
    with anthropic.Anthropic(base_url=f"{fakes.url}/anthropic-0", api_key="k", max_retries=0) as client:
        models = list(client.models.list())
    assert [model.id for model in models] == names("anthropic-0", 7) == ids(home, "anthropic-0")
    assert ids(home, "gemini-0") == names("gemini-0", 5)
    assert ids(home, "ollama-0") == [f"{name}:latest" for name in names("ollama-0")]
    (line,) = [line for line in listed(home, "--provider", "fast-0") if line["id"] == "fast-0-model-1"]
    contract = {"id", "provider", "context", "input_microusd", "output_microusd", "fetched_at"}
    assert contract <= line.keys()
    assert (line["context"], line["input_microusd"], line["output_microusd"]) == (
        128_000,
        1_000_000,
        2_000_000,
    )
    shown = json.loads(home.run("models", "show", "fast-0/fast-0-model-1", "--json").stdout)
    assert shown["created"] == "2023-11-14T22:13:20.000Z" and shown["aliases"] == []
    assert home.run("models", "show", "ollama-0-model-1").returncode == 0
    assert home.run("models", "show", "unheard", check=False).returncode == 66


def test_the_last_good_list_stays_and_providers_tell_why(home: Home, fakes: FakeProviders) -> None:
    home.configure(providers=fakes.configured(("fast", 2)))
    assert {name: line["outcome"] for name, line in refresh(home).items()} == {
        "fast-0": "fetched",
        "fast-1": "fetched",
    }
    assert refresh(home)["fast-0"]["outcome"] == "fresh"
    fakes.failing = {"fast-0", "fast-1"}
    found = refresh(home, "--force", "fast-0", code=69)
    assert found.keys() == {"fast-0"}
    assert (found["fast-0"]["outcome"], found["fast-0"]["models"]) == ("kept", 3)
    assert ids(home, "fast-0") == names("fast-0")
    providers = {line["name"]: line for line in home.json_lines("models", "providers")}
    contract = {"name", "kind", "enabled", "last_success", "cooldown_until"}
    assert all(contract <= line.keys() for line in providers.values())
    assert providers["fast-0"]["error"] == "It answered with status 500."
    assert providers["fast-1"]["error"] is None and providers["fast-1"]["last_success"]
    # Known anyway, but nobody has said anything of it.
    assert providers["groq"] | {"models": 0, "usable": False, "last_success": None} == providers["groq"]
    assert home.run("models", "refresh", "unheard", check=False).returncode == 66


def test_a_provider_switched_off_by_hand_stays_off(home: Home, fakes: FakeProviders) -> None:
    configured = fakes.configured(("fast", 3))
    configured["fast-2"]["enabled"] = False
    home.configure(providers=configured)
    assert refresh(home).keys() == {"fast-0", "fast-1"}
    home.run("models", "providers", "disable", "fast-0")
    home.run("models", "providers", "enable", "fast-2")
    assert refresh(home, "--force").keys() == {"fast-1", "fast-2"}
    assert {line["provider"] for line in listed(home)} == {"fast-1", "fast-2"}
    with contextlib.closing(sqlite3.connect(home.path / "state.db", timeout=PATIENCE)) as peer, peer:
        peer.execute("DELETE FROM state WHERE namespace IN ('catalog.models', 'catalog.stamps', 'catalog')")
    assert refresh(home, "--force").keys() == {"fast-1", "fast-2"}
    (line,) = home.json_lines("models", "providers", "auto", "fast-2")
    assert line["enabled"] is False
    assert home.run("models", "providers", "disable", "unheard", check=False).returncode == 66
    assert home.run("models", "providers", "disable", check=False).returncode == 64


def test_keys_go_to_their_provider_and_nowhere_else_F06(home: Home, fakes: FakeProviders) -> None:
    kinds = ("fast", "anthropic", "gemini", "broken", "elsewhere")
    configured = fakes.configured(*((kind, 1) for kind in kinds))
    for number, provider in enumerate(configured.values()):
        provider["api_key_env"] = f"FAKE_KEY_{number}"
    home.configure(providers=configured)
    keys = {f"FAKE_KEY_{number}": f"sk-secret-{number}" for number in range(5)}
    done = subprocess.run(
        home.command("models", "refresh", "--json"),
        capture_output=True,
        text=True,
        env=home.environment(**keys),
        timeout=PATIENCE,
        check=True,
    )
    assert fakes.keys["fast-0"] == "Bearer sk-secret-0"
    assert fakes.keys["anthropic-0"] == "sk-secret-1" and fakes.keys["gemini-0"] == "sk-secret-2"
    # Sent on to another, it was not followed with the key in hand.
    assert fakes.asked["fast-0"] == 1
    said = done.stdout + done.stderr + home.run("models", "providers", "--json").stdout
    files = b"".join(path.read_bytes() for path in home.path.glob("state.db*"))
    assert "sk-secret" not in said and b"sk-secret" not in files
