# SPDX-License-Identifier: Apache-2.0
"""What runs and sums up tests, and the catalogue of `make catalogue`, must not call a failure a success."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from program import ROOT


def tally(*arguments: object) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, str(ROOT / "scripts/tally.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def stream(path: Path, *events: tuple[str, str], ended: bool = True) -> Path:
    """Swift Testing's event stream with the tests named, and so many of its events."""
    records = [
        {"kind": "test", "payload": {"kind": "function", "id": f"Suite/{name}()/file.swift:1:1"}}
        for name in sorted({name for _, name in events})
    ]
    records += [
        {
            "kind": "event",
            "payload": {
                "kind": kind,
                "testID": f"Suite/{name}()/file.swift:1:1",
                "issue": {"isFailure": True},
                "messages": [{"text": f"{kind} {name}"}],
            },
        }
        for kind, name in events
    ]
    if ended:
        records.append({"kind": "event", "payload": {"kind": "runEnded", "messages": []}})
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


PASSING = (("testStarted", "a"), ("testEnded", "a"), ("testStarted", "b"), ("testEnded", "b"))


def test_the_last_line_sums_all_suites(tmp_path: Path) -> None:
    junit = tmp_path / "p.xml"
    junit.write_text(
        '<testsuites><testsuite><testcase classname="m" name="x"><properties>'
        '<property name="p50" value="1 ms"/></properties></testcase><testcase classname="m" name="y">'
        '<failure message="no"/></testcase><testcase classname="m" name="z"><skipped message="why not"/>'
        "</testcase></testsuite></testsuites>"
    )
    code, lines = tally("swift", 0, stream(tmp_path / "s.jsonl", *PASSING), "python", 1, junit)
    assert code == 1
    assert lines[-1] == "3 passed, 1 failed"
    assert "FAILED   python: m.y: no" in lines
    assert "skipped  python: m.z: why not" in lines
    assert "measured python: x: p50: 1 ms" in lines


def test_all_passed_is_success(tmp_path: Path) -> None:
    code, lines = tally("swift", 0, stream(tmp_path / "s.jsonl", *PASSING))
    assert (code, lines[-1]) == (0, "2 passed, 0 failed")


def test_a_recorded_issue_fails_its_test(tmp_path: Path) -> None:
    events = (*PASSING[:1], ("issueRecorded", "a"), *PASSING[1:])
    code, lines = tally("swift", 1, stream(tmp_path / "s.jsonl", *events))
    assert (code, lines[-1]) == (1, "1 passed, 1 failed")


def test_a_crash_is_a_failure_and_names_what_ran(tmp_path: Path) -> None:
    path = stream(tmp_path / "s.jsonl", *PASSING[:3], ended=False)
    with path.open("a") as file:
        file.write('{"kind":"event","payl')
    code, lines = tally("swift", 132, path)
    assert (code, lines[-1]) == (1, "1 passed, 1 failed")
    assert any("Suite/b()" in line for line in lines)


def test_a_directory_of_streams_is_one_suite_and_each_must_have_ended(tmp_path: Path) -> None:
    results = tmp_path / "swift"
    results.mkdir()
    stream(results / "a.jsonl", *PASSING)
    assert tally("swift", 0, results)[1][-1] == "2 passed, 0 failed"
    stream(results / "b.jsonl", *PASSING[:3], ended=False)
    code, lines = tally("swift", 1, results)
    assert (code, lines[-1]) == (1, "3 passed, 1 failed")
    assert any("Suite/b()" in line for line in lines)


BUNDLE = """\
#!/usr/bin/env python3
import json, os, re, sys
tests = ["T.A/one()", "T.A/two(_:)", "T.B/three()", "U.free()"]
if "--list-tests" in sys.argv:
    print(*tests, sep="\\n")
    sys.exit()
pattern = sys.argv[sys.argv.index("--filter") + 1]
ran = [test for test in tests if re.search(pattern, test + "/file.swift:1:2")]
print("ran", *ran)
with open(sys.argv[sys.argv.index("--event-stream-output-path") + 1], "w") as stream:
    for test in ran:
        stream.write(json.dumps({"kind": "test", "payload": {"kind": "function", "id": test + "/f"}}) + "\\n")
        event = {"kind": "testEnded", "testID": test + "/f"}
        stream.write(json.dumps({"kind": "event", "payload": event}) + "\\n")
    stream.write(json.dumps({"kind": "event", "payload": {"kind": "runEnded"}}) + "\\n")
if os.environ.get("FAILING") in pattern.replace("\\\\", ""):
    sys.exit(66)
"""


@pytest.mark.parametrize("failing", ["none", "T.B"])
def test_each_suite_runs_by_itself_and_a_bad_exit_fails_the_run(tmp_path: Path, failing: str) -> None:
    bundle = tmp_path / "bundle"
    bundle.write_text(BUNDLE)
    bundle.chmod(0o755)
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/swift_tests.py", "--skip", "two", bundle, tmp_path / "results"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "FAILING": failing},
    )
    assert done.returncode == (0 if failing == "none" else 1), done.stderr
    assert ("FAILED: T.B" in done.stdout) == (failing == "T.B")
    logs = {path.stem: path.read_text().strip() for path in (tmp_path / "results").glob("*.log")}
    assert logs == {"T.A": "ran T.A/one()", "T.B": "ran T.B/three()", "U": "ran U.free()"}
    assert tally("swift", done.returncode, tmp_path / "results")[1][-1] == (
        "3 passed, 0 failed" if failing == "none" else "3 passed, 1 failed"
    )


@pytest.mark.parametrize(
    "content", [None, "", '<testsuites><testsuite name="pytest"/></testsuites>', "<torn"]
)
def test_silence_is_a_failure(tmp_path: Path, content: str | None) -> None:
    path = tmp_path / "p.xml"
    if content is not None:
        path.write_text(content)
    code, lines = tally("python", 0, path)
    assert (code, lines[-1]) == (1, "0 passed, 1 failed")


def test_a_bad_exit_that_the_results_do_not_explain_is_a_failure(tmp_path: Path) -> None:
    code, lines = tally("swift", 1, stream(tmp_path / "s.jsonl", *PASSING))
    assert (code, lines[-1]) == (1, "2 passed, 1 failed")
