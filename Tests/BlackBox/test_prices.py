# SPDX-License-Identifier: Apache-2.0
"""Prices: whose count, what a row says of them, and history costed again beside a daemon."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import httpx
import openai
import pytest

from program import PATIENCE, Daemon, Home, eventually
from test_routing import Vendor
from test_usage_command import record

MESSAGES = [{"role": "user", "content": "Say hello."}]


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    # Dollars per million tokens, as the provider itself publishes them.
    made = Vendor("groq", {"llama-3.1-8b-instant": 4.0, "fresh": 2.0, "own": 8.0})
    yield made
    made.fake.close()
    assert made.fake.failures == []


def costs(home: Home) -> dict[str, tuple[int | None, str | None]]:
    with contextlib.closing(sqlite3.connect(home.usage_db, timeout=PATIENCE)) as peer:
        rows = peer.execute("SELECT model, cost_microusd, rate_card FROM usage").fetchall()
    return {model: (cost, card) for model, cost, card in rows}


def test_a_providers_price_counts_before_the_built_in_one_and_after_the_users(
    home: Home, vendor: Vendor, daemons: list[Daemon]
) -> None:
    own = {"prices": {"own": {"input": 1, "output": 1}}}
    home.configure(
        providers={"groq": vendor.section | own, "openai": {"kind": "openai", **own} | vendor.section}
    )
    daemon = home.serve()
    daemons.append(daemon)
    eventually(
        "the catalogue",
        lambda: len(httpx.get(f"{daemon.url}/api/models", timeout=60).json()["models"]) >= 3,
    )
    row = {"provider": "groq", "input_tokens": 1_000_000, "output_tokens": 0}
    with openai.OpenAI(base_url=f"{daemon.url}/groq/v1", api_key="k", max_retries=0) as client:
        for model in vendor.models:
            client.chat.completions.create(model=model, messages=MESSAGES)
    # The same prices for a row that another program tells.
    assert all("uid" in answer for answer in record(home, row | {"model": "fresh"}))
    eventually("the rows", lambda: len(costs(home)) == 3 and costs(home)["fresh"][0] is not None)
    found = costs(home)
    assert found["llama-3.1-8b-instant"][1].startswith("published:4000000/")
    assert found["fresh"][1].startswith("published:2000000/")
    assert found["own"][1].startswith("config:1000000/")
    lines = {line["model"]: line for line in home.json_lines("usage", "prices", "--provider", "groq")}
    assert lines["llama-3.1-8b-instant"]["origin"] == "published"
    assert lines["llama-3.1-8b-instant"]["input_microusd"] == 4_000_000
    assert lines["own"]["origin"] == "config" and lines["own"]["output_microusd"] == 1_000_000
    assert lines["openai/gpt-oss-120b"]["origin"] == "built-in"
    assert home.run("usage", "prices", "no-such-model", check=False).returncode == 66


def test_history_is_costed_again_beside_a_daemon(home: Home, vendor: Vendor, daemons: list[Daemon]) -> None:
    home.configure(providers={"groq": vendor.section})
    rows = [
        {"provider": "groq", "model": "unheard", "input_tokens": 1_000_000, "output_tokens": 0}
        | {"time": f"2026-11-{day:02}T12:00:00Z"}
        for day in range(1, 11)
        for _ in range(60)
    ]
    assert all("uid" in answer for answer in record(home, *rows))
    everything = ("--since", "2026-10-01")
    assert home.report("model", *everything)["unheard"]["unpriced"] == 600
    assert home.json_lines("usage", "recost") == [
        {"rows": 600, "changed": 0, "unpriced": 600, "before_microusd": 0, "after_microusd": 0}
    ]

    prices = {"unheard": {"input": 0.5, "output": 1}}
    home.configure(providers={"groq": vendor.section | {"prices": prices}})
    daemons.append(home.serve())
    half = ("--since", "2026-11-06", "--until", "2026-11-11")
    planned = {
        "rows": 300,
        "changed": 300,
        "unpriced": 0,
        "before_microusd": 0,
        "after_microusd": 150_000_000,
    }
    assert home.json_lines("usage", "recost", *half, "--dry-run") == [planned]
    assert home.report("model", *everything)["unheard"]["unpriced"] == 600
    assert home.json_lines("usage", "recost", *half) == [planned]
    line = home.report("model", *everything)["unheard"]
    assert line["unpriced"] == 300 and line["cost_microusd"] == 150_000_000

    prices["unheard"]["input"] = 1
    home.configure(providers={"groq": vendor.section | {"prices": prices}})
    done = home.run("usage", "recost")
    assert "600 requests looked at, 600 costed anew: $150.00 before, $600.00 after" in done.stdout
    # The bar is for a terminal alone.
    assert done.stderr == ""
    assert home.json_lines("usage", "recost")[0]["changed"] == 0
    with contextlib.closing(sqlite3.connect(home.usage_db, timeout=PATIENCE)) as peer:
        cards = peer.execute("SELECT DISTINCT rate_card FROM usage").fetchall()
    assert len(cards) == 1 and cards[0][0].startswith("config:1000000/")


def test_a_price_that_is_none_stops_everything_with_one_sentence(home: Home, vendor: Vendor) -> None:
    bad = {"prices": {"m": {"input": 1, "output": 1, "long_context": {"above": "often"}}}}
    home.configure(providers={"groq": vendor.section | bad})
    done = home.run("usage", "recost", check=False)
    assert done.returncode == 78 and "long_context" in done.stderr and done.stderr.count("\n") == 1
