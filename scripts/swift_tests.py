#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the Swift tests of a built bundle, each suite in a process of its own, a few suites at a time.

usage: swift_tests.py [--lanes N] [--filter REGEX] [--skip REGEX] [--hours N] BUNDLE RESULTS

All tests in one process start at once on as many threads as there are processors: on a small machine one
that computes keeps hundreds that wait from noticing that what they wait for has come. A suite by itself is
as alone as on a developer's machine, and the system shares the processors out fairly.

RESULTS is a directory: SUITE.jsonl is what Swift Testing says of each, SUITE.log what was printed. The log
of a suite that did not end well is printed, and at the very end once more why it did not. The exit status is
0 when all ended with 0.
"""

from __future__ import annotations

import argparse
import os
import queue
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path


def program(bundle: str) -> list[str]:
    """The command that runs a bundle: itself, or on macOS the toolchain's helper with it."""
    if not Path(bundle).is_dir():
        return [bundle]
    name = Path(bundle).stem
    find = ["xcrun", "--find", "swift"]
    swift = subprocess.run(find, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    helper = Path(swift).parent.parent / "libexec/swift/pm/swiftpm-testing-helper"
    return [str(helper), "--test-bundle-path", f"{bundle}/Contents/MacOS/{name}"]


def listed(bundle: str) -> list[str]:
    command = [*program(bundle), "--testing-library", "swift-testing", "--list-tests"]
    output = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True)
    return [line for line in output.stdout.splitlines() if "." in line]


def grouped(tests: Iterable[str], wanted: str | None, unwanted: str | None) -> dict[str, list[str]]:
    """The tests by suite, as `Target.Suite`; those outside of one by target."""
    suites: dict[str, list[str]] = {}
    for test in tests:
        if wanted and not re.search(wanted, test):
            continue
        if unwanted and re.search(unwanted, test):
            continue
        head = test.split("(", 1)[0]
        suite = head.split("/", 1)[0] if "/" in head else head.split(".", 1)[0]
        suites.setdefault(suite, []).append(test)
    return suites


def run(bundle: str, suite: str, tests: list[str], results: Path, longest: float) -> int:
    # By name, so that what was skipped is left out here too; an id goes on with the place in the source.
    pattern = "^(" + "|".join(re.escape(test) for test in tests) + ")"
    command = [*program(bundle), "--testing-library", "swift-testing", "--no-parallel", "--filter", pattern]
    command += ["--event-stream-output-path", str(results / f"{suite}.jsonl")]
    with (results / f"{suite}.log").open("wb") as log:
        try:
            ended = subprocess.run(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, timeout=longest
            )
        except subprocess.TimeoutExpired:
            log.write(f"{suite} did not end within {longest:.0f} s.\n".encode())
            return 124
    return ended.returncode


def reasons(log: list[str], most: int = 20) -> list[str]:
    """Why a suite failed: what was recorded, what a sanitizer found, or else the end of its log."""
    marks = re.compile("recorded an issue|Sanitizer|Fatal error|did not end within")
    return [line for line in log if marks.search(line)][:most] or log[-most:]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--lanes", type=int, default=(os.cpu_count() or 1) + 1)
    parser.add_argument("--filter")
    parser.add_argument("--skip")
    # So that a suite that hangs ends the run with its name, and not the patience of whoever waits for it.
    parser.add_argument("--hours", type=float, default=0.25, help="the longest a suite may take")
    parser.add_argument("bundle")
    parser.add_argument("results", type=Path)
    options = parser.parse_args()

    options.results.mkdir(parents=True, exist_ok=True)
    suites = grouped(listed(options.bundle), options.filter, options.skip)
    if not suites:
        print("no test has such a name", file=sys.stderr)
        return 64
    waiting: queue.SimpleQueue[str] = queue.SimpleQueue()
    for suite in suites:
        waiting.put(suite)
    printing = threading.Lock()
    failed: list[str] = []

    def work() -> None:
        while True:
            try:
                suite = waiting.get_nowait()
            except queue.Empty:
                return
            began = time.monotonic()
            status = run(options.bundle, suite, suites[suite], options.results, options.hours * 3600)
            seconds = time.monotonic() - began
            with printing:
                if status:
                    failed.append(suite)
                    print((options.results / f"{suite}.log").read_text("utf-8", "replace"))
                outcome = "passed" if status == 0 else f"FAILED (exit status {status})"
                print(f"{suite}: {len(suites[suite])} {outcome}, {seconds:.1f} s", flush=True)

    lanes = [threading.Thread(target=work) for _ in range(max(1, options.lanes))]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    for suite in failed:
        log = options.results / f"{suite}.log"
        print(f"FAILED: {suite}, see {log}")
        for line in reasons(log.read_text("utf-8", "replace").splitlines()):
            print(f"  {line}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
