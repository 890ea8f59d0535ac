# SPDX-License-Identifier: Apache-2.0
"""Budgets, as the real SDKs and whoever is told of them meet them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx
import openai
import pytest

from conftest import providers
from fake_upstream import Exchange, FakeUpstream
from program import PATIENCE, Daemon, Home, eventually
from test_usage_command import record

MESSAGES = [{"role": "user", "content": "Say hello."}]
# A thousand dollars a million: the fake's 120 prompt tokens of a chat are 12 cents.
PRICE = {"input": 1000, "output": 0, "tiers": {"priority": 1}}
CHAT = 120_000


def configure(home: Home, upstream: FakeUpstream, *budgets: dict, **models: dict) -> None:
    prices = {"fake": PRICE, "dear": PRICE, "cheap": PRICE} | models
    sections = {name: section | {"prices": prices} for name, section in providers(upstream).items()}
    home.configure(providers=sections, budgets=list(budgets))


def started(home: Home, daemons: list[Daemon]) -> Daemon:
    daemon = home.serve()
    daemons.append(daemon)
    return daemon


def openai_client(daemon: Daemon, source: str | None = None, **options) -> openai.OpenAI:
    headers = {"x-holdfast-source": source} if source else {}
    return openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="sk-own", default_headers=headers, **options)


def anthropic_client(daemon: Daemon, source: str | None = None, **options) -> anthropic.Anthropic:
    headers = {"x-holdfast-source": source} if source else {}
    return anthropic.Anthropic(base_url=daemon.url, api_key="sk-own", default_headers=headers, **options)


def chat(daemon: Daemon, source: str | None = None, model: str = "fake", **options) -> None:
    with openai_client(daemon, source, **options) as client:
        client.chat.completions.create(model=model, messages=MESSAGES)


def rows(home: Home, where: str = "1") -> list[dict]:
    with contextlib.closing(sqlite3.connect(home.usage_db, timeout=PATIENCE)) as peer:
        peer.row_factory = sqlite3.Row
        return [dict(row) for row in peer.execute(f"SELECT * FROM usage WHERE {where} ORDER BY seq")]


def budgets(daemon: Daemon) -> dict[str, dict]:
    return {line["name"]: line for line in httpx.get(f"{daemon.url}/api/budgets", timeout=60).json()}


class Hook:
    """A server that is told of crossings."""

    def __init__(self, *failures: int) -> None:
        self.failures = list(failures)
        self.lock = threading.Lock()
        self.fake = FakeUpstream(self._answer)

    def _answer(self, exchange: Exchange) -> None:
        with self.lock:
            status = self.failures.pop(0) if self.failures else 204
        exchange.whole(status, b"")

    @property
    def heard(self) -> list[dict]:
        return [request.json() for request in self.fake.requests]


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.fake.close()
    assert made.fake.failures == []


def test_the_sdks_meet_a_used_up_budget_as_their_own_rate_limit_error(
    home: Home, upstream: FakeUpstream, daemons: list[Daemon]
) -> None:
    ci = {"name": "ci runs", "scope": {"source": "ci"}, "limit": 0.24, "period": "month", "action": "refuse"}
    configure(home, upstream, ci)
    daemon = started(home, daemons)
    before = len(upstream.requests)
    chat(daemon, "ci")
    chat(daemon, "ci")
    # The SDKs' own retries are on: they are told not to.
    with openai_client(daemon, "ci") as client, pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model="fake", messages=MESSAGES, stream=True)
    assert "The budget “ci runs” of $0.24 a month for source ci is used up ($0.24 spent)" in str(
        refused.value
    )
    assert refused.value.code == "budget_exhausted" and refused.value.type == "insufficient_quota"
    assert 0 < int(refused.value.response.headers["retry-after"]) <= 31 * 86_400
    with anthropic_client(daemon, "ci") as client:
        for stream in (False, True):
            with pytest.raises(anthropic.RateLimitError) as refused:
                client.messages.create(model="fake", max_tokens=9, messages=MESSAGES, stream=stream)
            assert refused.value.body["error"]["type"] == "rate_limit_error"
            assert "“ci runs”" in refused.value.body["error"]["message"]
        # Counting tokens costs nothing.
        assert client.messages.count_tokens(model="fake", messages=MESSAGES).input_tokens == 14
    # Another program is not affected.
    chat(daemon, "me")
    with anthropic_client(daemon) as client:
        client.messages.create(model="fake", max_tokens=9, messages=MESSAGES)
    assert len(upstream.requests) - before == 5

    eventually("every row", lambda: len(rows(home)) == 7)
    turned_away = rows(home, "outcome = 'refused'")
    assert len(turned_away) == 3
    for row in turned_away:
        assert (row["status"], row["error_type"], row["source"]) == (429, "budget_exhausted", "ci")
        assert row["model"] == "fake" and row["expects_usage"] == 0 and row["cost_microusd"] is None
    # A restart changes nothing, from the first request on.
    assert daemon.terminate() == 0
    daemon = started(home, daemons)
    with pytest.raises(openai.RateLimitError):
        chat(daemon, "ci")
    chat(daemon, "me")
    daemon.kill()
    with pytest.raises(openai.RateLimitError):
        chat(started(home, daemons), "ci")


def test_a_models_budget_holds_for_bodies_that_are_not_held(
    home: Home, upstream: FakeUpstream, daemons: list[Daemon]
) -> None:
    dear = {"name": "dear", "scope": {"model": "de*"}, "limit": 0.01, "period": "day", "action": "refuse"}
    configure(home, upstream, dear)
    daemon = started(home, daemons)
    chat(daemon, model="dear")
    answered = len(upstream.requests)
    # Its own key, so it is relayed as it comes: whole, in pieces, with the model's name at the very end.
    for content in ("Hello.", "x" * 3_000_000):
        with openai_client(daemon, max_retries=0) as client, pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(model="dear", messages=[{"role": "user", "content": content}])
        assert "“dear”" in str(refused.value)
        with anthropic_client(daemon, max_retries=0) as client, pytest.raises(anthropic.RateLimitError):
            client.messages.create(
                model="dear", max_tokens=9, messages=[{"role": "user", "content": content}]
            )
        late = json.dumps({"messages": [{"role": "user", "content": content}], "model": "dear"})
        answer = httpx.post(f"{daemon.url}/v1/chat/completions", content=late, timeout=60)
        assert answer.status_code == 429 and answer.headers["x-holdfast-error"] == "budget_exhausted"
    assert len(upstream.requests) == answered, "nobody was given a whole request"
    chat(daemon, model="cheap")
    eventually("every row", lambda: len(rows(home)) == 8)
    assert {row["model"] for row in rows(home, "outcome = 'refused'")} == {"dear"}


def test_what_another_process_spends_counts(
    home: Home, upstream: FakeUpstream, daemons: list[Daemon]
) -> None:
    whole = {"name": "all", "limit": 1, "period": "month", "action": "refuse"}
    configure(home, upstream, whole)
    daemon = started(home, daemons)
    chat(daemon)
    told = {"provider": "openai", "model": "fake", "input_tokens": 900, "output_tokens": 0}
    assert all("uid" in answer for answer in record(home, told))

    eventually("the budget is used up", lambda: budgets(daemon)["all"]["spent_microusd"] >= 900_000 + CHAT)
    with pytest.raises(openai.RateLimitError):
        chat(daemon)
    # A higher limit is read with the next start.
    assert daemon.terminate() == 0
    configure(home, upstream, whole | {"limit": 1000})
    chat(started(home, daemons))


def test_crossings_are_told_once_by_webhook_and_command_over_restarts(
    home: Home, upstream: FakeUpstream, daemons: list[Daemon], hook: Hook, tmp_path: Path
) -> None:
    hook.failures = [503]
    written = tmp_path / "told.jsonl"
    script = tmp_path / "tell.sh"
    script.write_text(f'#!/bin/sh\ncat >> "{written}"\necho >> "{written}"\n')
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    web = {
        "name": "web",
        "limit": 0.24,
        "period": "month",
        "notify": {"webhook": hook.fake.url + "/told?x=1"},
    }
    command = {"name": "command", "limit": 0.24, "period": "month", "warn": 100}
    command["notify"] = {"command": [str(script)]}
    configure(home, upstream, web, command)
    daemon = started(home, daemons)
    chat(daemon)
    eventually("the rows", lambda: len(rows(home)) == 1)
    assert hook.heard == []
    # Half is no threshold; all of it is two at once.
    chat(daemon)
    eventually("both thresholds", lambda: len(hook.heard) >= 3)
    eventually("the command", lambda: written.exists() and written.read_text().count("\n") >= 1)
    # It warns only.
    chat(daemon)
    for message in hook.heard:
        assert message["event"] == "budget" and message["budget"] == "web" and message["scope"] == "all"
        assert message["limit_microusd"] == 240_000 and message["spent_microusd"] == 2 * CHAT
        assert message["period"] == "month" and message["action"] == "warn" and message["key"] is None
    first = [request for request in hook.fake.requests if request.json()["attempt"] == 1]
    assert sorted(request.json()["threshold"] for request in first) == [80, 100]
    assert all(request.path == "/told" for request in hook.fake.requests)
    keys = [request.header("idempotency-key") for request in hook.fake.requests]
    assert len(set(keys)) == 2 and len(keys) == 3, "the one that failed came again by the same key"

    def settled() -> bool:
        with contextlib.closing(sqlite3.connect(home.usage_db, timeout=PATIENCE)) as peer:
            query = (
                "SELECT count(*) FROM usage_budget_crossings WHERE told_ms IS NOT NULL AND next_ms IS NULL"
            )
            return peer.execute(query).fetchone()[0] == 3

    eventually("all is written down", settled)
    daemon.kill()
    daemon = started(home, daemons)
    chat(daemon)
    eventually("the reading", lambda: budgets(daemon)["web"]["spent_microusd"] == 4 * CHAT)
    assert [one["threshold"] for one in budgets(daemon)["web"]["crossed"]] == [80, 100]
    assert daemon.terminate() == 0
    assert len(hook.heard) == 3
    lines = [json.loads(line) for line in written.read_text().splitlines() if line]
    assert [(line["budget"], line["threshold"]) for line in lines] == [("command", 100)]


def test_budgets_are_shown_by_command_api_and_status(
    home: Home, upstream: FakeUpstream, daemons: list[Daemon]
) -> None:
    over = {
        "name": "over",
        "scope": {"project": "p-*"},
        "limit": 0.1,
        "period": "week",
        "zone": "Europe/Berlin",
    }
    fine = {"name": "fine", "limit": 100.5, "period": "5h", "action": "refuse"}
    configure(home, upstream, over, fine)
    keys = {"name", "scope", "key", "period", "zone", "start", "end", "action", "state", "crossed", "as_of"}
    keys |= {"limit_microusd", "spent_microusd", "unpriced"}
    unused = home.json_lines("usage", "budgets")
    assert [line["name"] for line in unused] == ["over", "fine"] and set(unused[0]) == keys
    assert unused[0]["spent_microusd"] == 0 and unused[0]["state"] == "ok" and unused[0]["as_of"] is None

    daemon = started(home, daemons)
    with openai_client(daemon) as client:
        headers = {"x-holdfast-project": "p-1"}
        client.chat.completions.create(model="fake", messages=MESSAGES, extra_headers=headers)
        client.chat.completions.create(model="unheard", messages=MESSAGES, extra_headers=headers)
    eventually("the reading", lambda: budgets(daemon)["over"]["unpriced"] == 1)
    eventually("the crossings", lambda: len(budgets(daemon)["over"]["crossed"]) == 2)
    line = budgets(daemon)["over"]
    assert set(line) == keys
    assert (line["scope"], line["key"], line["zone"]) == ("project", "p-*", "Europe/Berlin")
    assert (line["state"], line["action"], line["spent_microusd"]) == ("over", "warn", CHAT)
    assert line["limit_microusd"] == 100_000 and line["start"] < line["end"]
    assert budgets(daemon)["fine"]["state"] == "ok"

    assert {one["name"]: one["spent_microusd"] for one in home.json_lines("usage", "budgets")} == {
        "over": CHAT,
        "fine": CHAT,
    }
    text = home.run("usage", "budgets").stdout
    assert "project p-*" in text and "120 %" in text and "over" in text
    # With the daemon and without.
    for _ in range(2):
        findings = {one["code"]: one["message"] for one in home.json_lines("status")[0]["findings"]}
        assert "The budget “over” is used up: $0.12 of $0.10 a week" in findings["budget-over"]
        daemon.terminate()


@pytest.mark.parametrize(
    ("budget", "word"),
    [
        ({"name": "b", "limit": 1, "period": "fortnight"}, "period"),
        ({"name": "b", "limit": "much", "period": "day"}, "limit"),
        ({"name": "b", "limit": 1, "period": "day", "zone": "Moon/Base"}, "zone"),
    ],
)
def test_a_budget_that_cannot_be_stops_the_daemon_with_one_sentence(
    home: Home, upstream: FakeUpstream, budget: dict, word: str
) -> None:
    configure(home, upstream, budget)
    for command in (("serve", "--port", "0"), ("usage", "budgets")):
        done = home.run(*command, check=False)
        assert done.returncode == 78 and done.stdout == ""
        assert done.stderr.count("\n") == 1 and word in done.stderr and "budget “b”" in done.stderr
