# SPDX-License-Identifier: Apache-2.0
"""`holdfast usage import` with logs as Claude Code, Codex and others write them, alone and beside the
gateway."""

from __future__ import annotations

import itertools
import json
import signal
import sqlite3
import subprocess
import threading
import urllib.request
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

import transcripts
from fake_upstream import FakeUpstream
from program import PATIENCE, Home, eventually
from transcripts import CODEX_THREAD, jsonl, stamp

ALL = ("--since", "all")
CLAUDE, CODEX = "claude-sonnet-4-5", "gpt-5.5"


def reports(home: Home, *arguments: str, check: bool = True) -> dict[str, dict]:
    done = home.run("usage", "import", "--json", *arguments, check=check)
    return {line["source"]: line for line in map(json.loads, done.stdout.splitlines())}


def counts(report: dict) -> tuple[int, int, int]:
    return report["rows_new"], report["rows_merged"], report["refused"]


def claude_line(message: int, output: int, session: str, tool: bool = False, **more: object) -> dict:
    block = {"type": "tool_use", "id": "t", "name": "Bash", "input": {}} if tool else {"type": "text"}
    line = transcripts.claude_answer(
        f"u-{message}-{output}", message % 60, f"msg_{session}_{message}", block, output, sessionId=session
    )
    return line | more


def codex_record(second: int, response: str, tokens: int) -> dict:
    usage = {
        "input_tokens": tokens,
        "cached_input_tokens": tokens // 2,
        "output_tokens": tokens // 10,
        "reasoning_output_tokens": 0,
        "total_tokens": tokens + tokens // 10,
    }
    return transcripts.rollout(
        "token_usage_record", second, thread_id=CODEX_THREAD, response_id=response, usage=usage
    )


def check_sums(home: Home) -> None:
    """The sums by hour and by day are those of the rows."""
    with closing(sqlite3.connect(home.usage_db, timeout=PATIENCE)) as db:
        columns = ("input_tokens", "output_tokens", "cost_microusd")
        measures = ", ".join(f"sum(coalesce({column}, 0))" for column in columns)
        rows = db.execute(
            f"SELECT model, count(*), {measures} FROM usage GROUP BY model ORDER BY model"
        ).fetchall()
        for table in ("usage_hourly", "usage_daily"):
            sums = db.execute(
                "SELECT key, sum(requests), sum(input_tokens), sum(output_tokens), sum(cost_microusd)"
                f" FROM {table} WHERE dimension = 'model' GROUP BY key HAVING sum(requests) <> 0 ORDER BY key"
            ).fetchall()
            assert sums == rows, table


def test_every_program_is_found_and_a_second_import_adds_nothing(home: Home) -> None:
    transcripts.claude(home.user)
    transcripts.codex(home.user)
    transcripts.opencode_database(home.user)
    looked = reports(home, "--dry-run")
    assert not home.path.exists(), "a dry run writes nothing"
    first = reports(home)
    assert {source: counts(report) for source, report in first.items()} == {
        "claude-code": (3, 0, 0),
        "codex": (2, 0, 0),
        "opencode": (4, 0, 0),
    }
    assert looked == first
    again = reports(home)
    assert all(counts(report) == (0, 0, 0) for report in again.values())
    assert again["claude-code"]["rows_unchanged"] == 3
    assert again["claude-code"]["files_unchanged"] == 2
    line = home.report("model", *ALL)[CLAUDE]
    assert (line["requests"], line["input_tokens"], line["cache_read_tokens"], line["output_tokens"]) == (
        3,
        30,
        3000,
        87,
    )
    assert home.report("agent", *ALL)["a975e135"]["requests"] == 1
    assert home.report("project", *ALL)["site"]["requests"] == 3
    assert home.report("tool", *ALL)["Bash"]["requests"] == 1
    check_sums(home)


