# SPDX-License-Identifier: Apache-2.0
"""`holdfast mailbox schedule …`: its times against another implementation's, and messages sent once."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from croniter import croniter

from foreign import integrity
from program import PATIENCE, Home, eventually
from supervising import Supervise, configure

MAILBOX = "writer/session-1"

ZONES = [
    "UTC",
    "Europe/Berlin",
    "Europe/London",
    "America/New_York",
    "America/St_Johns",  # half an hour off
    "America/Santiago",  # clocks change at midnight
    "Africa/Casablanca",  # twice a year, by the moon
    "Africa/Cairo",  # at midnight, on a Friday
    "Asia/Kolkata",  # half an hour off, never changes
    "Asia/Tokyo",
    "Australia/Lord_Howe",  # by half an hour
    "Pacific/Auckland",
    "Pacific/Kiritimati",  # 14 hours ahead
]

# Those that are due at most a few times a day, where clocks change and around.
SELDOM = [
    "0 0 * * *",
    "30 0 * * *",
    "15 1 * * *",
    "0 2 * * *",
    "30 2 * * *",
    "45 2 * * *",
    "0 3 * * *",
    "59 23 * * *",
    "0 2,14 * * *",
    "0 22-2 * * *",
    "30 */6 * * *",
    "15 9-17/4 * * mon-fri",
    "0 9 * * mon-fri",
    "0 9 * * 1-5",
    "0 9 * * MON,Wed,fri",
    "30 1 * * sun",
    "30 2 * * 0",
    "30 2 * * 7",
    "0 0 * * 5-7",
    "0 0 * * fri-mon",
    "0 12 * * */2",
    "0 0 1 * *",
    "0 0 15 * *",
    "0 0 31 * *",
    "0 0 30 * *",
    "0 0 29 2 *",
    "30 2 29 2 *",
    "0 0 L * *",
    "30 2 L * *",
    "0 0 1,L * *",
    "0 0 L 2 *",
    "0 6 1-7 * *",
    "0 6 */10 * *",
    "0 6 2-30/7 * *",
    "0 0 13 * fri",
    "0 0 1,15 * mon",
    "0 0 */10 * 1",
    "0 0 */2 * sun",
    "0 0 ? * mon",
    "0 0 13 * ?",
    "0 8 * jan *",
    "0 8 * MAR,oct *",
    "0 8 * nov-feb *",
    "0 8 1 */3 *",
    "0 8 5/10 6-8 *",
    "0 0 * * fri#3",
    "0 0 * * 1#1",
    "30 2 * * sun#5",
    "0 0 * * L5",
    "30 2 * * L0",
    "0 0 * * 2#2,4#4",
    "0 0 * 3,10 L0",
    "@daily",
    "@midnight",
    "@weekly",
    "@monthly",
    "@yearly",
    "@annually",
]

# Those of many times a day: the days around each change of clocks.
OFTEN = [
    "0 * * * *",
    "30 * * * *",
    "17 */1 * * *",
    "*/30 0-23 * * *",
    "5/20 * * * *",
    "@hourly",
    "*/20 1-3 * * *",
    "0 */2 * * *",
    "0 1/3 * * *",
    "*/7 */5 * * *",
    "15,45 9-17 * * mon-fri",
    "10-20/5 0,2,23 * 3,4,9-11 *",
]
CHANGING = [zone for zone in ZONES if zone not in {"UTC", "Asia/Kolkata", "Asia/Tokyo", "Pacific/Kiritimati"}]


def hours(expression: str) -> set[int]:
    return set(range(24)) if expression == "@hourly" else set(croniter(expression).expanded[1])


def minutes(expression: str) -> set[int]:
    return set(croniter(expression).expanded[0])


def means_every_hour(expression: str) -> bool:
    return "*" in hours(expression) or hours(expression) >= set(range(24))


def changes(zone: ZoneInfo, begin: datetime, end: datetime) -> list[datetime]:
    """The moments at which clocks are changed."""
    found = []
    hour = begin
    while hour < end:
        if hour.astimezone(zone).utcoffset() != (hour + timedelta(hours=1)).astimezone(zone).utcoffset():
            minute = hour
            while minute.astimezone(zone).utcoffset() == hour.astimezone(zone).utcoffset():
                minute += timedelta(minutes=1)
            found.append(minute)
        hour += timedelta(hours=1)
    return found


def steps(expression: str, zone: ZoneInfo, begin: datetime, end: datetime) -> Iterator[datetime]:
    """croniter's times behind `begin`, up to `end` itself.

    It is asked anew right before each change of clocks: from one step to the next it loses count where they
    are put back by half an hour, and gives the same time for ever, though it knows them when asked there.
    """
    moment = begin
    for limit in [*(change - timedelta(minutes=1) for change in changes(zone, begin, end)), end]:
        for time in croniter(expression, moment.astimezone(zone), ret_type=datetime).all_next(datetime):
            if time.astimezone(UTC) > limit:
                break
            yield time.astimezone(UTC)
        moment = limit


def reference(expression: str, zone: ZoneInfo, begin: datetime, end: datetime) -> list[datetime]:
    """croniter's times, but for what is meant to be different here (docs/mailboxes.md)."""
    every_hour = means_every_hour(expression)
    times: list[datetime] = []
    for moment in steps(expression, zone, begin, end):
        wall = moment.astimezone(zone)
        # A fixed time that comes twice is run the first time only.
        if not every_hour and wall.fold:
            continue
        # Where every hour is meant, a time that was skipped is not made up for.
        if every_hour and "*" not in minutes(expression) and wall.minute not in minutes(expression):
            continue
        times.append(moment)
    return times


