# SPDX-License-Identifier: Apache-2.0
"""`holdfast usage record` and `holdfast usage report`, as scripts use them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from foreign import connected, shell
from program import ROOT, Home

ROW = {"provider": "anthropic", "model": "fake", "input_tokens": 10, "output_tokens": 5}


def record(home: Home, *rows: dict | str) -> list[dict]:
    """Feeds rows (or lines as they are) and returns one answer for each."""
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    done = home.run("usage", "record", "--jsonl", "-", "--json", stdin="\n".join(lines), check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def recorded(module_home: Home) -> Home:
    """A home with a handful of rows over three models, two sources, two sessions and three days."""
    rows = [
        ROW | {"model": "alpha", "source": "cli", "session": "s1", "time": "2026-11-01T10:00:00Z"},
        ROW | {"model": "alpha", "source": "cli", "session": "s1", "time": "2026-11-01T11:30:00Z"},
        ROW | {"model": "beta", "source": "ide", "session": "s2", "time": "2026-11-02T23:59:59.999Z"},
        ROW
        | {
            "model": "beta",
            "source": "ide",
            "session": "s2",
            "project": "p1",
            "time": "2026-11-03T00:00:00Z",
            "cache_read_tokens": 1000,
            "cache_write_5m_tokens": 100,
            "cache_write_1h_tokens": 200,
            "request_id": "req_1",
            "status": 200,
            "duration_ms": 1234,
        },
        {"provider": "anthropic", "model": "gamma", "time": "2026-11-03T05:00:00+02:00"},
    ]
    assert all("uid" in answer for answer in record(module_home, *rows))
    return module_home


SINCE = ("--since", "2026-10-31T00:00:00Z")


def test_a_report_by_model_has_the_stable_shape(recorded: Home) -> None:
    line = recorded.report("model", *SINCE)["beta"]
    assert set(line) >= {
        "key",
        "requests",
        "input_tokens",
        "cache_read_tokens",
        "cache_write_5m_tokens",
        "cache_write_1h_tokens",
        "output_tokens",
        "cost_microusd",
        "unpriced",
        "unknown",
    }
    assert (line["requests"], line["input_tokens"], line["output_tokens"]) == (2, 20, 10)
    assert (line["cache_read_tokens"], line["cache_write_5m_tokens"], line["cache_write_1h_tokens"]) == (
        1000,
        100,
        200,
    )
    # Nobody knows what "beta" costs: no price is made up for it.
    assert line["unpriced"] == 2


@pytest.mark.parametrize(
    ("by", "requests"),
    [
        ("model", {"alpha": 2, "beta": 2, "gamma": 1}),
        ("source", {"cli": 2, "ide": 2}),
        ("session", {"s1": 2, "s2": 2}),
        ("day", {"2026-11-01": 2, "2026-11-02": 1, "2026-11-03": 2}),
    ],
)
def test_reports_group(recorded: Home, by: str, requests: dict[str, int]) -> None:
    lines = recorded.report(by, *SINCE)
    found = {key: line["requests"] for key, line in lines.items()}
    # Rows that have no source or session form a group of their own; what it is called is not our concern.
    assert requests.items() <= found.items()
    assert sum(found.values()) == 5


def test_rows_without_tokens_are_unknown_not_zero(recorded: Home) -> None:
    assert recorded.report("model", *SINCE)["gamma"]["unknown"] == 1


def test_since_and_until_bound_a_report(recorded: Home) -> None:
    bounds = ("--since", "2026-11-02T00:00:00Z", "--until", "2026-11-03T00:00:00Z")
    assert {key: line["requests"] for key, line in recorded.report("model", *bounds).items()} == {"beta": 1}


def test_limit_bounds_the_lines(recorded: Home) -> None:
    lines = recorded.json_lines("usage", "report", "--by", "model", "--limit", "2", *SINCE)
    assert len(lines) == 2


def test_a_report_for_people_is_a_table_without_colour(recorded: Home) -> None:
    text = recorded.run("usage", "report", "--by", "model", *SINCE).stdout
    assert "alpha" in text
    assert "beta" in text
    assert "\x1b" not in text


def test_known_models_have_a_price(home: Home) -> None:
    record(home, ROW | {"model": "claude-sonnet-4-5", "input_tokens": 1_000_000, "output_tokens": 1_000_000})
    line = home.report()["claude-sonnet-4-5"]
    # $3 and $15 for a million tokens each.
    assert (line["cost_microusd"], line["unpriced"]) == (18_000_000, 0)


def test_a_row_without_a_uid_gets_one_and_a_row_with_one_keeps_it(home: Home) -> None:
    first, second, third = record(home, ROW, ROW | {"uid": "mine"}, ROW)
    assert second == {"uid": "mine"}
    assert len({first["uid"], "mine", third["uid"]}) == 3


def test_a_uid_counts_once(home: Home) -> None:
    record(home, ROW | {"uid": "same"}, ROW | {"uid": "same"})
    record(home, ROW | {"uid": "same"})
    assert home.report()["fake"]["requests"] == 1


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(json.dumps(ROW | {"input_tokens": -1}), id="minus one"),
        pytest.param(json.dumps(ROW | {"output_tokens": -9_223_372_036_854_775_808}), id="the least integer"),
        pytest.param(json.dumps(ROW | {"cache_read_tokens": 9_223_372_036_854_775_807}), id="the greatest"),
        pytest.param(json.dumps(ROW | {"input_tokens": 10**30}), id="more than an integer holds"),
        pytest.param(json.dumps(ROW | {"input_tokens": 1e300}), id="1e300"),
        pytest.param(json.dumps(ROW | {"input_tokens": 1.5}), id="a fraction"),
        pytest.param(json.dumps(ROW).replace("10", "NaN"), id="NaN"),
        pytest.param(json.dumps(ROW | {"input_tokens": "10"}), id="text"),
        pytest.param(json.dumps(ROW | {"duration_ms": -5}), id="a negative duration"),
        pytest.param(json.dumps(ROW | {"time": "yesterday"}), id="no time"),
        pytest.param(json.dumps({"input_tokens": 1}), id="no model"),
        pytest.param("{not json", id="not JSON"),
        pytest.param("[]", id="no object"),
        pytest.param('"row"', id="a string"),
    ],
)
def test_an_absurd_row_is_refused_and_its_neighbours_are_kept_D15(home: Home, bad: str) -> None:
    first, refused, last = record(home, ROW | {"uid": "first"}, bad, ROW | {"uid": "last"})
    assert (first, last) == ({"uid": "first"}, {"uid": "last"})
    assert refused["line"] == 2
    assert refused["error"]
    line = home.report()["fake"]
    assert (line["requests"], line["input_tokens"]) == (2, 20)


def test_blank_lines_are_no_rows(home: Home) -> None:
    assert len(record(home, "", ROW, "   ", ROW, "")) == 2


def test_rows_are_read_from_a_file_too(home: Home, tmp_path: Path) -> None:
    file = tmp_path / "rows with a name.jsonl"
    file.write_text(json.dumps(ROW) + "\n" + json.dumps(ROW))
    assert len(home.json_lines("usage", "record", "--jsonl", str(file))) == 2


def test_a_file_that_is_not_there_is_named(home: Home, tmp_path: Path) -> None:
    done = home.run("usage", "record", "--jsonl", str(tmp_path / "nowhere.jsonl"), check=False)
    assert done.returncode == 66
    assert "nowhere.jsonl" in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["usage", "report", "--by", "mood"],
        ["usage", "report", "--since", "someday"],
        ["usage", "record"],
        ["serve", "--port", "seventy"],
        ["no-such-command"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_64_and_says_what_is_wrong(home: Home, arguments: list[str]) -> None:
    done = home.run(*arguments, check=False)
    assert done.returncode == 64
    assert done.stderr
    assert done.stdout == ""


def test_an_empty_home_has_an_empty_report(home: Home) -> None:
    assert home.json_lines("usage", "report") == []


def test_status_without_a_daemon(recorded: Home) -> None:
    (status,) = recorded.json_lines("status")
    assert status["daemon"] is None
    assert status["health"] == "ok"
    (usage,) = (store for store in status["stores"] if store["name"] == "usage")
    assert usage["bytes"] > 0
    assert usage["wal_bytes"] >= 0
    assert Path(usage["path"]).samefile(recorded.usage_db)
    assert status["spool"]["depth"] == 0
    assert status["spool"]["refused"] == 0


def test_the_version_is_printed(home: Home) -> None:
    assert re.fullmatch(r"(holdfast )?\d+\.\d+\.\d+\S*\n", home.run("--version").stdout)


def test_help_has_examples(home: Home) -> None:
    text = home.run("help", "usage", "record").stdout
    assert "holdfast usage record" in text


def test_the_documented_columns_are_the_tables_columns(recorded: Home) -> None:
    text = (ROOT / "docs/schema.md").read_text()
    section = text.split("\n### usage\n")[1].split("\n### ")[0]
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    documented = {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}
    with connected(recorded.usage_db) as connection:
        columns = {row[1] for row in connection.execute("PRAGMA table_info(usage)")}
    assert documented == columns


def test_a_foreign_program_adds_a_row_as_documented(home: Home) -> None:
    record(home, ROW)
    assert home.report()["fake"]["requests"] == 1
    statement = re.search(r"```sql\n(INSERT INTO usage.*?)\n```", (ROOT / "docs/schema.md").read_text(), re.S)
    shell(home.usage_db, statement.group(1))
    line = home.report()["claude-sonnet-4-5"]
    assert (line["requests"], line["input_tokens"], line["output_tokens"]) == (1, 1200, 340)
