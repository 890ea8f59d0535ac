# SPDX-License-Identifier: Apache-2.0
"""Streams pass byte for byte, however they are cut, and their usage is read."""

from __future__ import annotations

import gzip
import json
import threading
import zlib

import pytest

from expectations import ANTHROPIC_HEADERS, assert_usage, post, post_answer
from fake_upstream import Exchange, FakeUpstream
from program import Daemon
from raw_http import Connection, ask
from wire import ALL_STREAMS, MESSAGES_REQUEST, PLAIN, UNKNOWN, Answer, Usage, message_object, streams

# One byte at a time takes the daemon seconds on the longest stream and shows nothing the others do not.
CUTS = [
    (answer, piece)
    for answer in ALL_STREAMS
    for piece in (None, 1, 7, 1000)
    if not (answer.name == "a-very-long-event" and piece in (1, 7))
]


@pytest.mark.parametrize(
    ("answer", "piece"), CUTS, ids=[f"{answer.name}-{piece or 'whole'}" for answer, piece in CUTS]
)
def test_a_stream_passes_byte_for_byte_and_its_usage_is_read_G01(
    daemon: Daemon, upstream: FakeUpstream, model: str, answer: Answer, piece: int | None
) -> None:
    scenario = upstream.scenario(streams(answer, piece))
    straight = post_answer(upstream.url, answer, model, scenario)
    through = post_answer(daemon.url, answer, model, scenario)

    assert through.status == 200
    assert through.complete
    assert through.body == straight.body == answer.body(model)
    assert through.header("content-type") == straight.header("content-type")
    assert through.header("request-id") == "req_fixed"
    assert_usage(daemon.requests_of(model), answer.usage)