def ours(home: Home, expression: str, zone: str, begin: datetime, count: int) -> Iterator[datetime]:
    done = home.run(
        "mailbox", "schedule", "next", expression, "--zone", zone,
        "--from", begin.isoformat(), "--count", str(count), "--json",
    )  # fmt: skip
    return (datetime.fromisoformat(json.loads(line)["time"]) for line in done.stdout.splitlines())


def compare(home: Home, zone: str, begin: datetime, end: datetime, expressions: list[str]) -> None:
    found = 0
    for expression in expressions:
        expected = reference(expression, ZoneInfo(zone), begin, end)
        # One more than there are: it has to lie behind the end.
        times = list(ours(home, expression, zone, begin, len(expected) + 1))
        assert len(times) == len(expected) + 1, (expression, zone)
        for mine, theirs in zip(times, expected, strict=False):
            assert mine == theirs, f"{expression} in {zone}: {mine}, not {theirs}"
        assert times[-1] > end, f"{expression} in {zone}: {times[-1]} is one more"
        found += len(expected)
    assert found > len(expressions), zone


def new_year(year: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC)


# The others are left to `make soak`: each takes ten seconds.
ALWAYS = {
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "America/Santiago",
    "Africa/Casablanca",
    "Australia/Lord_Howe",
}


@pytest.mark.parametrize(
    "zone", [pytest.param(zone, marks=[] if zone in ALWAYS else pytest.mark.soak) for zone in ZONES]
)
def test_a_year_of_times_as_another_implementation_has_them_e10(home: Home, zone: str) -> None:
    assert len(SELDOM) + len(OFTEN) >= 60
    compare(home, zone, new_year(2026), new_year(2027), SELDOM)


@pytest.mark.parametrize("zone", ["UTC", "America/Santiago", "Australia/Lord_Howe"])
def test_a_leap_year_of_times_e10(home: Home, zone: str) -> None:
    compare(home, zone, new_year(2028), new_year(2029), SELDOM)


@pytest.mark.parametrize("zone", CHANGING)
def test_frequent_times_where_clocks_change_e10(home: Home, zone: str) -> None:
    moments = changes(ZoneInfo(zone), new_year(2026), new_year(2027))
    assert len(moments) >= 2
    for change in moments:
        compare(home, zone, change - timedelta(days=2), change + timedelta(days=4), OFTEN)


def test_what_is_meant_to_be_different_is(home: Home) -> None:
    """The rules by which the reference is changed have something to change, and do as the page says."""
    berlin = ZoneInfo("Europe/Berlin")
    autumn = datetime(2026, 10, 24, 12, tzinfo=UTC)
    both = croniter("30 2 * * *", autumn.astimezone(berlin), ret_type=datetime).all_next(datetime)
    assert [time.astimezone(UTC).hour for time in islice(both, 2)] == [0, 1]
    mine = list(ours(home, "30 2 * * *", "Europe/Berlin", autumn, 2))
    assert [(time.day, time.hour, time.minute) for time in mine] == [(25, 0, 30), (26, 1, 30)]
    spring = datetime(2026, 3, 28, 12, tzinfo=UTC)
    # Skipped at 01:00 UTC: run then.
    assert next(ours(home, "30 2 * * *", "Europe/Berlin", spring, 1)) == datetime(2026, 3, 29, 1, tzinfo=UTC)
    hourly = list(ours(home, "30 * * * *", "Europe/Berlin", datetime(2026, 3, 29, tzinfo=UTC), 4))
    assert [(time.hour, time.minute) for time in hourly] == [(0, 30), (1, 30), (2, 30), (3, 30)]
    twice = list(ours(home, "30 * * * *", "Europe/Berlin", datetime(2026, 10, 25, tzinfo=UTC), 4))
    assert [(time.hour, time.minute) for time in twice] == [(0, 30), (1, 30), (2, 30), (3, 30)]


@pytest.mark.parametrize(
    ("expression", "zone", "reason"),
    [
        ("* * * *", "UTC", "4 fields"),
        ("61 * * * *", "UTC", "0 to 59"),
        ("0 0 30 2 *", "UTC", "no month has"),
        ("0 0 * * *", "Europe/Nowhere", "no time zone"),
        ("@sometimes", "UTC", "@hourly"),
    ],
)
def test_what_cannot_be_run_is_refused_with_its_reason_e10(
    home: Home, expression: str, zone: str, reason: str
) -> None:
    for command in (
        ("next", expression, "--zone", zone),
        ("add", MAILBOX, "s", "--cron", expression, "--zone", zone, "--content", "1"),
    ):
        done = home.run("mailbox", "schedule", *command, check=False)
        assert done.returncode == 65, done
        assert reason in done.stderr, done.stderr
        assert done.stdout == ""
    assert not (home.path / "mailboxes" / MAILBOX).exists()


