# SPDX-License-Identifier: Apache-2.0
"""The examples do what they say."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from foreign import integrity, shell
from program import PROGRAM


def test_a_swarm_of_processes_and_tasks_loses_nothing_A02_A10(tmp_path: Path) -> None:
    swarm = PROGRAM.with_name("swarm")
    if not swarm.exists():
        pytest.skip("swarm is not built beside the program under test")
    database = tmp_path / "swarm.db"
    done = subprocess.run(
        [swarm, "--processes", "8", "--tasks", "8", "--seconds", "2", "--file", database],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    header, *lines, verdict = done.stdout.splitlines()
    assert "longest wait" in header
    writes = [int(line.split()[1]) for line in lines]
    assert len(writes) == 8
    # Plain SQLite gives one of them thousands of turns and another a handful.
    assert min(writes) > max(writes) / 2, writes
    assert verdict == f"{sum(writes)} writes acknowledged, 0 lost"
    assert re.fullmatch(rf"{sum(writes)}\n", shell(database, "SELECT count(*) FROM note"))
    assert integrity(database) == "ok"
