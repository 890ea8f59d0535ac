# SPDX-License-Identifier: Apache-2.0
"""Streams that end before their end, from either side."""

from __future__ import annotations

import json
import threading

import anthropic
import httpx
import httpx2
import openai
import pytest

from expectations import ANTHROPIC_HEADERS, post, post_answer
from fake_upstream import Exchange, FakeUpstream
from program import Daemon, eventually
from raw_http import Connection
from wire import CHAT_WITH_USAGE, MESSAGES_REQUEST, PLAIN, message_object

ENDINGS = {
    "closes": Exchange.close,
    "resets": Exchange.reset,
}


def first_half(body: bytes) -> bytes:
    """Up to an event's end, so that a client's parser is content with what it has."""
    return body[: body.index(b"\n\n", len(body) // 2) + 2]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("answer", [PLAIN, CHAT_WITH_USAGE], ids=["anthropic", "openai"])
def test_an_upstream_that_dies_mid_stream_is_no_clean_end_for_the_client_G03(
    daemon: Daemon, upstream: FakeUpstream, model: str, answer, ending: str
) -> None:
    half = first_half(answer.body(model))

    def dies(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.stream(half)
        ENDINGS[ending](exchange)

    through = post_answer(daemon.url, answer, model, upstream.scenario(dies))
    assert through.status == 200
    assert not through.complete, "the client was told that the stream had ended well"
    # A reset may overtake what was sent before it, already on the upstream's side.
    assert half.startswith(through.body)
    if ending == "closes":
        assert through.body == half
    assert daemon.requests_of(model)["incomplete"] == 1
    assert [row["outcome"] for row in daemon.home.rows(model)] == ["upstream_died"]


def test_an_upstream_that_dies_inside_a_chunk_is_no_clean_end_G03(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    def dies(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.raw(b"1000\r\n" + first_half(PLAIN.body(model)))
        exchange.close()

    assert not post_answer(daemon.url, PLAIN, model, upstream.scenario(dies)).complete
    daemon.requests_of(model)


def test_an_answer_shorter_than_its_length_is_no_clean_end_G03(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    body = message_object(model, {"input_tokens": 1, "output_tokens": 1})

    def cut(exchange: Exchange) -> None:
        exchange.head(200, [("content-type", "application/json"), ("content-length", str(len(body)))])
        exchange.raw(body[:-10])
        exchange.close()

    answer = post(daemon.url, "/v1/messages", MESSAGES_REQUEST | {"model": model}, upstream.scenario(cut))
    assert not answer.complete
    daemon.requests_of(model)


def test_the_sdks_see_an_error_when_the_upstream_dies_G03(
    daemon: Daemon,
    upstream: FakeUpstream,
    model: str,
    anthropic_client: anthropic.Anthropic,
    openai_client: openai.OpenAI,
) -> None:
    def dies_with(answer):
        def dies(exchange: Exchange) -> None:
            exchange.begin_stream()
            exchange.stream(first_half(answer.body(model)))
            exchange.close()

        return upstream.scenario(dies)

    messages = [{"role": "user", "content": "Say hello."}]
    broken = (httpx.HTTPError, httpx2.HTTPError, anthropic.APIConnectionError, openai.APIConnectionError)
    with (
        pytest.raises(broken),
        anthropic_client.messages.stream(
            model=model, max_tokens=64, messages=messages, extra_headers=dies_with(PLAIN)
        ) as stream,
    ):
        stream.get_final_message()
    with pytest.raises(broken):
        list(
            openai_client.chat.completions.create(
                model=model, messages=messages, stream=True, extra_headers=dies_with(CHAT_WITH_USAGE)
            )
        )
    daemon.requests_of(model, 2)


@pytest.mark.parametrize("leave", ["closes", "resets"])
def test_a_client_that_leaves_mid_stream_cancels_upstream_and_is_recorded_G02(
    daemon: Daemon, upstream: FakeUpstream, model: str, leave: str
) -> None:
    half = first_half(PLAIN.body(model))
    cancelled = threading.Event()

    def waits(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.stream(half)
        if exchange.peer_left(60):
            cancelled.set()

    scenario = upstream.scenario(waits)
    request = json.dumps(PLAIN.request | {"model": model}).encode()
    connection = Connection(daemon.url)
    connection.send("POST", PLAIN.path, [*ANTHROPIC_HEADERS, *scenario.items()], request)
    assert connection.read_head()[0] == 200
    assert connection.read_chunk()
    connection.close() if leave == "closes" else connection.reset()

    assert cancelled.wait(60), "the upstream was left streaming to nobody"
    line = daemon.requests_of(model)
    # What message_start said is known; what was to come is not.
    assert line["input_tokens"] == 25
    assert line["incomplete"] == 1
    assert [row["outcome"] for row in daemon.home.rows(model)] == ["client_left"]


def test_a_client_that_leaves_before_the_answer_cancels_upstream_and_is_recorded_G02(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    asked, cancelled = threading.Event(), threading.Event()

    def thinks(exchange: Exchange) -> None:
        asked.set()
        if exchange.peer_left(60):
            cancelled.set()

    scenario = upstream.scenario(thinks)
    request = json.dumps(PLAIN.request | {"model": model}).encode()
    with Connection(daemon.url) as connection:
        connection.send("POST", PLAIN.path, [*ANTHROPIC_HEADERS, *scenario.items()], request)
        assert asked.wait(60)
    assert cancelled.wait(60)
    line = daemon.requests_of(model)
    assert line["unknown"] == 1
    assert [(row["outcome"], row["input_tokens"]) for row in daemon.home.rows(model)] == [
        ("client_left", None)
    ]


def test_a_client_that_leaves_inside_its_own_request_harms_nobody_G02(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    with Connection(daemon.url) as connection:
        head = f"POST /v1/messages HTTP/1.1\r\nHost: {connection.authority}\r\nContent-Length: 1000\r\n\r\n"
        connection.socket.sendall(head.encode() + b'{"model":')
    assert post(daemon.url, "/v1/messages", MESSAGES_REQUEST | {"model": model}).status == 200
    daemon.requests_of(model)


def test_a_slow_client_slows_its_upstream_and_nobody_else_G01(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    """An endless stream to a client that reads nothing: the gateway stops reading the upstream, whose send
    then blocks; other requests go on."""
    blocked, sent = threading.Event(), [0]

    def endless(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.connection.settimeout(2)
        block = b"x" * 65_536
        try:
            while sent[0] < 512 << 20:
                exchange.chunk(block)
                sent[0] += len(block)
        except TimeoutError:
            blocked.set()
        exchange.reset()

    scenario = upstream.scenario(endless)
    request = json.dumps(PLAIN.request | {"model": f"{model}-slow"}).encode()
    with Connection(daemon.url) as slow:
        slow.send("POST", PLAIN.path, [*ANTHROPIC_HEADERS, *scenario.items()], request)
        eventually("the upstream is held up", blocked.is_set)
        assert sent[0] < 64 << 20, f"{sent[0]} bytes were taken for a client that reads nothing"
        assert post(daemon.url, "/v1/messages", MESSAGES_REQUEST | {"model": model}).status == 200
    daemon.requests_of(model)
    daemon.requests_of(f"{model}-slow")
