# SPDX-License-Identifier: Apache-2.0
"""Other programs on the same database file: Python's own sqlite3 module and the sqlite3 shell."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def connected(path: Path, patience: float = 60) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(path, timeout=patience, isolation_level=None)
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def write_lock_held(path: Path) -> Iterator[None]:
    """What a VACUUM, an old build or a forgotten shell does to everyone else."""
    with connected(path) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            connection.execute("ROLLBACK")


def integrity(path: Path) -> str:
    with connected(path) as connection:
        return connection.execute("PRAGMA integrity_check").fetchone()[0]


def shell(path: Path, statement: str, patience: float = 60) -> str:
    """One statement in the sqlite3 shell."""
    done = subprocess.run(
        ["sqlite3", "-cmd", f".timeout {int(patience * 1000)}", str(path), statement],
        capture_output=True,
        text=True,
        timeout=patience * 2,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout
