# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a fake upstream and a daemon in front of it, shared by a module's tests; homes of one's own."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest

from fake_upstream import FakeUpstream
from program import PROGRAM, Daemon, Home
from wire import ordinary

# Everything here is on loopback, whatever proxy the machine has for the rest.
os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"


def pytest_sessionstart() -> None:
    if not PROGRAM.exists():
        pytest.exit(
            f"{PROGRAM} does not exist; build it with `swift build`, or set HOLDFAST_BIN", returncode=4
        )


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    fake = FakeUpstream(ordinary)
    yield fake
    fake.close()
    assert fake.failures == []


def providers(upstream: FakeUpstream) -> dict:
    return {
        "anthropic": {"kind": "anthropic", "base_url": upstream.url},
        "openai": {"kind": "openai", "base_url": f"{upstream.url}/v1"},
        "named": {"kind": "openai", "base_url": f"{upstream.url}/v1"},
    }


@pytest.fixture(scope="module")
def module_home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("user"))


@pytest.fixture(scope="module")
def daemon(module_home: Home, upstream: FakeUpstream) -> Iterator[Daemon]:
    """One daemon for all tests of a module, each of which uses model names of its own."""
    module_home.configure(providers=providers(upstream))
    running = module_home.serve()
    yield running
    assert running.process.poll() is None, f"the daemon ended during the tests: {running.errors[-20:]}"
    assert running.stop() == 0


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A fresh home for a test that starts, stops or kills daemons itself."""
    return Home(tmp_path / "user")


@pytest.fixture
def daemons() -> Iterator[list[Daemon]]:
    """Daemons put here are ended with the test, whatever becomes of it."""
    started: list[Daemon] = []
    yield started
    for running in started:
        running.kill()


_models = itertools.count(1)


@pytest.fixture
def model() -> str:
    """A model name no other test uses, so that a report by model shows this test's rows alone."""
    return f"fake-model-{next(_models)}"


@pytest.fixture
def anthropic_client(daemon: Daemon) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=daemon.url, api_key="sk-client", max_retries=0) as client:
        yield client


@pytest.fixture
def openai_client(daemon: Daemon) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="sk-client", max_retries=0) as client:
        yield client