def test_paths_are_told_by_what_is_in_them(home: Home, tmp_path: Path) -> None:
    place = tmp_path / "backup"
    jsonl(place / "a" / "one.jsonl", *transcripts.claude_main())
    jsonl(place / "b.jsonl", *transcripts.codex_main())
    jsonl(place / "other.jsonl", {"hello": "world"})
    task = place / "globalStorage/rooveterinaryinc.roo-cline/tasks/17/ui_messages.json"
    task.parent.mkdir(parents=True)
    request = {"tokensIn": 7, "tokensOut": 3, "cost": 0.5, "apiProtocol": "openai"}
    say = {"ts": 1_763_632_800_000, "type": "say", "say": "api_req_started", "text": json.dumps(request)}
    task.write_text(json.dumps([{"ts": 1, "type": "say", "say": "text", "text": "go"}, say]))
    chat = place / "tmp/web/chats/session-1.jsonl"
    tokens = {"input": 100, "output": 5, "cached": 40, "thoughts": 2, "tool": 0, "total": 107}
    answer = {"id": "g", "timestamp": stamp(1), "type": "gemini", "model": "gemini-2.5-pro", "tokens": tokens}
    jsonl(chat, {"sessionId": "s", "projectHash": "h"}, answer | {"tokens": None}, answer)
    found = reports(home, str(place))
    assert {source: report["rows_new"] for source, report in found.items()} == {
        "claude-code": 2,
        "codex": 2,
        "gemini-cli": 1,
        "cline": 1,
    }
    gemini = home.report("model", *ALL)["gemini-2.5-pro"]
    assert (gemini["input_tokens"], gemini["cache_read_tokens"], gemini["output_tokens"]) == (60, 40, 7)
    assert home.report("source", *ALL)["roo-code"]["cost_microusd"] == 500_000


def test_what_cannot_be_is_refused_and_the_rest_taken_d15(home: Home) -> None:
    lines = transcripts.claude_main()
    absurd = json.loads(json.dumps(lines[2]))
    absurd["message"]["usage"]["output_tokens"] = -1
    path = jsonl(home.user / "s.jsonl", *lines, absurd, "{half a line")
    done = home.run("usage", "import", "--json", str(path), check=False)
    assert done.returncode == 65
    assert counts(json.loads(done.stdout)) == (2, 0, 2)
    assert f"{path}:8: output_tokens is negative" in done.stderr
    for missing in (str(home.user / "nothing"), "gemini"):
        assert home.run("usage", "import", missing, check=False).returncode == 66
    assert home.run("usage", "import", "--watch", "--dry-run", check=False).returncode == 64


def test_two_imports_at_once_of_a_growing_tree_count_each_request_once(home: Home) -> None:
    """Done when 2: twice, in two processes at once, while a file grows; and a fork's copies among it."""
    sessions = [f"s{number}" for number in range(4)]
    project = home.user / ".claude/projects/-home-me-site"
    for session in sessions:
        jsonl(
            project / f"{session}.jsonl",
            *(claude_line(message, 1, session) for message in range(200)),
            *(claude_line(message, 30, session, tool=True) for message in range(200)),
        )
    copies = [claude_line(message, 30, "s0") | {"sessionId": "fork"} for message in range(100)]
    jsonl(project / "t-fork.jsonl", *copies)
    rollout = transcripts.codex_path(home.user)
    jsonl(
        rollout,
        transcripts.codex_meta(),
        transcripts.rollout("turn_context", 1, cwd="/home/me/tool", model=CODEX),
        *(codex_record(2, f"resp_{number}", 1000) for number in range(300)),
    )
    home.path.mkdir(mode=0o700)
    growing = (project / "s1.jsonl").open("ab", buffering=0)
    grown = itertools.count(200)
    enough = threading.Event()
    appended = 0

    def grow() -> None:
        nonlocal appended
        with rollout.open("ab", buffering=0) as codex:
            while not enough.is_set() and appended < 2000:
                message = next(grown)
                for output in (1, 30):
                    text = json.dumps(claude_line(message, output, "s1")).encode() + b"\n"
                    # In two pieces: whoever reads in between finds half a line.
                    growing.write(text[:100])
                    growing.write(text[100:])
                codex.write(json.dumps(codex_record(3, f"resp_{message + 1000}", 1000)).encode() + b"\n")
                appended += 1

    writer = threading.Thread(target=grow)
    writer.start()
    try:
        for _ in range(2):
            importing = [
                subprocess.Popen(
                    home.command("usage", "import", "--json"),
                    env=home.environment(),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                )
                for _ in range(2)
            ]
            for process in importing:
                _, errors = process.communicate(timeout=PATIENCE * 2)
                assert process.returncode == 0, errors
    finally:
        enough.set()
        writer.join()
        growing.close()
    reports(home)
    again = reports(home)
    assert all(counts(report) == (0, 0, 0) for report in again.values())
    lines = home.report("model", *ALL)
    requests = 4 * 200 + appended
    claude = lines[CLAUDE]
    assert claude["requests"] == requests
    assert (claude["input_tokens"], claude["output_tokens"]) == (10 * requests, 30 * requests)
    assert (claude["cache_read_tokens"], claude["cache_write_5m_tokens"]) == (1000 * requests, 200 * requests)
    codex = lines[CODEX]
    assert codex["requests"] == 300 + appended
    assert (codex["input_tokens"], codex["output_tokens"]) == (500 * (300 + appended), 100 * (300 + appended))
    assert "fork" not in home.report("session", *ALL), "a fork's copies are of the session they came from"
    check_sums(home)