def schedule(home: Home, verb: str, series: str, *options: str) -> dict:
    (line,) = home.json_lines("mailbox", "schedule", verb, MAILBOX, series, *options)
    return line


def test_a_schedule_is_added_paused_resumed_run_and_ended(home: Home) -> None:
    options = ("--cron", "0 9 29 2 mon", "--zone", "Asia/Tokyo", "--content", '{"task": 1}', "--kind", "tick")
    added = schedule(home, "add", "report", *options)
    assert added["state"] == "active"
    assert (added["series"], added["cron"], added["time_zone"]) == ("report", "0 9 29 2 mon", "Asia/Tokyo")
    assert (added["kind"], added["content"], added["missed"], added["runs"]) == (
        "tick",
        {"task": 1},
        "latest",
        0,
    )
    due = datetime.fromisoformat(added["next_run"])
    assert due > datetime.now(UTC)
    assert (due.hour, due.minute) == (0, 0)
    assert schedule(home, "add", "report", *options) == added

    paused = schedule(home, "pause", "report")
    assert paused["state"] == "paused"
    assert "next_run" not in paused
    assert schedule(home, "add", "report", *options)["state"] == "paused"
    receipt = schedule(home, "run", "report")
    assert receipt["id"].startswith("report@")
    (message,) = home.json_lines("mailbox", "show", MAILBOX)[0]["messages"]
    assert (message["id"], message["series"], message["kind"]) == (receipt["id"], "report", "tick")
    resumed = schedule(home, "resume", "report")
    assert (resumed["state"], resumed["next_run"], resumed["runs"]) == ("active", added["next_run"], 1)
    assert home.json_lines("mailbox", "schedule", "list", MAILBOX) == [resumed]
    assert "report" in home.run("mailbox", "schedule", "list", MAILBOX).stdout

    assert schedule(home, "cancel", "report")["state"] == "cancelled"
    for verb in ("pause", "resume", "run"):
        refused = home.run("mailbox", "schedule", verb, MAILBOX, "report", check=False)
        assert (refused.returncode, refused.stdout) == (77, ""), refused
        assert "cancelled" in refused.stderr
    assert home.json_lines("mailbox", "show", MAILBOX)[0]["schedules"][0]["state"] == "cancelled"
    assert schedule(home, "add", "report", *options)["state"] == "active"
    unknown = home.run("mailbox", "schedule", "pause", MAILBOX, "other", check=False)
    assert unknown.returncode == 66, unknown
    integrity(home.path / "mailboxes" / MAILBOX / "inbound.db")


def inbound(home: Home, query: str, *arguments: object) -> list[tuple]:
    place = home.path / "mailboxes" / MAILBOX / "inbound.db"
    with contextlib.closing(sqlite3.connect(place, timeout=PATIENCE)) as connection, connection:
        return connection.execute(query, arguments).fetchall()


def test_of_eight_hosts_one_runs_what_is_due_e10(home: Home) -> None:
    """Eight hosts find the same times missed; each has one message, and what cannot be run says why."""
    schedule(home, "add", "tick", "--cron", "0 * * * *", "--content", "7", "--missed", "all", "--cap", "50")
    schedule(home, "add", "spoilt", "--cron", "0 * * * *", "--content", "7")
    missed = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(hours=19)
    inbound(home, "UPDATE schedules SET next_run = ? WHERE series = 'tick'", int(missed.timestamp() * 1000))
    inbound(home, "UPDATE schedules SET cron = 'every day' WHERE series = 'spoilt'")
    config = configure(home, workers={"nobody/*": {"command": ["true"]}})
    hosts = [Supervise(home, config) for _ in range(8)]
    try:
        count = "SELECT count(*) FROM messages_in WHERE series = 'tick'"
        eventually("the missed times have their messages", lambda: inbound(home, count)[0][0] >= 20)
        retired = "SELECT state, error FROM schedules WHERE series = 'spoilt'"
        eventually("what cannot be run is retired", lambda: inbound(home, retired)[0][0] == "retired")
    finally:
        for host in hosts:
            host.stop()
    sent = [row[0] for row in inbound(home, "SELECT id FROM messages_in ORDER BY seq")]
    # An hour may have begun meanwhile.
    assert 20 <= len(sent) <= 21
    assert sent == [
        f"tick@{(missed + timedelta(hours=hour)).strftime('%Y-%m-%dT%H:%M:%SZ')}" for hour in range(len(sent))
    ]
    assert inbound(home, "SELECT runs FROM schedules WHERE series = 'tick'") == [(len(sent),)]
    assert "fields" in inbound(home, retired)[0][1]
