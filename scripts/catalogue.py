#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints docs/failures.md beside the tests named after its rows.

A test belongs to a row when its name ends in the row's number: `usageIsReadFromEverySplit_G01`,
`test_rows_survive_a_held_lock_A07`; a name may end in several (`…_A07_A08`). Exits 1 when a row marked
covered has no test, or a test names a row that is not in the catalogue. With --check only those problems
are printed.
"""

from __future__ import annotations

import re
import sys
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROW = re.compile(r"^\| ([A-G]\d\d) \| (.+?) \| (.+?) \| (covered|planned) \|$")
SWIFT_TEST = re.compile(r"\bfunc\s+(\w+?((?:_[A-G]\d\d)+))\s*[(<]")
PYTHON_TEST = re.compile(r"^\s*(?:async )?def (test_\w+?((?:_[A-G]\d\d)+))\(", re.MULTILINE)


def read_rows() -> dict[str, tuple[str, str]]:
    rows: dict[str, tuple[str, str]] = {}
    for line in (ROOT / "docs/failures.md").read_text(encoding="utf-8").splitlines():
        if match := ROW.match(line):
            number, wrong, _, status = match.groups()
            rows[number] = (wrong, status)
        elif re.match(r"^\| [A-G]\d", line):
            sys.exit(f"docs/failures.md: this row is not in the table's form: {line}")
    return rows


def find_tests() -> dict[str, list[str]]:
    tests: dict[str, list[str]] = defaultdict(list)
    for pattern, expression in (("*.swift", SWIFT_TEST), ("*.py", PYTHON_TEST)):
        for path in sorted((ROOT / "Tests").rglob(pattern)):
            for match in expression.finditer(path.read_text(encoding="utf-8")):
                for number in re.findall(r"[A-G]\d\d", match.group(2)):
                    tests[number].append(f"{path.relative_to(ROOT)}: {match.group(1)}")
    return tests


def main(arguments: list[str]) -> int:
    check_only = arguments == ["--check"]
    rows, tests = read_rows(), find_tests()
    if not check_only:
        for number, (wrong, status) in rows.items():
            print(f"{number}  {status:<8} {wrong}")
            for test in tests[number]:
                print(f"              {test}")
        covered = [number for number, (_, status) in rows.items() if status == "covered"]
        named = sum(1 for number in rows if tests[number])
        print(f"\n{len(rows)} rows, {len(covered)} covered, {named} with tests named after them")
    problems = [
        f"row {number} is marked covered and has no test whose name ends in _{number}"
        for number, (_, status) in rows.items()
        if status == "covered" and not tests[number]
    ] + [
        f"{test} is named after row {number}, which docs/failures.md does not have"
        for number in sorted(tests)
        if number not in rows
        for test in tests[number]
    ]
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