def test_a_killed_import_is_gone_on_with(home: Home) -> None:
    project = home.user / ".claude/projects/p"
    for session in ("a", "b", "c"):
        lines = (claude_line(message, output, session) for message in range(1500) for output in (1, 40))
        jsonl(project / f"{session}.jsonl", *lines)
    home.path.mkdir(mode=0o700)

    def landed() -> int:
        if not home.usage_db.exists():
            return 0
        with closing(sqlite3.connect(home.usage_db, timeout=PATIENCE)) as db:
            try:
                return db.execute("SELECT count(*) FROM usage").fetchone()[0]
            except sqlite3.OperationalError:
                return 0

    for _ in range(3):
        before = landed()
        process = subprocess.Popen(home.command("usage", "import"), env=home.environment())
        eventually(
            "something landed, or the import ended",
            lambda before=before, process=process: landed() > before or process.poll() is not None,
        )
        process.send_signal(signal.SIGKILL)
        process.wait()
    report = reports(home)["claude-code"]
    assert report["refused"] == 0
    line = home.report("model", *ALL)[CLAUDE]
    assert (line["requests"], line["output_tokens"]) == (4500, 4500 * 40)
    check_sums(home)


# Beside the gateway


def answer_messages(exchange) -> None:
    """An answer with the ids the request asks for."""
    if exchange.request.path != "/v1/messages":
        exchange.whole(404, b"{}")
        return
    request = exchange.request.json()
    number = request["metadata"]["user_id"]
    body = {
        "id": f"msg_{number}",
        "type": "message",
        "role": "assistant",
        "model": CLAUDE,
        "content": [{"type": "text", "text": "ok"}],
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 10,
            "cache_read_input_tokens": 1000,
            "cache_creation_input_tokens": 200,
            "output_tokens": 30,
        },
    }
    text = json.dumps(body).encode()
    exchange.head(
        200,
        [
            ("content-type", "application/json"),
            ("request-id", f"req_msg_{number}"),
            ("content-length", str(len(text))),
        ],
    )
    exchange.raw(text)


def ask(url: str, number: str) -> None:
    body = {"model": CLAUDE, "max_tokens": 8, "messages": [], "metadata": {"user_id": number}}
    request = urllib.request.Request(
        f"{url}/v1/messages",
        json.dumps(body).encode(),
        {
            "content-type": "application/json",
            "user-agent": "claude-cli/2.1.329 (external, cli)",
            "x-claude-code-session-id": "s-1",
            "x-api-key": "k",
        },
    )
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        assert response.status == 200
        response.read()


