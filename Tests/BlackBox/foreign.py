# SPDX-License-Identifier: Apache-2.0
"""Other programs on the same database file: Python's sqlite3 module, the sqlite3 shell. And a small disk."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


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


@contextmanager
def disk_of(megabytes: int, place: Path) -> Iterator[Path]:
    """A file system of its own, in memory; where nobody may mount one, the test is skipped and says why."""
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("mounting a disk needs root on Linux")
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place)]
    if (done := subprocess.run(mount, capture_output=True, text=True, check=False)).returncode != 0:
        pytest.skip(f"this machine lets nobody mount a disk: {done.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)
