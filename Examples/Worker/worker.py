#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A worker of a mailbox that has nothing but Python's own sqlite3.

It takes messages, answers each with what `handle` makes of it, and may be killed at any instruction: the
answer and the end of the work on a message are one transaction, so every message is answered once.

    holdfast mailbox send writer/session-1 --content '{"text": "hello"}'
    python3 worker.py ~/.holdfast/mailboxes/writer/session-1 --until-idle
    holdfast mailbox receive writer/session-1

A supervisor starts it without arguments and tells it in HOLDFAST_MAILBOX where its mailbox is. The tables are
described in docs/mailboxes.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import signal
import sqlite3
import sys
import threading
import time

LEASE_MS = 60_000
PAUSE = 0.2

# Which messages a worker may take: pending, due, meant for one as new as it is, and nobody's at the moment.
NEXT = """
SELECT m.seq, m.id, m.tries, m.kind, m.content FROM inbound.messages_in AS m
WHERE m.status = 'pending' AND m.process_after <= :now AND m.after_incarnation < :incarnation
  AND NOT EXISTS (
    SELECT 1 FROM processing AS p WHERE p.message = m.id AND p.try = m.tries
      AND (p.status <> 'claimed' OR p.incarnation > :incarnation
        OR p.incarnation = :incarnation AND p.lease_until > :now))
ORDER BY m.seq LIMIT 1
"""

# One row, changed or not: whoever changed it has the message. A later incarnation takes over at once.
CLAIM = """
INSERT INTO processing(message, try, incarnation, worker, claimed_at, lease_until)
VALUES (:id, :try, :incarnation, :worker, :now, :until)
ON CONFLICT(message, try) DO UPDATE SET incarnation = excluded.incarnation, worker = excluded.worker,
  claimed_at = excluded.claimed_at, lease_until = excluded.lease_until
WHERE status = 'claimed' AND (excluded.incarnation > incarnation
  OR excluded.incarnation = incarnation AND lease_until <= excluded.claimed_at)
"""

FINISH = """
UPDATE processing SET status = :status, error = :error, retryable = :retryable
WHERE message = :id AND try = :try AND incarnation = :incarnation AND worker = :worker AND status = 'claimed'
"""


def handle(kind: str, content: object) -> object:
    """What the worker is for. An exception is a failed try; ValueError says that another try is no use."""
    if kind == "delivery-failed":
        return None  # one of our own messages could not be delivered
    return {"echo": content}


class Worker:
    def __init__(self, mailbox: pathlib.Path) -> None:
        self.mailbox = mailbox
        self.name = f"{os.getpid()}"
        self.connection = sqlite3.connect(mailbox / "outbound.db", timeout=60, isolation_level=None, uri=True)
        # Read-only, since the host alone writes it; otherwise BEGIN IMMEDIATE would lock that one, too.
        inbound = (mailbox / "inbound.db").resolve().as_uri()
        self.connection.execute("ATTACH ? AS inbound", [f"{inbound}?mode=ro"])
        given = os.environ.get("HOLDFAST_INCARNATION")
        self.incarnation = int(given) if given else self.last_incarnation() + 1

    def last_incarnation(self) -> int:
        return self.connection.execute("SELECT incarnation FROM inbound.worker").fetchone()[0]

    def take(self) -> tuple[str, int, str, str] | None:
        """Claims the next message: its id, which try it is, its kind and content."""
        now = time.time_ns() // 1_000_000
        mine = {"incarnation": self.incarnation, "worker": self.name, "now": now, "until": now + LEASE_MS}
        found = self.connection.execute(NEXT, {"now": now, "incarnation": self.incarnation}).fetchone()
        if found is None:
            return None
        _, message, tries, kind, content = found
        claim = self.connection.execute(CLAIM, mine | {"id": message, "try": tries})
        return (message, tries, kind, content) if claim.rowcount == 1 else None

    def work(self, message: str, tries: int, kind: str, content: str) -> None:
        status, error, retryable, answer = "completed", None, 1, None
        try:
            answer = handle(kind, json.loads(content))
        except ValueError as problem:
            status, error, retryable = "failed", str(problem), 0
        except Exception as problem:
            status, error = "failed", f"{type(problem).__name__}: {problem}"
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            end = self.connection.execute(
                FINISH,
                {
                    "id": message,
                    "try": tries,
                    "incarnation": self.incarnation,
                    "worker": self.name,
                    "status": status,
                    "error": error,
                    "retryable": retryable,
                },
            )
            # No row: another worker has taken over, and what came of it is that one's to say.
            if end.rowcount == 1 and answer is not None:
                self.connection.execute(
                    "INSERT INTO messages_out(id, kind, content, in_reply_to) VALUES (?, 'reply', ?, ?)",
                    [f"reply-{message}"[:256], json.dumps(answer, ensure_ascii=False), message],
                )
            self.connection.execute("COMMIT")
        except BaseException:
            self.connection.execute("ROLLBACK")
            raise


def keep_alive(heartbeat: pathlib.Path, every: float) -> None:
    while True:
        with contextlib.suppress(OSError):
            heartbeat.touch()
        time.sleep(every)


def main() -> int:
    arguments = sys.argv[1:]
    until_idle = "--until-idle" in arguments
    places = [argument for argument in arguments if not argument.startswith("--")]
    place = places[0] if places else os.environ.get("HOLDFAST_MAILBOX")
    if not place:
        print("usage: worker.py MAILBOX-DIRECTORY [--until-idle]", file=sys.stderr)
        return 64
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    mailbox = pathlib.Path(place)
    every = float(os.environ.get("HOLDFAST_HEARTBEAT_SECONDS", "10"))
    threading.Thread(target=keep_alive, args=(mailbox / "heartbeat", every), daemon=True).start()

    worker = Worker(mailbox)
    while not stopped.is_set():
        if taken := worker.take():
            worker.work(*taken)
        elif until_idle:
            break
        else:
            stopped.wait(PAUSE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