@pytest.mark.parametrize("logs_first", [False, True], ids=["wire first", "logs first"])
def test_what_the_gateway_saw_and_the_log_tells_is_one_row(
    home: Home, daemons: list, logs_first: bool
) -> None:
    """The same traffic through the gateway changes nothing but fills in what the logs lack, in either order;
    and what was lost on the wire comes back from the log."""
    upstream = FakeUpstream(answer_messages)
    home.configure(providers={"anthropic": {"kind": "anthropic", "base_url": upstream.url}})
    numbers = [f"n{number}" for number in range(12)]
    relayed = numbers[:8]

    def log() -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        lines = [
            transcripts.claude_answer(
                f"u-{number}-{output}",
                0,
                f"msg_{number}",
                {"type": "tool_use", "id": "t", "name": "Bash", "input": {}},
                output,
                sessionId="s-1",
                timestamp=now,
            )
            for number in numbers
            for output in (1, 30)
        ]
        jsonl(home.user / ".claude/projects/p/s-1.jsonl", *lines)

    daemon = home.serve()
    daemons.append(daemon)
    first, second = (None, None)
    if logs_first:
        log()
        first = reports(home)["claude-code"]
        assert counts(first) == (12, 0, 0)
    for number in relayed:
        ask(daemon.url, number)
    if not logs_first:
        daemon.requests_of(CLAUDE, len(relayed))
        log()
        second = reports(home)["claude-code"]
        assert counts(second) == (4, 8, 0)

    def merged() -> list:
        rows = home.rows(CLAUDE)
        return rows if sum(row["origin"] == "both" for row in rows) == len(relayed) else []

    rows = eventually("the wire's rows are one with the log's", merged)
    assert len(rows) == len(numbers)
    assert {row["response_id"] for row in rows} == {f"msg_{number}" for number in numbers}
    for row in rows:
        told = (
            row["input_tokens"],
            row["cache_read_tokens"],
            row["cache_write_5m_tokens"],
            row["output_tokens"],
        )
        assert told == (10, 1000, 200, 30)
        assert (row["project"], row["tool"], row["source"], row["session"]) == (
            "site",
            "Bash",
            "claude-code",
            "s-1",
        )
        # What only the gateway knows.
        assert (row["duration_ms"] is not None) == (row["origin"] == "both")
        assert row["cost_microusd"] == rows[0]["cost_microusd"]
    assert counts(reports(home)["claude-code"]) == (0, 0, 0)
    line = home.report("source", *ALL)["claude-code"]
    assert (line["requests"], line["output_tokens"]) == (12, 360)
    assert daemon.stop() == 0
    check_sums(home)
    upstream.close()
    assert upstream.failures == []


# Watching


def test_watch_takes_what_is_written(home: Home) -> None:
    path = jsonl(
        home.user / ".claude/projects/p/s.jsonl", *(claude_line(number, 5, "s") for number in range(3))
    )
    process = subprocess.Popen(
        home.command("usage", "import", "--watch", "--json"),
        env=home.environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["rows_new"] == 3
        text = json.dumps(claude_line(3, 5, "s")) + "\n"
        with path.open("a") as file:
            file.write(text[:50])
            file.flush()
            file.write(text[50:])
        assert json.loads(process.stdout.readline())["rows_new"] == 1
        # A directory that was not there, and a program that was not either.
        jsonl(home.user / ".claude/projects/new/deep/t.jsonl", claude_line(0, 5, "t"))
        assert json.loads(process.stdout.readline())["rows_new"] == 1
        transcripts.codex(home.user)
        line = json.loads(process.stdout.readline())
        assert (line["source"], line["rows_new"]) == ("codex", 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    assert home.report("source", *ALL)["claude-code"]["requests"] == 5


def test_serve_watches_the_programs_it_is_told_to(home: Home, daemons: list) -> None:
    path = jsonl(home.user / ".claude/projects/p/s.jsonl", claude_line(0, 5, "s"))
    transcripts.codex(home.user)
    home.configure(imports={"watch": ["claude-code"]})
    daemon = home.serve()
    daemons.append(daemon)
    daemon.requests_of(CLAUDE, 1)
    with path.open("a") as file:
        file.write(json.dumps(claude_line(1, 5, "s")) + "\n")
    daemon.requests_of(CLAUDE, 2)
    assert CODEX not in home.report("model", *ALL), "nobody asked for Codex's"
    assert daemon.stop() == 0
    home.configure(imports={"watch": ["emacs"]})
    refused = home.run("serve", "--port", "0", check=False)
    assert refused.returncode == 78
    assert "emacs" in refused.stderr
