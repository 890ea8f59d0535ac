# SPDX-License-Identifier: Apache-2.0
"""Starts the built program as its users do, and reads what it prints. Nothing here knows its insides."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(os.environ.get("HOLDFAST_BIN") or ROOT / ".build/debug/holdfast")

# Debug builds on shared machines: how long something may take before it is called hung. Never a measurement.
PATIENCE = 60.0

T = TypeVar("T")


def eventually(what: str, look: Callable[[], T], within: float = PATIENCE) -> T:
    """Looks again and again until it sees something true; fails with what it was waiting for."""
    deadline = time.monotonic() + within
    seen = look()
    while not seen:
        if time.monotonic() > deadline:
            raise AssertionError(f"after {within:.0f} s still not: {what} (last seen: {seen!r})")
        time.sleep(0.05)
        seen = look()
    return seen


class Home:
    """A home directory for one test or module, and the program run on it."""

    def __init__(self, directory: Path) -> None:
        # The program makes the directory; its parent stands for the user's own home, so that nothing of the
        # real one is read.
        self.user = directory
        self.path = directory / "holdfast-home"
        self.user.mkdir(parents=True, exist_ok=True)

    @property
    def usage_db(self) -> Path:
        return self.path / "usage.db"

    def environment(self, **more: str) -> dict[str, str]:
        kept = {
            key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR", "LD_LIBRARY_PATH") if key in os.environ
        }
        return kept | {"HOME": str(self.user), "SWIFT_BACKTRACE": "enable=no", "TZ": "UTC"} | more

    def configure(self, **sections: object) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        # JSON is YAML.
        (self.path / "config.yaml").write_text(json.dumps(sections), encoding="utf-8")

    def command(self, *arguments: str) -> list[str]:
        home = () if arguments[0] == "help" else ("--home", str(self.path))
        return [str(PROGRAM), *arguments, *home]

    def run(
        self, *arguments: str, stdin: str | bytes = b"", check: bool = True, timeout: float = PATIENCE * 2
    ) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            self.command(*arguments),
            input=stdin if isinstance(stdin, bytes) else stdin.encode(),
            capture_output=True,
            env=self.environment(),
            timeout=timeout,
            check=False,
        )
        text = subprocess.CompletedProcess(
            result.args, result.returncode, result.stdout.decode(), result.stderr.decode()
        )
        if check:
            assert text.returncode == 0, f"{arguments}: exit {text.returncode}: {text.stderr}"
        return text

    def json_lines(self, *arguments: str, **options) -> list[dict]:
        return [json.loads(line) for line in self.run(*arguments, "--json", **options).stdout.splitlines()]

    def report(self, by: str = "model", *arguments: str) -> dict[str, dict]:
        """`usage report`, as a dictionary from group to line."""
        lines = self.json_lines("usage", "report", "--by", by, "--limit", "100000", *arguments)
        return {line["key"]: line for line in lines}

    def rows(self, model: str) -> list[sqlite3.Row]:
        """The rows of a model as another program sees them, by the documented schema."""
        with contextlib.closing(sqlite3.connect(self.usage_db, timeout=PATIENCE)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute("SELECT * FROM usage WHERE model = ? ORDER BY seq", [model]).fetchall()

    def serve(self, *arguments: str, **environment: str) -> Daemon:
        daemon = Daemon(self, arguments, environment)
        daemon.wait_until_listening()
        return daemon


class Daemon:
    """`holdfast serve` on a port the system picks."""

    def __init__(
        self, home: Home, arguments: tuple[str, ...] = (), environment: dict[str, str] | None = None
    ):
        self.home = home
        port = () if "--port" in arguments else ("--port", "0")
        self.process = subprocess.Popen(
            home.command("serve", *port, *arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=home.environment(**(environment or {})),
        )
        self.output: list[str] = []
        self.errors: list[str] = []
        self.url = ""
        self._listening = threading.Event()
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.output), daemon=True),
            threading.Thread(target=self._read, args=(self.process.stderr, self.errors), daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, stream, lines: list[str]) -> None:
        for line in stream:
            lines.append(line.rstrip("\n"))
            if stream is self.process.stdout and (
                match := re.fullmatch(r"holdfast listening on (http://\S+)", lines[-1])
            ):
                self.url = match.group(1)
                self._listening.set()
        stream.close()
        if stream is self.process.stdout:
            self._listening.set()

    @property
    def pid(self) -> int:
        return self.process.pid

    def wait_until_listening(self) -> None:
        self._listening.wait(PATIENCE)
        if not self.url:
            self.kill()
            raise AssertionError(f"the daemon did not listen: {self.output} {self.errors[-20:]}")

    def wait(self, within: float = PATIENCE) -> int:
        """Waits for the exit and for the last of what was printed."""
        code = self.process.wait(timeout=within)
        for reader in self._readers:
            reader.join(timeout=within)
        return code

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGKILL)
        self.wait()

    def terminate(self, within: float = PATIENCE) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.wait(within)

    def stop(self) -> int:
        """The end of a test: politely, and by force when that hangs."""
        try:
            return self.terminate()
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def get(self, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
        request = urllib.request.Request(self.url + path, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                return response.status, dict(response.headers), response.read()
        except urllib.error.HTTPError as error:
            return error.code, dict(error.headers), error.read()

    def json(self, path: str) -> dict:
        status, _, body = self.get(path)
        assert status == 200, f"{path}: {status} {body[:300]!r}"
        return json.loads(body)

    def requests_of(self, model: str, count: int = 1) -> dict:
        """Waits until so many rows of a model are reported, and returns the report's line for it."""

        def look() -> dict | None:
            line = self.home.report().get(model)
            return line if line and line["requests"] >= count else None

        line = eventually(f"{count} rows of {model}", look)
        assert line["requests"] == count
        return line
