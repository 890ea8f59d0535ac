# SPDX-License-Identifier: Apache-2.0
"""Starting, stopping and killing the daemon."""

from __future__ import annotations

import json
import socket
import threading
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from conftest import providers
from expectations import ANTHROPIC_HEADERS, assert_usage, post
from fake_upstream import Exchange, FakeUpstream
from foreign import integrity
from program import Daemon, Home, eventually
from raw_http import Connection, in_parallel
from wire import MESSAGES_REQUEST, PLAIN, streams


def test_a_second_daemon_names_the_first_and_leaves_B14(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, model: str
) -> None:
    home.configure(providers=providers(upstream))
    daemons.append(first := home.serve())
    daemons.append(second := Daemon(home))
    assert second.wait() == 75
    said = "\n".join(second.errors)
    assert str(first.pid) in said, said
    assert second.output == []
    assert post(first.url, "/v1/messages", MESSAGES_REQUEST | {"model": model}).status == 200
    first.requests_of(model)


def test_of_eight_daemons_at_once_exactly_one_serves_B14(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream
) -> None:
    home.configure(providers=providers(upstream))
    daemons.extend(Daemon(home) for _ in range(8))
    eventually(
        "seven have left and one listens",
        lambda: (
            sum(daemon.process.poll() is not None for daemon in daemons) == 7
            and any(daemon.url for daemon in daemons)
        ),
    )
    (serving,) = (daemon for daemon in daemons if daemon.process.poll() is None)
    for daemon in daemons:
        if daemon is not serving:
            assert daemon.wait() == 75, daemon.errors
            assert str(serving.pid) in "\n".join(daemon.errors)
    assert serving.get("/health")[0] == 200


def test_a_killed_daemon_leaves_nothing_that_stops_the_next_B14(home: Home, daemons: list[Daemon]) -> None:
    for _ in range(3):
        daemons.append(daemon := home.serve())
        daemon.kill()


def test_sigterm_finishes_streams_refuses_new_ones_and_exits_0_G08(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, model: str
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    body = PLAIN.body(model)

    def in_two_halves(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.stream(body[: len(body) // 2])
        begun.set()
        assert go_on.wait(60)
        exchange.stream(body[len(body) // 2 :])
        exchange.end_chunks()

    scenario = upstream.scenario(in_two_halves)
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    address = urlsplit(daemon.url)
    with Connection(daemon.url) as connection:
        request = json.dumps(PLAIN.request | {"model": model}).encode()
        connection.send("POST", PLAIN.path, [*ANTHROPIC_HEADERS, *scenario.items()], request)
        assert begun.wait(60)
        daemon.process.terminate()

        def refuses() -> bool:
            try:
                socket.create_connection((address.hostname, address.port), timeout=5).close()
            except ConnectionRefusedError:
                return True
            return False

        eventually("new connections are refused", refuses)
        assert daemon.process.poll() is None, "it left with a stream running"
        go_on.set()
        answer = connection.read()
    assert (answer.complete, answer.body) == (True, body)
    assert daemon.wait() == 0
    assert_usage(home.report()[model], PLAIN.usage)


def test_sigterm_leaves_every_row_in_the_database_G08(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, model: str
) -> None:
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    scenario = upstream.scenario(streams(PLAIN))
    request = PLAIN.request | {"model": model}
    in_parallel(8, 200, lambda _: post(daemon.url, PLAIN.path, request, scenario))
    assert daemon.terminate() == 0
    assert_usage(home.report()[model], PLAIN.usage, 200)


def test_sigkill_loses_no_accepted_row_G08(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, model: str
) -> None:
    home.configure(providers=providers(upstream))
    scenario = upstream.scenario(streams(PLAIN))
    request = PLAIN.request | {"model": model}
    for _ in range(5):
        daemons.append(daemon := home.serve())
        url = daemon.url
        in_parallel(8, 100, lambda _, url=url: post(url, PLAIN.path, request, scenario))
        daemon.kill()
    daemons.append(daemon := home.serve())
    assert_usage(daemon.requests_of(model, 500), PLAIN.usage, 500)
    assert integrity(home.usage_db) == "ok"


def test_a_kill_right_after_an_answer_loses_no_row_G08(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, model: str
) -> None:
    """What the client has in whole is recorded: killed at once after each single answer, none is missing."""
    home.configure(providers=providers(upstream))
    scenario = upstream.scenario(streams(PLAIN))
    request = PLAIN.request | {"model": model}
    for _ in range(10):
        daemons.append(daemon := home.serve())
        assert post(daemon.url, PLAIN.path, request, scenario).complete
        daemon.process.kill()
        daemon.wait()
    daemons.append(daemon := home.serve())
    daemon.requests_of(model, 10)


def test_a_daemon_without_a_database_address_in_use_says_so(home: Home, daemons: list[Daemon]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        daemons.append(daemon := Daemon(home, ("--port", port)))
        assert daemon.wait() in (69, 75)
        assert port in "\n".join(daemon.errors)


def test_another_address_than_loopback_needs_a_token_G06(home: Home, daemons: list[Daemon]) -> None:
    daemons.append(daemon := Daemon(home, ("--host", "0.0.0.0")))
    assert daemon.wait() == 78
    assert "token" in "\n".join(daemon.errors)


def test_a_broken_configuration_is_named(home: Home, daemons: list[Daemon]) -> None:
    home.configure()
    (home.path / "config.yaml").write_text("providers:\n  anthropic: { kind: anthropic, base_url: \n")
    daemons.append(daemon := Daemon(home))
    assert daemon.wait() == 78
    assert "config.yaml" in "\n".join(daemon.errors)


@pytest.mark.parametrize(
    "providers",
    [
        pytest.param({"muddled": {"kind": "telepathy", "base_url": "http://127.0.0.1:1"}}, id="unknown kind"),
        pytest.param({"muddled": {"kind": "openai", "base_url": "ftp://127.0.0.1"}}, id="not http"),
        pytest.param({"muddled": {"kind": "openai"}}, id="no address"),
        pytest.param({"api": {"kind": "openai", "base_url": "http://127.0.0.1:1"}}, id="a path of ours"),
        pytest.param({"a/../b": {"kind": "openai", "base_url": "http://127.0.0.1:1"}}, id="not a name"),
    ],
)
def test_a_provider_that_cannot_be_is_refused_at_start(
    home: Home, daemons: list[Daemon], providers: dict
) -> None:
    home.configure(providers=providers)
    daemons.append(daemon := Daemon(home))
    assert daemon.wait() == 78
    assert next(iter(providers)) in "\n".join(daemon.errors)


def test_a_home_that_cannot_be_made_is_named(home: Home, tmp_path: Path) -> None:
    (tmp_path / "a-file").write_text("")
    home.path = tmp_path / "a-file" / "home"
    done = home.run("serve", "--port", "0", check=False)
    assert done.returncode == 73
    assert "a-file" in done.stderr


def test_the_home_is_private_whatever_the_umask(home: Home, daemons: list[Daemon], model: str) -> None:
    daemons.append(daemon := home.serve())
    daemon.terminate()
    for path in [home.path, *home.path.rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path
