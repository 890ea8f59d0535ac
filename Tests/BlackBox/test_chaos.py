# SPDX-License-Identifier: Apache-2.0
"""An upstream that misbehaves at random (llmock): every request leaves one row, whatever became of it."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import anthropic
import httpx
import httpx2
import openai
import pytest

from program import Home, eventually
from raw_http import in_parallel

MESSAGES = [{"role": "user", "content": "Tell me a story of some length."}]
# How many requests llmock remembers.
JOURNAL = 10_000
EXPECTED = (httpx.HTTPError, httpx2.HTTPError, anthropic.AnthropicError, openai.OpenAIError, ValueError)


@contextlib.contextmanager
def llmock(*arguments: str) -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            str(Path(sys.executable).with_name("llmock")),
            *("serve", "--host", "127.0.0.1", "--port", str(port), "--log-level", "error", *arguments),
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        assert process.poll() is None, "llmock ended"
        with contextlib.suppress(OSError):
            return urllib.request.urlopen(f"{url}/health", timeout=5).status == 200
        return False

    try:
        eventually("llmock answers", answers)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


FAULTS = [
    *("--error-rate", "429=0.1", "--error-rate", "500=0.1", "--error-rate", "503=0.05"),
    *("--stream-fault", "truncate=0.1", "--stream-fault", "disconnect=0.1"),
    *("--stream-fault", "stall=0.05", "--stream-fault", "malformed=0.1", "--stream-stall-seconds", "1"),
    *("--latency-ms", "5"),
]


def ask_one(index: int, against: anthropic.Anthropic, openai_client: openai.OpenAI, model: str) -> str:
    """One request of one of four kinds; says how it ended."""
    try:
        match index % 4:
            case 0:
                against.messages.create(model=model, max_tokens=64, messages=MESSAGES)
            case 1:
                with against.messages.stream(model=model, max_tokens=64, messages=MESSAGES) as stream:
                    stream.until_done()
            case 2:
                openai_client.chat.completions.create(model=model, messages=MESSAGES)
            case _:
                for _ in openai_client.chat.completions.create(model=model, messages=MESSAGES, stream=True):
                    pass
    except EXPECTED as error:
        return type(error).__name__
    return "answered"


def chaos(home: Home, daemons: list, requests: int, model: str, record_property) -> None:
    with llmock(*FAULTS) as mock:
        home.configure(
            # Not asked for their models: what is counted is what the clients ask.
            providers={
                "anthropic": {"kind": "anthropic", "base_url": f"{mock}/anthropic", "enabled": False},
                "openai": {"kind": "openai", "base_url": f"{mock}/v1", "enabled": False},
            }
        )
        daemons.append(daemon := home.serve())
        with (
            anthropic.Anthropic(base_url=daemon.url, api_key="mock-key", max_retries=0, timeout=60) as first,
            openai.OpenAI(
                base_url=f"{daemon.url}/v1", api_key="mock-key", max_retries=0, timeout=60
            ) as second,
        ):
            ends = Counter(in_parallel(16, requests, lambda index: ask_one(index, first, second, model)))
        record_property("how the requests ended", str(dict(ends)))
        assert ends["answered"] > requests // 4, "nearly everything failed: this run shows little"
        assert ends["answered"] < requests, "nothing failed: this run shows nothing"
        served = httpx.get(f"{mock}/_llmock/requests").json()["count"]
        assert served == min(requests, JOURNAL), "the gateway asked more or less often than its clients"
        daemon.requests_of(model, requests)
        assert daemon.get("/ready")[0] == 200
        assert daemon.terminate() == 0
        assert home.report()[model]["requests"] == requests


def test_every_request_leaves_one_row_whatever_the_upstream_does_G03(
    home: Home, daemons: list, model: str, record_property
) -> None:
    chaos(home, daemons, 400, model, record_property)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_every_request_leaves_one_row_for_long_G03(
    home: Home, daemons: list, model: str, record_property
) -> None:
    chaos(home, daemons, 100_000, model, record_property)
