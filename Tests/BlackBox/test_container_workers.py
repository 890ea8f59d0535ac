# SPDX-License-Identifier: Apache-2.0
"""Workers in real containers, through podman: all they share with the host is the mailbox, by a mount.

Skipped, with the reason, where podman is not there or cannot start a container.
"""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from program import PATIENCE, Home, eventually
from supervising import ANSWERING, SPILLING, Supervise, configure, mailbox, replies, send

# The image is empty; Python, and what it needs, is the machine's own, read-only.
SYSTEM = [place for place in ("/usr", "/bin", "/lib", "/lib64", sys.base_prefix) if Path(place).exists()]
PYTHON = os.path.realpath(sys.executable)
IMAGE = "localhost/holdfast-worker:1"
OPTIONS = ["--network", "none", *[word for place in SYSTEM for word in ("--volume", f"{place}:{place}:ro")]]


class Podman:
    """A podman with storage of its own, so that nothing of the user's is seen or left."""

    def __init__(self, place: Path) -> None:
        self.place = place
        storage = place / "storage.conf"
        storage.write_text(
            f'[storage]\ndriver = "vfs"\ngraphroot = "{place}/graph"\nrunroot = "{place}/run"\n'
        )
        self.config = place / "containers.conf"
        self.config.touch()
        self.environment = {
            "CONTAINERS_CONF": str(self.config),
            "CONTAINERS_STORAGE_CONF": str(storage),
            "TMPDIR": str(place),
        }

    def __call__(self, *arguments: str, stdin: bytes = b"") -> subprocess.CompletedProcess:
        return subprocess.run(
            ["podman", *arguments],
            input=stdin,
            capture_output=True,
            timeout=PATIENCE * 2,
            check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(self.place)} | self.environment,
        )

    def try_runtimes(self) -> str | None:
        """Chooses what runs containers here; what was said when nothing does."""
        said = b""
        for runtime in ("crun", "runc"):
            self.config.write_text(
                f'[engine]\nruntime = "{runtime}"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
                '[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]\n'
            )
            result = self("run", "--rm", *OPTIONS, IMAGE, PYTHON, "-c", "import sqlite3")
            if result.returncode == 0:
                return None
            said = result.stderr
        return said.decode(errors="replace").strip().splitlines()[-1]

    def running(self) -> list[str]:
        result = self("ps", "--format", "{{.Names}}")
        assert result.returncode == 0, result.stderr
        return result.stdout.decode().split()


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Podman]:
    podman = Podman(tmp_path_factory.mktemp("podman"))
    empty = io.BytesIO()
    with tarfile.open(fileobj=empty, mode="w") as image:
        for name in ("usr", "bin", "lib", "lib64", "tmp", "proc", "sys", "dev", "etc", "mailbox"):
            directory = tarfile.TarInfo(name)
            directory.type, directory.mode = tarfile.DIRTYPE, 0o755
            image.addfile(directory)
    try:
        imported = podman("import", "-", IMAGE, stdin=empty.getvalue())
    except FileNotFoundError:
        pytest.skip("podman is not installed, so workers in real containers were not tested")
    if imported.returncode != 0:
        pytest.skip(f"podman cannot make an image here: {imported.stderr.decode().strip()}")
    if reason := podman.try_runtimes():
        pytest.skip(f"podman cannot start a container here: {reason}")
    yield podman
    podman("rm", "--all", "--force", "--time", "0")
    podman("rmi", "--all", "--force")


def worker(text: str) -> dict:
    return {
        "runtime": "podman",
        "image": IMAGE,
        "options": OPTIONS,
        "command": [PYTHON, "-c", text],
        "stop_grace_seconds": 5,
        "first_pause_seconds": 0.1,
    }


@contextlib.contextmanager
def ending(host: Supervise) -> Iterator[Supervise]:
    try:
        yield host
    finally:
        if host.process.poll() is None:
            assert host.stop() == 0, host.errors[-20:]


def test_a_worker_in_a_container_answers_and_ends_with_its_host(home: Home, podman: Podman) -> None:
    config = configure(home, workers={"box/one": worker(ANSWERING)})
    with ending(Supervise(home, config, **podman.environment)) as host:
        for number in range(3):
            send(home, "box/one", number)
        started = host.wait_for("started", "box/one")
        eventually("the container runs", lambda: started["container"] in podman.running())
        found = eventually("answers", lambda: len(replies(home, "box/one")) == 3 and replies(home, "box/one"))
        assert [reply["content"] for reply in found] == [0, 1, 2]
        # Two kernels may share the directory: no WAL.
        for name in ("inbound.db", "outbound.db"):
            with contextlib.closing(sqlite3.connect(mailbox(home, "box/one") / name)) as connection:
                assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "delete"
    assert podman.running() == []
    assert host.of("ended")[-1]["reason"] == "host stops"


@pytest.mark.parametrize("way", ["container killed", "host killed"])
def test_what_a_container_left_half_done_is_undone_when_it_has_ended_C01_C02_E07(
    home: Home, podman: Podman, way: str
) -> None:
    config = configure(home, workers={"box/one": worker(SPILLING)})
    with ending(Supervise(home, config, **podman.environment)) as host:
        eventually("the mailbox is made", (mailbox(home, "box/one") / "worker.lock").exists)
        send(home, "box/one", "hello")
        name = host.wait_for("started", "box/one")["container"]
        eventually("pages are spilled", (mailbox(home, "box/one") / "spilled").exists)
        journal = mailbox(home, "box/one") / "outbound.db-journal"
        hot = journal.read_bytes()
        if way == "container killed":
            assert podman("kill", "--signal", "KILL", name).returncode == 0
            following = host
        else:
            host.kill()
            # The container lives on without anybody in front of it, and so does its transaction.
            assert name in podman.running() and journal.read_bytes() == hot
            following = Supervise(home, config, **podman.environment)
        with ending(following):
            assert following.wait_for("recovered", "box/one")["pages"] > 0
            [reply] = eventually("an answer", lambda: replies(home, "box/one"))
            assert reply["content"] == "hello"
    assert podman.running() == []
