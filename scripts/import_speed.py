#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes Claude Code transcripts and says how fast `holdfast sessions import` takes them in.

HOLDFAST_BIN names the program, a release build. Everything is made below --place, on the disk that is to be
measured, and removed again. Durability is full, as always; other writers' longest wait is measured beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORDS = [
    f"{start}{end}"
    for start in ["bl", "dr", "f", "gr", "k", "m", "n", "pl", "s", "tr", "v", "w"]
    for end in ["ack", "ent", "ile", "ode", "ure"]
]


def text(pick: random.Random, words: int) -> str:
    return " ".join(pick.choices(WORDS, k=words))


def session_lines(number: int, messages: int) -> list[dict]:
    """One session as Claude Code writes it: prompts, tool calls, their results, answers."""
    pick = random.Random(number)
    session = f"{number:08x}-1111-4222-8333-444455556666"
    lines: list[dict] = []
    parent: str | None = None
    for index in range(messages):
        turn = index % 4
        day = f"2026-{1 + number % 12:02}-{1 + index // 1440 % 28:02}"
        stamp = f"{day}T{index // 60 % 24:02}:{index % 60:02}:07.{index % 1000:03}Z"
        uuid = f"{number:08x}-{index:04x}-4{index % 4096:03x}-8000-{number * 7919 + index:012x}"
        line = {
            "parentUuid": parent,
            "isSidechain": False,
            "userType": "external",
            "cwd": f"/home/me/project-{number % 40}",
            "sessionId": session,
            "version": "2.1.88",
            "gitBranch": "main",
        }
        if turn == 0:
            line |= {"type": "user", "message": {"role": "user", "content": text(pick, 40)}}
        elif turn == 2:
            result = {"type": "tool_result", "tool_use_id": f"toolu_{index - 1}", "content": text(pick, 100)}
            line |= {
                "type": "user",
                "message": {"role": "user", "content": [result]},
                "toolUseResult": {"stdout": text(pick, 20), "stderr": "", "interrupted": False},
            }
        else:
            block = (
                {
                    "type": "tool_use",
                    "id": f"toolu_{index}",
                    "name": "Bash",
                    "input": {"command": text(pick, 12), "description": text(pick, 5)},
                }
                if turn == 1
                else {"type": "text", "text": text(pick, 80)}
            )
            line |= {
                "type": "assistant",
                "requestId": f"req_{number}_{index}",
                "message": {
                    "id": f"msg_{number}_{index}",
                    "type": "message",
                    "role": "assistant",
                    "model": "claude-sonnet-4-5-20250929",
                    "content": [block],
                    "stop_reason": "tool_use" if turn == 1 else "end_turn",
                    "stop_sequence": None,
                    "usage": {
                        "input_tokens": 4,
                        "cache_creation_input_tokens": 300 + index,
                        "cache_read_input_tokens": 12000 + index,
                        "cache_creation": {
                            "ephemeral_5m_input_tokens": 300 + index,
                            "ephemeral_1h_input_tokens": 0,
                        },
                        "output_tokens": 150,
                        "service_tier": "standard",
                    },
                },
            }
        line |= {"uuid": uuid, "timestamp": stamp}
        lines.append(line)
        parent = uuid
    lines.append({"type": "ai-title", "aiTitle": f"Session {number}: {text(pick, 4)}", "sessionId": session})
    return lines


def write_sessions(place: Path, messages: int, length: int) -> int:
    size = 0
    for number in range((messages + length - 1) // length):
        directory = place / f"-home-me-project-{number % 40}"
        directory.mkdir(parents=True, exist_ok=True)
        lines = session_lines(number, min(length, messages - number * length))
        data = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
        size += (directory / f"{number:08x}-1111-4222-8333-444455556666.jsonl").write_text(data)
    return size


class Writer(threading.Thread):
    """Another writer of the same home, one durable message after the other: how long do they wait?"""

    def __init__(self, program: str, home: Path) -> None:
        super().__init__(daemon=True)
        self.waits: list[float] = []
        self.stopping = threading.Event()
        self.process = subprocess.Popen(
            [program, "sessions", "append", "other", "--jsonl", "-", "--json", "--home", str(home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self) -> None:
        assert self.process.stdin and self.process.stdout
        while not self.stopping.is_set():
            began = time.monotonic()
            self.process.stdin.write('{"role":"user","content":"beside"}\n')
            self.process.stdin.flush()
            if not self.process.stdout.readline():
                break
            self.waits.append(time.monotonic() - began)
            self.stopping.wait(0.02)
        self.process.stdin.close()
        self.process.wait()


def run_import(program: str, home: Path, place: Path) -> tuple[dict, float, float]:
    began = time.monotonic()
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [program, "sessions", "import", str(place), "--json", "--home", str(home)],
        stdout=subprocess.PIPE,
        check=True,
        text=True,
    )
    seconds = time.monotonic() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return json.loads(done.stdout), seconds, busy


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--session-length", type=int, default=500)
    parser.add_argument("--place", default=".")
    parser.add_argument("--least", type=float, default=0, help="fail below so many messages per second")
    parser.add_argument(
        "--beside", action="store_true", help="with another writer, whose longest wait is told"
    )
    options = parser.parse_args()
    program = os.environ.get("HOLDFAST_BIN") or str(ROOT / ".build/release/holdfast")
    root = Path(tempfile.mkdtemp(prefix="import-speed-", dir=options.place))
    try:
        size = write_sessions(root / "projects", options.messages, options.session_length)
        home = root / "home"
        writer = Writer(program, home) if options.beside else None
        if writer:
            writer.start()
        report, seconds, busy = run_import(program, home, root / "projects")
        if writer:
            writer.stopping.set()
            writer.join()
            waits = sorted(writer.waits)
            middle, most, all_but_few = (
                waits[int(len(waits) * share)] * 1000 for share in (0.5, 0.99, 0.999)
            )
            print(
                f"beside it: {len(waits):,} writes, median {middle:.1f} ms, 99 % {most:.0f} ms, "
                f"99.9 % {all_but_few:.0f} ms, longest {waits[-1] * 1000:.0f} ms"
            )
        if report["messages"] != options.messages or report["refused"]:
            print(f"wrong: {report}", file=sys.stderr)
            return 1
        rate = report["messages"] / seconds
        database = sum(file.stat().st_size for file in home.glob("sessions.db*"))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"{report['messages']:,} messages in {report['sessions']:,} sessions, {size / 1e6:,.0f} MB")
        print(
            f"import: {seconds:.1f} s, {rate:,.0f} messages/s, {size / 1e6 / seconds:.0f} MB/s, "
            f"{busy:.1f} s of processor, at most {peak:.0f} MB of memory, {database / 1e6:,.0f} MB of store"
        )
        again, seconds, _ = run_import(program, home, root / "projects")
        if again["messages"] or again["messages_updated"] or again["messages_known"] != options.messages:
            print(f"wrong at the second time: {again}", file=sys.stderr)
            return 1
        print(f"again: {seconds:.1f} s, {again['messages_known'] / seconds:,.0f} messages/s, nothing new")
        return 0 if rate >= options.least else 1
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
