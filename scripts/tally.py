#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sums up test suites: what was measured, skipped and failed, and last one line `N passed, N failed`.

usage: tally.py (NAME EXIT-STATUS RESULTS)…

RESULTS is Swift Testing's event stream (`.jsonl`), a directory of them, one a process, or a JUnit file
(`.xml`). A process that crashed, a suite that ran nothing, left no results, or ended with a status its
results do not explain counts as one failure more: silence is not success.
"""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Suite:
    name: str
    passed: int = 0
    failures: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)
    measurements: list[str] = field(default_factory=list)


def read_event_stream(path: Path, suite: Suite) -> None:
    """The stream is written as tests run, so that after a crash it names the tests that were running."""
    names: dict[str, str] = {}
    started: dict[str, None] = {}
    issues: dict[str, str] = {}
    complete = False
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            continue  # the torn last line of a crash
        payload = record["payload"]
        if record["kind"] == "test":
            if payload["kind"] == "function":
                names[payload["id"]] = payload["id"].rsplit("/", 1)[0]
            continue
        kind = payload["kind"]
        if kind == "runEnded":
            complete = True
        test = payload.get("testID")
        messages = payload.get("messages") or []
        text = messages[0]["text"] if messages else ""
        if kind == "issueRecorded" and payload.get("issue", {}).get("isFailure", True):
            issues.setdefault(test or "", text)
            if test not in names:
                suite.failures.append(text)
        if test not in names:
            continue
        if kind == "testStarted":
            started[test] = None
        elif kind == "testSkipped":
            suite.skips.append(text.removeprefix("Test "))
        elif kind == "testEnded":
            started.pop(test, None)
            if test in issues:
                suite.failures.append(f"{names[test]}: {issues[test]}")
            else:
                suite.passed += 1
    if not complete:
        running = ", ".join(names[test] for test in started) or "none"
        suite.failures.append(f"the run ended before its end; tests running then: {running}")


def read_junit(path: Path, suite: Suite) -> None:
    for case in ElementTree.parse(path).getroot().iter("testcase"):
        name = f"{case.get('classname')}.{case.get('name')}"
        for measured in case.iter("property"):
            suite.measurements.append(f"{case.get('name')}: {measured.get('name')}: {measured.get('value')}")
        outcome = next((child for child in case if child.tag in ("failure", "error", "skipped")), None)
        if outcome is None:
            suite.passed += 1
            continue
        reason = (outcome.get("message") or "").splitlines()
        text = f"{name}: {reason[0] if reason else outcome.tag}"
        (suite.skips if outcome.tag == "skipped" else suite.failures).append(text)


def read_suite(name: str, status: int, path: Path) -> Suite:
    suite = Suite(name)
    if not path.exists():
        suite.failures.append(f"no results (exit status {status})")
        return suite
    try:
        for part in sorted(path.glob("*.jsonl")) if path.is_dir() else [path]:
            (read_junit if part.suffix == ".xml" else read_event_stream)(part, suite)
    except (ElementTree.ParseError, KeyError) as error:
        suite.failures.append(f"unreadable results: {error}")
    if suite.passed == 0 and not suite.failures:
        suite.failures.append("nothing ran")
    if status != 0 and not suite.failures:
        suite.failures.append(f"exit status {status}, though every test passed")
    return suite


def main(arguments: list[str]) -> int:
    if not arguments or len(arguments) % 3:
        print(__doc__, file=sys.stderr)
        return 64
    suites = [
        read_suite(arguments[index], int(arguments[index + 1]), Path(arguments[index + 2]))
        for index in range(0, len(arguments), 3)
    ]
    print()
    for suite in suites:
        for measurement in suite.measurements:
            print(f"measured {suite.name}: {measurement}")
    for suite in suites:
        for skip in suite.skips:
            print(f"skipped  {suite.name}: {skip}")
    for suite in suites:
        for failure in suite.failures:
            print(f"FAILED   {suite.name}: {failure}")
    for suite in suites:
        print(
            f"{suite.name}: {suite.passed} passed, {len(suite.failures)} failed, {len(suite.skips)} skipped"
        )
    failed = sum(len(suite.failures) for suite in suites)
    print(f"{sum(suite.passed for suite in suites)} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
