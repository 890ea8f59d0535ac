# SPDX-License-Identifier: Apache-2.0
"""The host's side of a mailbox, killed at random moments: what it acknowledged is so, and nothing doubled."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import sqlite3
import subprocess

from foreign import integrity
from program import PATIENCE, Home

MAILBOX = "writer/session-1"


def killed_within(home: Home, seconds: float, *arguments: str) -> tuple[list[dict], bool]:
    """Runs a command and kills it unless it is quicker; its whole lines, and whether it was quicker."""
    process = subprocess.Popen(
        home.command("mailbox", *arguments, "--json"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=home.environment(),
        text=True,
    )
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=seconds)
    process.send_signal(signal.SIGKILL)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode in (0, -9), err
    lines = out.splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")], process.returncode == 0


def chances() -> random.Random:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    return random.Random(seed)


def test_what_a_killed_sender_acknowledged_is_there_once_B10_E12(home: Home) -> None:
    chance = chances()
    home.path.mkdir(mode=0o700)
    acknowledged: dict[str, int] = {}
    cut = 0
    # From the very first one on, which makes the files.
    for number in range(40):
        receipts, is_whole = killed_within(
            home, chance.uniform(0, 0.12), "send", MAILBOX, "--id", f"m{number}", "--content", str(number)
        )
        cut += not is_whole
        for receipt in receipts:
            assert receipt["duplicate"] is False
            acknowledged[receipt["id"]] = receipt["seq"]
    assert cut, "none was killed in time"

    before = dict(acknowledged)
    for number in range(40):
        # Whoever got no answer asks again.
        receipt = json.loads(
            home.run(
                "mailbox", "send", MAILBOX, "--id", f"m{number}", "--content", str(number), "--json"
            ).stdout
        )
        if f"m{number}" in before:
            assert receipt == {"id": f"m{number}", "seq": before[f"m{number}"], "duplicate": True}
    shown = json.loads(home.run("mailbox", "show", MAILBOX, "--json").stdout)
    assert sorted(message["id"] for message in shown["messages"]) == sorted(f"m{n}" for n in range(40))
    assert all(message["content"] == int(message["id"][1:]) for message in shown["messages"])
    for file in ("inbound.db", "outbound.db"):
        assert integrity(home.path / "mailboxes" / MAILBOX / file) == "ok"


def test_what_a_killed_receiver_acknowledged_is_gone_and_the_rest_comes_again_B10_E07(home: Home) -> None:
    chance = chances()
    home.run("mailbox", "send", MAILBOX, "--content", "1")
    count = 6000
    with contextlib.closing(
        sqlite3.connect(home.path / "mailboxes" / MAILBOX / "outbound.db", timeout=PATIENCE)
    ) as worker:
        with worker:
            worker.executemany(
                "INSERT INTO messages_out(id, kind, content) VALUES (?, 'k', ?)",
                ((f"r{number}", str(number)) for number in range(count)),
            )
        left = list(range(count))
        unsure: set[int] = set()
        cut = 0
        for _ in range(25):
            received, is_whole = killed_within(home, chance.uniform(0, 0.4), "receive", MAILBOX)
            cut += not is_whole
            contents = [row["content"] for row in received]
            # The beginning of what is left, in order; where an acknowledgement was cut off, it may be either.
            assert contents == sorted(contents)
            wanted = [number for number in left if number not in unsure]
            assert [number for number in contents if number not in unsure] == wanted[
                : sum(number not in unsure for number in contents)
            ]
            some = chance.sample(left, 20)
            done, is_whole = killed_within(
                home, chance.uniform(0, 0.2), "ack", MAILBOX, *(f"r{number}" for number in some)
            )
            cut += not is_whole
            gone = {int(receipt["id"][1:]) for receipt in done}
            left = [number for number in left if number not in gone]
            unsure = (unsure | set(some)) - gone
    assert cut, "none was killed in time"
    rest = [row["content"] for row in home.json_lines("mailbox", "receive", MAILBOX)]
    assert rest == sorted(set(rest))
    assert set(left) - unsure <= set(rest) <= set(left)
    assert integrity(home.path / "mailboxes" / MAILBOX / "inbound.db") == "ok"
