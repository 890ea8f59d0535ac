# SPDX-License-Identifier: Apache-2.0
"""`holdfast sessions import` with transcripts as each program writes them."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

import transcripts
from program import PATIENCE, Home, eventually


def reports(home: Home, *arguments: str, check: bool = True) -> list[dict]:
    done = home.run("sessions", "import", "--json", *arguments, check=check)
    return [json.loads(line) for line in done.stdout.splitlines()]


def report(home: Home, *arguments: str, check: bool = True) -> dict:
    (one,) = reports(home, *arguments, check=check)
    return one


def shown(home: Home, session: str) -> dict:
    return json.loads(home.run("sessions", "show", session, "--json").stdout)


def exported(home: Home) -> dict[str, list[dict]]:
    """Every session with all its messages, of every state."""
    found: dict[str, list[dict]] = {}
    last = ""
    for line in home.run("sessions", "export").stdout.splitlines():
        item = json.loads(line)
        if "session" in item:
            last = item["session"]["id"]
            found[last] = []
        else:
            found[last].append(item["message"])
    return found


def searched(home: Home, query: str) -> list[dict]:
    lines = home.run("sessions", "search", query, "--json").stdout
    return json.loads(lines)["hits"]


def checksums(place: Path) -> dict[str, str]:
    """Every file below a place, with what is in it: -wal and -shm too, and none more than there were."""
    return {
        str(file.relative_to(place)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(place.rglob("*"))
        if file.is_file()
    }


Make = Callable[[Path], Path]
PROGRAMS: dict[str, tuple[Make, int, int, str]] = {
    # how it is made, sessions, messages, a word to find
    "claude-code": (transcripts.claude, 2, 7, "kurbelgetriebe"),
    "codex": (transcripts.codex, 1, 5, "dichtring"),
    "hermes": (transcripts.hermes, 3, 8, "mühlstein"),
    "crush": (lambda home: transcripts.crush(home / "site"), 2, 7, "glockenturm"),
    "opencode": (transcripts.opencode_database, 2, 7, "pendeluhr"),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_second_import_adds_nothing_and_the_source_stays_as_it_was(
    home: Home, program: str, tmp_path: Path
) -> None:
    make, sessions, messages, word = PROGRAMS[program]
    source = tmp_path / "source"
    make(source)
    before = checksums(source)
    first = report(home, str(source))
    assert (first["sessions"], first["messages"], first["refused"]) == (sessions, messages, 0)
    assert (first["sessions_known"], first["messages_known"], first["messages_updated"]) == (0, 0, 0)
    everything = exported(home)
    again = report(home, str(source))
    assert (again["sessions"], again["messages"], again["messages_updated"]) == (0, 0, 0)
    assert (again["sessions_known"], again["messages_known"]) == (sessions, messages)
    assert exported(home) == everything
    assert checksums(source) == before
    assert searched(home, word), "what was imported is found"


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_dry_run_tells_what_an_import_would_do_and_does_nothing(
    home: Home, program: str, tmp_path: Path
) -> None:
    make, sessions, messages, _ = PROGRAMS[program]
    make(tmp_path)
    looked = report(home, "--dry-run", "--from", program, str(tmp_path))
    assert (looked["sessions"], looked["messages"]) == (sessions, messages)
    assert not home.path.exists()
    report(home, str(tmp_path))
    looked = report(home, "--dry-run", str(tmp_path))
    assert (looked["sessions"], looked["messages"], looked["messages_known"]) == (0, 0, messages)


def test_each_programs_own_place_is_found(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    for make in (transcripts.claude, transcripts.codex, transcripts.hermes, transcripts.opencode_files):
        make(home.user)
    project = home.user / "site"
    transcripts.crush(project)
    monkeypatch.chdir(project)
    found = {one["source"]: one["messages"] for one in reports(home, "--from", "all")}
    assert found == {"claude-code": 7, "codex": 5, "hermes-agent": 8, "crush": 7, "opencode": 7}
    for program in PROGRAMS:
        assert report(home, "--from", program)["messages"] == 0


def test_claude_code_sessions_come_with_their_sub_agents_and_count_usage_once(home: Home) -> None:
    transcripts.claude(home.user)
    report(home, "--from", "claude-code")
    session = shown(home, transcripts.CLAUDE_SESSION)["session"]
    assert (session["source"], session["cwd"], session["git_branch"]) == (
        "claude-code",
        "/home/me/site",
        "main",
    )
    assert (session["model"], session["started"]) == ("claude-sonnet-4-5", "2026-11-20T10:00:01.250Z")
    assert (session["title"], session["title_from"]) == ("A pawl that sticks", "model")
    # Two blocks of one response repeat its usage.
    assert session["own"] == {
        "input_tokens": 20,
        "cache_read_tokens": 2000,
        "cache_write_tokens": 400,
        "output_tokens": 80,
        "cost_microusd": 0,
    }
    assert session["total"]["output_tokens"] == 87
    agent = shown(home, f"{transcripts.CLAUDE_SESSION}/agent-a975e135")["session"]
    assert (agent["parent"], agent["edge"]) == (transcripts.CLAUDE_SESSION, "subagent")
    assert (agent["title"], agent["metadata"]["agent"]) == ("Find spindles", "Explore")
    messages = shown(home, transcripts.CLAUDE_SESSION)["messages"]
    assert [m["uid"] for m in messages] == ["u-1", "a-1", "a-2", "u-2", "a-3"]
    assert messages[2]["content"][0]["input"] == {"command": "ls kurbelgetriebe"}


def test_a_compaction_of_claude_codes_lets_its_summary_stand_for_what_was_said(home: Home) -> None:
    lines = transcripts.claude_main()
    path = transcripts.jsonl(home.user / "s.jsonl", *lines)
    report(home, str(path))
    boundary = transcripts.claude_line("system", "b-1", 9, {}) | {
        "subtype": "compact_boundary",
        "content": "Conversation compacted",
        "compactMetadata": {"trigger": "auto", "preTokens": 9, "preservedMessages": {"uuids": ["a-3"]}},
    }
    summary = transcripts.claude_line(
        "user",
        "u-9",
        9,
        {"role": "user", "content": "This session is being continued: a pawl stuck."},
        isCompactSummary=True,
    )
    transcripts.jsonl(path, *lines, boundary, summary)
    grown = report(home, str(path))
    assert (grown["messages"], grown["messages_updated"], grown["messages_known"]) == (1, 4, 1)
    states = {m["uid"]: m["state"] for m in exported(home)[transcripts.CLAUDE_SESSION]}
    gone = {uid for uid, state in states.items() if state == "compacted"}
    assert gone == {"u-1", "a-1", "a-2", "u-2"}
    assert [m["uid"] for m in shown(home, transcripts.CLAUDE_SESSION)["messages"]] == ["a-3", "u-9"]
    again = report(home, str(path))
    assert (again["messages"], again["messages_updated"]) == (0, 0)


def test_a_claude_code_fork_is_a_fork_and_costs_nothing_again(home: Home) -> None:
    transcripts.jsonl(home.user / "t" / "s.jsonl", *transcripts.claude_main())
    fork = "aaaaaaaa-5a77-4d7e-9a35-1f6f0a4c2b11"
    copies = [
        line
        | {"sessionId": fork, "forkedFrom": {"sessionId": transcripts.CLAUDE_SESSION, "messageUuid": "x"}}
        for line in transcripts.claude_main()
        if "message" in line
    ]
    own = transcripts.claude_answer(
        "f-1", 8, "msg_7", {"type": "text", "text": "own"}, output=3, sessionId=fork
    )
    transcripts.jsonl(home.user / "t" / "f.jsonl", *copies, own)
    report(home, str(home.user / "t"))
    session = shown(home, fork)["session"]
    assert (session["parent"], session["edge"], session["messages"]) == (
        transcripts.CLAUDE_SESSION,
        "fork",
        6,
    )
    assert session["own"]["output_tokens"] == 3


def test_codex_counts_only_what_changed_and_names_calls_and_results(home: Home) -> None:
    transcripts.codex(home.user)
    report(home, "--from", "codex")
    session = shown(home, transcripts.CODEX_THREAD)["session"]
    assert (session["model"], session["git_branch"], session["title"]) == (
        "gpt-5.5",
        "trunk",
        "Oil the zahnradpumpe",
    )
    assert session["own"] == {
        "input_tokens": 1500,
        "cache_read_tokens": 1500,
        "cache_write_tokens": 0,
        "output_tokens": 300,
        "cost_microusd": 0,
    }
    _, _, call, result, _ = shown(home, transcripts.CODEX_THREAD)["messages"]
    assert call["tool_calls"][0]["function"] == {"name": "exec_command", "arguments": '{"cmd":"oil"}'}
    assert (result["role"], result["tool_call_id"], result["content"]) == (
        "tool",
        "call_1",
        "oiled the dichtring",
    )


def test_codex_sub_agents_forks_compaction_and_undone_turns(home: Home) -> None:
    child, fork = "019dd8e4-0000-7143-95e8-000000000002", "019dd8e4-0000-7143-95e8-000000000003"
    transcripts.jsonl(
        transcripts.codex_path(home.user),
        *transcripts.codex_main(),
        transcripts.rollout("compacted", 10, message="Summary: oiled.", replacement_history=[]),
        transcripts.codex_text(11, "user", "a mistake"),
        transcripts.codex_text(12, "assistant", "an answer to it"),
        transcripts.rollout("event_msg", 13, type="thread_rolled_back", num_turns=1),
        transcripts.codex_text(14, "user", "better"),
    )
    spawned = {"subagent": {"thread_spawn": {"parent_thread_id": transcripts.CODEX_THREAD, "depth": 1}}}
    transcripts.jsonl(
        transcripts.codex_path(home.user, child),
        transcripts.codex_meta(child, 20, source=spawned, agent_nickname="Boole"),
        transcripts.codex_text(21, "assistant", "child speaks"),
        transcripts.codex_tokens(22, 100, 100),
    )
    transcripts.jsonl(
        transcripts.codex_path(home.user, fork),
        transcripts.codex_meta(fork, 30, forked_from_id=transcripts.CODEX_THREAD),
        transcripts.codex_meta(second=30),
        transcripts.codex_text(30, "assistant", "It runs smoothly."),
        transcripts.codex_tokens(30, 3000, 2000),
        transcripts.codex_text(40, "assistant", "on my own"),
        transcripts.codex_tokens(41, 3500, 500),
    )
    assert report(home, "--from", "codex")["refused"] == 0
    states = [(m["content"], m["state"]) for m in exported(home)[transcripts.CODEX_THREAD]]
    assert states[4:] == [
        ("It runs smoothly.", "compacted"),
        ("Summary: oiled.", "live"),
        ("a mistake", "undone"),
        ("an answer to it", "undone"),
        ("better", "live"),
    ]
    below = shown(home, child)["session"]
    assert (below["parent"], below["edge"]) == (transcripts.CODEX_THREAD, "subagent")
    assert below["metadata"]["agent"] == "Boole"
    copy = shown(home, fork)["session"]
    assert (copy["parent"], copy["edge"], copy["own"]["output_tokens"]) == (
        transcripts.CODEX_THREAD,
        "fork",
        50,
    )
    again = report(home, "--from", "codex")
    assert (again["messages"], again["messages_updated"]) == (0, 0)


def test_hermes_delegates_continuations_states_and_parts(home: Home) -> None:
    transcripts.hermes(home.user)
    report(home, "--from", "hermes")
    root = shown(home, "20261120_100000_aa11")["session"]
    assert (root["title"], root["title_from"], root["ended_reason"]) == (
        "The windmill",
        "user",
        "compression",
    )
    assert root["own"]["cost_microusd"] == 12_500
    assert root["total"]["output_tokens"] == 69
    assert shown(home, "20261120_100030")["session"]["edge"] == "subagent"
    assert shown(home, "20261120_100100")["session"]["edge"] == "continuation"
    messages = exported(home)["20261120_100000_aa11"]
    assert [m["state"] for m in messages] == ["compacted", "live", "live", "live", "live", "undone"]
    assert messages[3]["content"][0] == {"type": "text", "text": "See the mühlstein"}
    assert messages[4]["content"][0] == {"type": "reasoning", "text": "thinking of wind"}


def test_crush_counts_a_sub_agents_cost_once_and_splits_results(home: Home) -> None:
    transcripts.crush(home.user / "site")
    report(home, str(home.user / "site"))
    session = shown(home, transcripts.CRUSH_SESSION)["session"]
    assert (session["cwd"], session["model"], session["title"]) == (
        str(home.user / "site"),
        "gpt-5",
        "Bell tower",
    )
    assert (session["own"]["cost_microusd"], session["total"]["cost_microusd"]) == (30_000, 50_000)
    messages = exported(home)[transcripts.CRUSH_SESSION]
    assert [m["state"] for m in messages] == ["compacted"] * 4 + ["live"] * 2
    assert [m.get("tool_call_id") for m in messages[2:4]] == ["call_1", "call_2"]
    assert messages[1]["tool_calls"][0]["function"]["name"] == "agent"
    assert messages[1]["finish_reason"] == "tool_use"


@pytest.mark.parametrize("make", [transcripts.opencode_database, transcripts.opencode_files])
def test_opencode_is_the_same_from_its_database_and_its_files(home: Home, make: Make) -> None:
    make(home.user)
    report(home, "--from", "opencode")
    session = shown(home, "ses_1")["session"]
    assert (session["title"], session["cwd"]) == ("The cuckoo", "/home/me/clock")
    assert (session["own"]["cost_microusd"], session["total"]["cost_microusd"]) == (3000, 4000)
    assert shown(home, "ses_2")["session"]["parent"] == "ses_1"
    messages = exported(home)["ses_1"]
    assert [(m["role"], m["state"]) for m in messages] == [
        ("user", "compacted"),
        ("assistant", "compacted"),
        ("tool", "compacted"),
        ("assistant", "compacted"),
        ("assistant", "live"),
        ("user", "undone"),
    ]
    assert messages[2]["content"] == "wound the pendeluhr"
    assert json.loads(messages[1]["tool_calls"][0]["function"]["arguments"]) == {"command": "wind"}


def test_a_transcript_that_grew_is_continued_and_half_a_line_waits(home: Home) -> None:
    lines = transcripts.claude_main()
    path = transcripts.jsonl(home.user / "s.jsonl", *lines[:3])
    half = json.dumps(lines[3])
    path.write_text(path.read_text() + half[: len(half) // 2])
    first = report(home, str(path))
    assert (first["messages"], first["incomplete"], first["refused"]) == (2, 1, 0)
    transcripts.jsonl(path, *lines)
    grown = report(home, str(path))
    assert (grown["messages"], grown["messages_known"], grown["incomplete"]) == (3, 2, 0)
    uids = [m["uid"] for m in exported(home)[transcripts.CLAUDE_SESSION]]
    assert uids == ["u-1", "a-1", "a-2", "u-2", "a-3"]


def test_a_file_that_was_written_anew_brings_what_is_new_and_takes_nothing_away(home: Home) -> None:
    path = transcripts.codex(home.user)
    report(home, str(path))
    kept = [line for line in transcripts.codex_main() if line["type"] != "event_msg"]
    transcripts.jsonl(path, *kept[:-1], transcripts.codex_text(9, "assistant", "another end"))
    again = report(home, str(path))
    assert (again["messages"], again["refused"]) == (1, 0)
    contents = [m["content"] for m in exported(home)[transcripts.CODEX_THREAD]]
    assert contents[-2:] == ["It runs smoothly.", "another end"]


def test_what_cannot_be_read_is_told_with_file_and_line_and_the_rest_taken(home: Home) -> None:
    lines = transcripts.claude_main()
    # Latin-1 and half a surrogate pair are put right; what is no JSON, or no message, is told.
    wounded = json.dumps(
        transcripts.claude_line("user", "w-1", 6, {"role": "user", "content": "wounded \ud800"})
    )
    path = transcripts.jsonl(
        home.user / "s.jsonl",
        *lines[:2],
        '{"type":"user",',
        "",
        "[1]",
        {"type": "user", "uuid": "n"},
        wounded,
    )
    with path.open("ab") as file:
        file.write(
            json.dumps(lines[2]).replace("Let me look.", "@").encode().replace(b"@", b"caf\xe9") + b"\n"
        )
    done = home.run("sessions", "import", str(path), "--json", check=False)
    assert done.returncode == 65
    told = json.loads(done.stdout)
    assert (told["messages"], told["refused"]) == (3, 3)
    assert [fault["line"] for fault in told["faults"]] == [3, 5, 6]
    assert all(fault["file"] == str(path) for fault in told["faults"])
    assert f"{path}:3: " in done.stderr
    contents = [m["content"] for m in exported(home)[transcripts.CLAUDE_SESSION]]
    assert contents[1:] == ["wounded \ufffd", "caf\ufffd"]


def test_of_many_unreadable_lines_the_first_are_told_and_all_are_counted(home: Home) -> None:
    path = transcripts.jsonl(home.user / "s.jsonl", *transcripts.claude_main(), *(["{"] * 250))
    done = home.run("sessions", "import", str(path), "--json", check=False)
    told = json.loads(done.stdout)
    assert (told["messages"], told["refused"], len(told["faults"])) == (5, 250, 100)
    assert len(done.stderr.splitlines()) == 101
    assert done.stderr.endswith("150 more could not be read.\n")


def test_rows_that_hold_nonsense_end_nothing(home: Home) -> None:
    path = transcripts.crush(home.user / "site")
    db = sqlite3.connect(path)
    db.execute("UPDATE messages SET parts = 'no json' WHERE id = 'cm-1'")
    db.execute("UPDATE messages SET created_at = 'soon', parts = x'5b5d' WHERE id = 'cm-5'")
    db.execute("UPDATE sessions SET cost = 'much', title = x'ff00ff' WHERE parent_session_id IS NOT NULL")
    db.commit()
    db.close()
    told = report(home, str(path), check=False)
    assert told["refused"] == 1
    assert "cm-1" in told["faults"][0]["reason"]
    assert told["messages"] == 6


@pytest.mark.parametrize("program", ["hermes", "crush", "opencode"])
def test_a_damaged_database_is_told_and_the_others_are_taken(
    home: Home, program: str, tmp_path: Path
) -> None:
    make, _, messages, _ = PROGRAMS[program]
    whole, broken = make(tmp_path / "b"), make(tmp_path / "a")
    content = bytearray(broken.read_bytes())
    page = int.from_bytes(content[16:18], "big")
    for start in range(2 * page, len(content), page):
        content[start : start + page] = b"\xa5" * page
    broken.write_bytes(content)
    done = home.run("sessions", "import", "--json", "--from", program, str(broken), str(whole), check=False)
    assert done.returncode == 65
    told = json.loads(done.stdout)
    assert told["messages"] == messages
    assert told["faults"] and all(fault["file"] == str(broken) for fault in told["faults"])
    assert broken.read_bytes() == bytes(content)


@pytest.mark.parametrize("program", ["hermes", "crush", "opencode"])
def test_a_dead_programs_wal_is_read_without_touching_it(home: Home, program: str, tmp_path: Path) -> None:
    """The last commits of a program that was killed are in its -wal only; -wal and -shm stay as they are."""
    make, _, messages, _ = PROGRAMS[program]
    path = make(tmp_path / "made")
    script = (
        "import os, sqlite3, sys\n"
        "db = sqlite3.connect(sys.argv[1])\n"
        "db.execute('PRAGMA wal_autocheckpoint = 0')\n"
        "db.execute(sys.argv[2])\n"
        "db.commit()\n"
        "os.kill(os.getpid(), 9)\n"
    )
    statement = {
        "hermes": "INSERT INTO messages(session_id, role, content, timestamp)"
        " VALUES ('20261120_100030_cc33', 'user', 'from the wal', 1763632900)",
        "crush": "INSERT INTO messages(id, session_id, role, parts, created_at, updated_at) VALUES"
        " ('cm-9', 'cm-2$$call_1', 'user', '[]', 1763632900, 1)",
        "opencode": "INSERT INTO message VALUES"
        " ('msg_9', 'ses_2', 1763632900000, 1, '{\"role\":\"assistant\"}')",
    }[program]
    killed = subprocess.run(["python3", "-c", script, str(path), statement], timeout=PATIENCE, check=False)
    assert killed.returncode == -signal.SIGKILL
    before = checksums(tmp_path / "made")
    assert any(name.endswith("-wal") for name in before)
    assert report(home, str(path))["messages"] == messages + 1
    assert checksums(tmp_path / "made") == before


def test_a_database_whose_program_is_writing_is_read(home: Home) -> None:
    """Commits go on during the imports; each sees whole ones, and the last one all of them."""
    path = transcripts.hermes(home.user)
    stop = threading.Event()
    written = 8

    def write() -> None:
        nonlocal written
        db = sqlite3.connect(path, timeout=PATIENCE)
        while not stop.is_set():
            for _ in range(2):
                transcripts.hermes_message(db, "20261120_100030_cc33", "user", f"number {written}")
                written += 1
            db.commit()
            stop.wait(0.002)
        db.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        eventually("some commits", lambda: written > 20)
        known = 0
        for _ in range(4):
            told = report(home, str(path))
            assert told["refused"] == 0
            assert told["messages_known"] == known
            known += told["messages"]
            # Two are committed together.
            assert known % 2 == 0
    finally:
        stop.set()
        writer.join()
    assert known + report(home, str(path))["messages"] == written
    contents = [m["content"] for m in exported(home)["20261120_100030_cc33"]][1:]
    assert contents == [f"number {number}" for number in range(8, written)]
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


def many_sessions(place: Path, sessions: int, messages: int) -> None:
    for number in range(sessions):
        name = f"{number:08x}-5a77-4d7e-9a35-1f6f0a4c2b11"
        transcripts.jsonl(
            place / f"{name}.jsonl",
            *(
                transcripts.claude_line(
                    "user",
                    f"{number}-{index}",
                    index % 3000,
                    {"role": "user", "content": f"message {index} of {number}"},
                    sessionId=name,
                )
                for index in range(messages)
            ),
        )


def in_order(home: Home, sessions: int, messages: int) -> None:
    found = exported(home)
    assert len(found) == sessions
    for number in range(sessions):
        uids = [m["uid"] for m in found[f"{number:08x}-5a77-4d7e-9a35-1f6f0a4c2b11"]]
        assert uids == [f"{number}-{index}" for index in range(messages)]


def test_two_imports_at_once_make_each_message_once_and_in_order(home: Home, tmp_path: Path) -> None:
    many_sessions(tmp_path, 6, 700)
    home.path.mkdir(mode=0o700)
    started = [
        subprocess.Popen(
            home.command("sessions", "import", "--json", str(tmp_path)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=home.environment(),
            text=True,
        )
        for _ in range(3)
    ]
    told = []
    for process in started:
        out, error = process.communicate(timeout=PATIENCE * 2)
        assert process.returncode == 0, error
        told.append(json.loads(out))
    assert sum(one["messages"] for one in told) == 4200
    assert sum(one["sessions"] for one in told) == 6
    assert sum(one["messages"] + one["messages_known"] for one in told) == 3 * 4200
    in_order(home, 6, 700)


def messages_in(home: Home) -> int:
    if not (home.path / "sessions.db").exists():
        return 0
    with closing(sqlite3.connect(home.path / "sessions.db", timeout=PATIENCE)) as db:
        try:
            return db.execute("SELECT count(*) FROM message").fetchone()[0]
        except sqlite3.OperationalError:
            # Its tables are being made.
            return 0


def more_than(before: int, home: Home, process: subprocess.Popen[bytes]) -> bool:
    return messages_in(home) > before or process.poll() is not None


def test_an_import_that_is_killed_is_finished_by_the_next_one(home: Home, tmp_path: Path) -> None:
    many_sessions(tmp_path, 8, 1500)
    home.path.mkdir(mode=0o700)
    there = 0
    for _ in range(3):
        process = subprocess.Popen(
            home.command("sessions", "import", "--json", str(tmp_path)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=home.environment(),
        )
        eventually("more messages", partial(more_than, there, home, process))
        process.kill()
        process.communicate(timeout=PATIENCE)
        there = messages_in(home)
    assert there > 0
    told = report(home, str(tmp_path))
    assert told["messages_known"] == there
    assert told["messages"] == 12_000 - there
    in_order(home, 8, 1500)
    db = sqlite3.connect(home.path / "sessions.db")
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert db.execute("SELECT sum(messages) FROM session").fetchone() == (12_000,)
    db.close()


def test_another_writers_session_of_the_same_id_is_kept_apart(home: Home) -> None:
    home.run("sessions", "append", transcripts.CLAUDE_SESSION, "--content", "captured on the way")
    transcripts.claude(home.user)
    report(home, "--from", "claude-code")
    found = exported(home)
    assert [m["content"] for m in found[transcripts.CLAUDE_SESSION]] == ["captured on the way"]
    apart = f"claude-code:{transcripts.CLAUDE_SESSION}"
    assert len(found[apart]) == 5
    agent = shown(home, f"{transcripts.CLAUDE_SESSION}/agent-a975e135")["session"]
    assert agent["parent"] == apart
    assert report(home, "--from", "claude-code")["messages"] == 0


def test_a_title_that_a_person_gave_is_not_replaced_and_a_better_one_is_taken(home: Home) -> None:
    path = transcripts.jsonl(home.user / "s.jsonl", *transcripts.claude_main()[:-1])
    report(home, str(path))
    session = shown(home, transcripts.CLAUDE_SESSION)["session"]
    assert (session["title"], session["title_from"]) == ("Why does the läuferklinke stick?", "derived")
    transcripts.jsonl(path, *transcripts.claude_main())
    report(home, str(path))
    assert shown(home, transcripts.CLAUDE_SESSION)["session"]["title"] == "A pawl that sticks"
    home.run("sessions", "rename", transcripts.CLAUDE_SESSION, "Mine")
    report(home, str(path))
    assert shown(home, transcripts.CLAUDE_SESSION)["session"]["title"] == "Mine"


def test_refusals_are_one_sentence_with_their_code(home: Home, tmp_path: Path) -> None:
    def refused(code: int, *arguments: str) -> str:
        done = home.run("sessions", "import", *arguments, check=False)
        assert done.returncode == code, done.stderr
        assert done.stdout == ""
        assert not home.path.exists()
        return done.stderr

    notes = tmp_path / "notes.txt"
    notes.write_text("dear diary\n")
    assert "--from" in refused(64)
    assert "claude-code, codex" in refused(64, "--from", "eliza")
    assert "no path" in refused(64, "--from", "all", str(notes))
    assert "alone" in refused(64, "-", str(notes))
    assert "gone.jsonl" in refused(66, str(tmp_path / "gone.jsonl"))
    assert "no transcripts" in refused(66, str(tmp_path))
    assert "codex has no transcripts" in refused(66, "--from", "codex")
    assert "--from" in refused(65, str(notes))
    database = tmp_path / "other.db"
    db = sqlite3.connect(database)
    db.execute("CREATE TABLE recipe(id INTEGER PRIMARY KEY)")
    db.close()
    assert "no transcript of hermes" in refused(65, "--from", "hermes", str(database))


def test_an_export_is_still_told_by_what_is_in_it(home: Home, tmp_path: Path) -> None:
    transcripts.claude(home.user)
    report(home, "--from", "claude-code")
    everything = exported(home)
    export = tmp_path / "export.jsonl"
    export.write_text(home.run("sessions", "export").stdout)
    other = Home(tmp_path / "other")
    told = report(other, str(export))
    assert told == {"sessions": 2, "messages": 7, "refused": 0}
    assert exported(other) == everything
    # Marked as imported, so the transcripts themselves add nothing.
    shutil.copytree(home.user / ".claude", other.user / ".claude")
    assert report(other, "--from", "claude-code")["messages"] == 0
