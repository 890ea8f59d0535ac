# SPDX-License-Identifier: Apache-2.0
"""Reports as people ask for them: zones, comparisons, spreadsheets, blocks, a status line, retention."""

from __future__ import annotations

import csv
import io
import json
import urllib.parse
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from foreign import connected
from program import Home, eventually

ROW = {"provider": "anthropic", "model": "claude-opus-4-8", "input_tokens": 1_000_000, "output_tokens": 0}


def record(home: Home, *rows: dict) -> None:
    lines = "\n".join(json.dumps(ROW | row) for row in rows)
    done = home.run("usage", "record", "--jsonl", "-", "--json", stdin=lines)
    assert all("uid" in json.loads(line) for line in done.stdout.splitlines())


def moment(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def ago(**span: float) -> str:
    return moment(datetime.now(UTC) - timedelta(**span))


def test_days_are_those_of_the_zone_across_its_clock_changes(home: Home) -> None:
    zone = ZoneInfo("Europe/Berlin")
    # The night clocks go back has 25 hours, the one they go forward 23; a row in every hour of four days.
    times = [datetime(2026, 10, 23, 12, tzinfo=UTC) + timedelta(hours=hour) for hour in range(96)]
    times += [datetime(2026, 3, 28, 3, tzinfo=UTC) + timedelta(hours=hour) for hour in range(48)]
    record(home, *({"time": moment(time)} for time in times))
    expected: dict[str, int] = {}
    for time in times:
        day = time.astimezone(zone).date().isoformat()
        expected[day] = expected.get(day, 0) + 1
    found = home.report("day", "--since", "all", "--zone", "Europe/Berlin")
    assert {day: line["requests"] for day, line in found.items()} == expected
    assert expected["2026-10-25"] == 25 and expected["2026-03-29"] == 23
    span = ("--since", "2026-10-25", "--until", "2026-10-26", "--zone", "Europe/Berlin")
    assert home.report("model", *span)[ROW["model"]]["requests"] == 25
    # The hour that comes twice is two, told apart by their moments.
    hours = home.report("hour", *span)
    assert len(hours) == 25 and all(line["requests"] == 1 for line in hours.values())


@pytest.mark.parametrize("zone", ["Asia/Kolkata", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham"])
def test_days_of_zones_that_cut_an_hour_are_exact(home: Home, zone: str) -> None:
    times = [datetime(2026, 10, 1, tzinfo=UTC) + timedelta(minutes=7 * step) for step in range(900)]
    record(home, *({"time": moment(time)} for time in times))
    expected: dict[str, int] = {}
    for time in times:
        day = time.astimezone(ZoneInfo(zone)).date().isoformat()
        expected[day] = expected.get(day, 0) + 1
    found = home.report("day", "--since", "all", "--zone", zone)
    assert {day: line["requests"] for day, line in found.items()} == expected


def test_a_report_beside_the_same_time_before(home: Home) -> None:
    record(
        home,
        {"time": ago(days=10), "source": "old"},
        {"time": ago(days=9), "source": "both"},
        {"time": ago(days=1), "source": "both", "input_tokens": 2_000_000},
        {"time": ago(hours=1), "source": "new"},
    )
    lines = {line["key"]: line for line in home.json_lines("usage", "report", "--by", "source", "--compare")}
    assert lines["both"]["cost_microusd"] == 2 * lines["both"]["previous"]["cost_microusd"] == 10_000_000
    assert lines["new"]["previous"]["requests"] == 0
    text = home.run("usage", "report", "--by", "source", "--compare").stdout
    assert "+100 %" in text and "new" in text
    # Both periods whole: what was there before and is no more counts in the total.
    assert "+50 %" in text.splitlines()[-1]
    refused = home.run("usage", "report", "--compare", "--since", "all", check=False)
    assert refused.returncode == 64 and "beginning" in refused.stderr


def test_a_spreadsheet_reads_what_clients_are_called(home: Home) -> None:
    names = ['say "hi", you', "=1+1", "line\nbreak", "plain"]
    record(home, *({"time": ago(hours=1), "source": name} for name in names))
    done = home.run("usage", "report", "--by", "source", "--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
    assert {row["source"] for row in rows} == {'say "hi", you', "'=1+1", "line\nbreak", "plain"}
    assert all(int(row["cost_microusd"]) == 5_000_000 for row in rows)
    assert home.run("usage", "report", "--csv", "--json", check=False).returncode == 64


def test_sub_agents_and_tools_have_their_sums(home: Home) -> None:
    record(
        home,
        {"time": ago(hours=1), "agent": "explore-1", "tool": "Bash"},
        {"time": ago(hours=1), "agent": "explore-1", "tool": "Read"},
        {"time": ago(hours=1), "status": 529},
    )
    agents = home.report("agent")
    assert agents["explore-1"]["requests"] == 2 and agents[None]["requests"] == 1
    tools = home.report("tool")
    assert {key: line["requests"] for key, line in tools.items()} == {"Bash": 1, "Read": 1, None: 1}
    assert tools[None]["errors"] == 1 and tools["Bash"]["errors"] == 0


def test_what_caching_saved_is_in_the_report(home: Home) -> None:
    record(home, {"time": ago(hours=1), "input_tokens": 0, "cache_read_tokens": 1_000_000})
    line = home.report()[ROW["model"]]
    assert line["cost_microusd"] == 500_000 and line["saved_microusd"] == 4_500_000
    assert "100 %" in home.run("usage", "report").stdout


def test_blocks_say_how_fast_they_are_used_up(home: Home) -> None:
    assert home.run("usage", "blocks").stdout.strip() == "No requests in this time."
    record(home, {"time": ago(hours=30)}, {"time": ago(minutes=1)}, {"time": ago(seconds=5)})
    active, ended = home.json_lines("usage", "blocks")
    assert active["active"] and not ended["active"]
    assert active["requests"] == 2 and ended["requests"] == 1
    assert active["projection"]["cost_microusd"] >= active["cost_microusd"] == 10_000_000
    assert active["burn"]["cost_microusd_per_hour"] > 0 and ended["burn"] is None
    start, end = (datetime.fromisoformat(active[name]) for name in ("start", "end"))
    assert end - start == timedelta(hours=5) and start.minute == 0
    assert "active" in home.run("usage", "blocks", "--zone", "Europe/Berlin").stdout


def test_a_status_line_is_one_line_for_prompts_and_for_claude_code(home: Home) -> None:
    empty = home.run("usage", "statusline")
    assert empty.stdout == "today $0.00\n" and not home.path.exists()
    record(home, {"time": ago(seconds=5), "session": "s-1"}, {"time": ago(days=2), "session": "s-1"})
    line = home.run("usage", "statusline").stdout
    assert line.count("\n") == 1 and "today $5.00" in line and "block $5.00" in line
    hook = {"session_id": "s-1", "model": {"id": "claude-opus-4-8", "display_name": "Opus"}, "cost": {}}
    told = home.run("usage", "statusline", "--hook", stdin=json.dumps(hook, indent=1)).stdout
    assert told.startswith("Opus · session $10.00 · today $5.00")
    # What cannot be read is left out: a status line is no place for an error.
    for junk in ("", "not json", "[1]"):
        assert home.run("usage", "statusline", "--hook", stdin=junk).stdout == line
    (figures,) = home.json_lines("usage", "statusline", "--session", "s-1")
    assert figures["session"]["requests"] == 2 and figures["today"]["requests"] == 1


def test_rows_go_for_their_age_and_their_sums_stay(home: Home) -> None:
    record(home, *({"time": ago(days=day), "session": f"s{day}"} for day in range(10)))
    before = {by: home.report(by, "--since", "all") for by in ("model", "day", "hour", "session")}
    (report,) = home.json_lines("usage", "prune", "--older-than", "5d")
    assert report["rows"] in (4, 5)
    with connected(home.usage_db) as connection:
        (kept,) = connection.execute("SELECT count(*) FROM usage").fetchone()
    assert kept == 10 - report["rows"]
    assert {by: home.report(by, "--since", "all") for by in before} == before
    assert home.json_lines("usage", "prune", "--older-than", "5d")[0]["rows"] == 0
    assert home.run("usage", "prune", "--older-than", "all", check=False).returncode == 64


def test_the_daemon_removes_old_rows_where_it_is_told_to(home: Home, daemons: list) -> None:
    record(home, {"time": ago(days=40)}, {"time": ago(days=1)})
    home.configure(usage={"retention_days": 30})
    daemons.append(home.serve())

    def kept() -> int:
        with connected(home.usage_db) as connection:
            return connection.execute("SELECT count(*) FROM usage").fetchone()[0]

    eventually("the old row is gone", lambda: kept() == 1)
    assert home.report("model", "--since", "all")[ROW["model"]]["requests"] == 2
    home.configure(usage={"retention_days": 0})
    refused = home.run("serve", "--port", "0", check=False)
    assert refused.returncode == 78 and "retention_days" in refused.stderr


def test_the_api_answers_what_the_page_asks(home: Home, daemons: list) -> None:
    record(
        home,
        {"time": ago(hours=2), "duration_ms": 900, "session": "s"},
        {"time": ago(days=10), "duration_ms": 5},
    )
    daemon = home.serve()
    daemons.append(daemon)

    def ask(path: str, **parameters: str) -> dict | list:
        return daemon.json(f"/api/usage{path}?{urllib.parse.urlencode(parameters)}")

    overview = ask("/overview", since="7d")
    assert overview["current"]["requests"] == 1 and overview["previous"]["requests"] == 1
    assert 700 <= overview["current"]["latency_ms"]["p50"] <= 1000
    assert overview["current"]["sessions"] == 1 and overview["current"]["cache_hit_ratio"] == 0
    series = ask("/series", by="hour", split="model", since="7d", zone="Europe/Berlin")
    assert [point["key"] for point in series] == [ROW["model"]]
    assert datetime.fromisoformat(series[0]["time"]).minute == 0
    blocks = ask("/blocks", since="7d")
    assert len(blocks) == 1 and blocks[0]["cost_microusd"] == 5_000_000
    for path, wrong in (
        ("/series", {"split": "day"}),
        ("/series", {"by": "week"}),
        ("/overview", {"zone": "Mars/Base"}),
        ("/blocks", {"by": "model"}),
    ):
        status, _, body = daemon.get(f"/api/usage{path}?{urllib.parse.urlencode(wrong)}")
        assert status == 400 and "error" in json.loads(body)


def test_the_schema_of_the_sums_is_the_documented_one(home: Home) -> None:
    record(home, {"time": ago(hours=1), "tool": "Bash"})
    with connected(home.usage_db) as connection:
        dimensions = {row[0] for row in connection.execute("SELECT DISTINCT dimension FROM usage_daily")}
    documented = (Path(__file__).resolve().parents[2] / "docs/schema.md").read_text("utf-8")
    assert all(f"`{dimension}`" in documented for dimension in dimensions)