def test_the_first_event_arrives_before_the_second_is_sent_G01(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    """The upstream sends its second event only after the client has read the first: a gateway that gathers
    events would wait for ever."""
    body = PLAIN.body(model)
    first, rest = body[: body.index(b"\n\n") + 2], body[body.index(b"\n\n") + 2 :]
    first_was_read = threading.Event()

    def one_by_one(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.chunk(first)
        assert first_was_read.wait(60)
        exchange.chunk(rest)
        exchange.end_chunks()

    scenario = upstream.scenario(one_by_one)
    request = json.dumps(PLAIN.request | {"model": model}).encode()
    with Connection(daemon.url) as connection:
        connection.send("POST", PLAIN.path, [*ANTHROPIC_HEADERS, *scenario.items()], request)
        status, _ = connection.read_head()
        assert status == 200
        received = b""
        while len(received) < len(first):
            received += connection.read_chunk()
        assert received == first
        first_was_read.set()
        while chunk := connection.read_chunk():
            received += chunk
    assert received == body


@pytest.mark.parametrize("piece", [None, 1, 7])
def test_a_compressed_stream_passes_untouched_and_its_usage_is_read_G04(
    daemon: Daemon, upstream: FakeUpstream, model: str, piece: int | None
) -> None:
    compressor = zlib.compressobj(wbits=31)
    body = PLAIN.body(model)
    events = body.split(b"\n\n")[:-1]
    compressed = b"".join(
        compressor.compress(event + b"\n\n") + compressor.flush(zlib.Z_SYNC_FLUSH) for event in events
    )
    compressed += compressor.flush()

    def gzipped(exchange: Exchange) -> None:
        exchange.begin_stream([("content-encoding", "gzip")])
        exchange.stream(compressed, piece)
        exchange.end_chunks()

    through = post_answer(daemon.url, PLAIN, model, upstream.scenario(gzipped))
    assert through.complete
    assert through.body == compressed
    assert through.header("content-encoding") == "gzip"
    assert gzip.decompress(through.body) == body
    assert_usage(daemon.requests_of(model), PLAIN.usage)


def test_a_compressed_answer_passes_untouched_and_its_usage_is_read_G04(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    compressed = gzip.compress(message_object(model, {"input_tokens": 12, "output_tokens": 34}), mtime=0)
    scenario = upstream.scenario(
        lambda exchange: exchange.whole(200, compressed, [("content-encoding", "gzip")])
    )
    through = post(daemon.url, "/v1/messages", MESSAGES_REQUEST | {"model": model}, scenario)
    assert through.body == compressed
    assert through.header("content-encoding") == "gzip"
    assert_usage(daemon.requests_of(model), Usage(12, 34))


def test_a_compression_it_cannot_read_passes_untouched_and_usage_is_unknown_G04(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    opaque = bytes(range(256)) * 40
    scenario = upstream.scenario(lambda exchange: exchange.whole(200, opaque, [("content-encoding", "br")]))
    through = post(daemon.url, "/v1/messages", MESSAGES_REQUEST | {"model": model}, scenario)
    assert (through.status, through.body) == (200, opaque)
    assert through.header("content-encoding") == "br"
    assert_usage(daemon.requests_of(model), UNKNOWN)


def test_broken_compression_passes_untouched_and_usage_is_unknown_G04(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    broken = gzip.compress(b"{" * 5000, mtime=0)[:20] + b"\xff" * 500
    scenario = upstream.scenario(lambda exchange: exchange.whole(200, broken, [("content-encoding", "gzip")]))
    through = post(daemon.url, "/v1/messages", MESSAGES_REQUEST | {"model": model}, scenario)
    assert (through.status, through.body) == (200, broken)
    assert_usage(daemon.requests_of(model), UNKNOWN)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"data: {not json}\n\ndata: [1,2\n\nevent: message_delta\ndata: \n\n", id="not-json"),
        pytest.param(b"\xff\xfe\x00" * 3000, id="not-text"),
        pytest.param(b"data: " + b"x" * 3_000_000, id="a-line-without-end"),
        pytest.param(b'data: {"usage":{"input_tokens":"many","output_tokens":-1}}\n\n', id="absurd-usage"),
        pytest.param(b"", id="empty"),
    ],
)
def test_a_stream_it_cannot_read_passes_untouched_and_usage_is_unknown_G03(
    daemon: Daemon, upstream: FakeUpstream, model: str, body: bytes
) -> None:
    def nonsense(exchange: Exchange) -> None:
        exchange.begin_stream()
        if body:
            exchange.stream(body, 4096)
        exchange.end_chunks()

    through = post_answer(daemon.url, PLAIN, model, upstream.scenario(nonsense))
    assert through.complete
    assert through.body == body
    assert_usage(daemon.requests_of(model), UNKNOWN)


def test_a_stream_is_known_by_its_answer_not_by_its_request_G01(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    """The request does not say stream and asks for JSON; the upstream streams all the same."""
    request = MESSAGES_REQUEST | {"model": model}
    through = post(daemon.url, "/v1/messages", request, upstream.scenario(streams(PLAIN)))
    assert through.body == PLAIN.body(model)
    assert_usage(daemon.requests_of(model), PLAIN.usage)


def test_an_answer_without_a_length_ends_with_its_connection_G01(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    """HTTP/1.0 framing, as some local servers have it."""

    def until_close(exchange: Exchange) -> None:
        exchange.head(200, [("content-type", "text/event-stream"), ("connection", "close")])
        exchange.raw(PLAIN.body(model))
        exchange.close()

    scenario = upstream.scenario(until_close)
    through = post_answer(daemon.url, PLAIN, model, scenario)
    assert through.complete
    assert through.body == PLAIN.body(model)
    assert_usage(daemon.requests_of(model), PLAIN.usage)


def test_a_path_nobody_serves_is_refused_without_asking_upstream(
    daemon: Daemon, upstream: FakeUpstream
) -> None:
    before = len(upstream.requests)
    assert ask(daemon.url, "POST", "/nobody/v1/messages", body=b"{}").status == 404
    assert len(upstream.requests) == before
