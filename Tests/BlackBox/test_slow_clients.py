# SPDX-License-Identifier: Apache-2.0
"""Clients that are many, large, or do not read: what they cost is bounded, and the others do not notice."""

from __future__ import annotations

import contextlib
import json
import resource
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from conftest import providers
from expectations import ANTHROPIC_HEADERS, OPENAI_HEADERS, post
from fake_upstream import Exchange, FakeUpstream
from program import Daemon, Home, eventually
from raw_http import Connection, Response, ask
from wire import MESSAGES_REQUEST, PLAIN

IDLE = 10_000
# What an idle connection may cost the daemon at most, its buffers and its task included.
IDLE_BYTES = 40 * 1024


def resident(daemon: Daemon) -> int:
    """The daemon's resident memory in bytes."""
    status = Path(f"/proc/{daemon.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:"))


def descriptors(daemon: Daemon) -> int:
    return len(list(Path(f"/proc/{daemon.pid}/fd").iterdir()))


def asked(upstream: FakeUpstream) -> int:
    """How many requests of clients have arrived; the daemon itself asks for lists of models."""
    return len([request for request in upstream.requests if request.method == "POST"])


@contextlib.contextmanager
def connected(daemon: Daemon, count: int) -> Iterator[list[socket.socket]]:
    """So many connections on which nothing is said."""
    place = urlsplit(daemon.url)
    opened: list[socket.socket] = []
    try:
        for _ in range(count):
            opened.append(socket.create_connection((place.hostname, place.port), timeout=60))
        yield opened
    finally:
        for connection in opened:
            connection.close()


@pytest.fixture
def many_files() -> Iterator[int]:
    """This process's limit of open files, raised for the test as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_idle_connections_cost_little_and_leave_nothing_G07(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, many_files: int, record_property
) -> None:
    needed = (IDLE + 64) * 4 // 3 + 256
    if many_files != resource.RLIM_INFINITY and many_files < needed:
        pytest.skip(f"{IDLE} connections need a limit of {needed} open files; this machine's is {many_files}")
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    for _ in range(20):
        post(daemon.url, PLAIN.path, PLAIN.request | {"model": "before"})
    daemon.json("/api/status")
    daemon.requests_of("before", 20)
    memory, files = resident(daemon), descriptors(daemon)
    with connected(daemon, IDLE) as idle:
        for _ in range(20):
            answer = post(daemon.url, PLAIN.path, PLAIN.request | {"model": "meanwhile"})
            assert answer.status == 200
            assert answer.complete
        assert daemon.json("/api/status")["health"] == "ok"
        assert descriptors(daemon) >= IDLE
        cost = resident(daemon) - memory
        record_property("an idle connection costs", f"{cost / IDLE / 1024:.1f} KiB")
        assert cost < IDLE * IDLE_BYTES
        # None of them was closed for want of a word: each can still be used.
        for connection in (idle[0], idle[IDLE // 2], idle[-1]):
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(64).startswith(b"HTTP/1.1 200 ")
    # The stores may keep some readers more than before.
    eventually("the descriptors are given back", lambda: descriptors(daemon) <= files + 32)
    daemon.requests_of("meanwhile", 20)


@pytest.mark.parametrize(
    ("path", "headers", "error"),
    [
        ("/v1/messages", ANTHROPIC_HEADERS, lambda body: body["error"]["type"] == "overloaded_error"),
        ("/v1/chat/completions", OPENAI_HEADERS, lambda body: body["error"]["type"] == "server_error"),
        ("/api/status", [], lambda body: body["error"]["type"] == "server_error"),
    ],
)
def test_connections_above_the_bound_are_told_so_G07(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, path: str, headers: list, error
) -> None:
    home.configure(providers=providers(upstream), server={"max_connections": 20})
    daemons.append(daemon := home.serve())
    before = asked(upstream)
    method = "GET" if path.startswith("/api") else "POST"
    body = b"" if method == "GET" else json.dumps(MESSAGES_REQUEST).encode()
    with connected(daemon, 20):
        answer = ask(daemon.url, method, path, headers, body)
        assert answer.status == 503
        assert answer.header("retry-after") == "1"
        assert error(json.loads(answer.body))
        assert json.loads(answer.body)["error"]["code"] == "too_many_connections"
        assert asked(upstream) == before
    eventually("there is room again", lambda: ask(daemon.url, "GET", "/health").status == 200)


class CrampedHome(Home):
    """A home whose programs may open few files."""

    def command(self, *arguments: str) -> list[str]:
        return ["sh", "-c", 'ulimit -n 256 && exec "$0" "$@"', *super().command(*arguments)]


def test_more_connections_than_descriptors_are_refused_and_not_left_waiting_G07(
    tmp_path: Path, daemons: list[Daemon], upstream: FakeUpstream
) -> None:
    """Once descriptors run out a server can neither accept nor refuse, and its stores cannot open a file."""
    home = CrampedHome(tmp_path / "user")
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    with connected(daemon, 1) as first, connected(daemon, 400):
        # Whoever is in is served and recorded, and new ones are answered or closed.
        first[0].sendall(
            b"POST /v1/messages HTTP/1.1\r\nHost: localhost\r\nx-api-key: k\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body := json.dumps(MESSAGES_REQUEST | {"model": "inside"}).encode()), body)
        )
        assert first[0].recv(64).startswith(b"HTTP/1.1 200 ")
        with contextlib.suppress(ConnectionError):
            assert ask(daemon.url, "GET", "/health").status == 503
        assert descriptors(daemon) < 250
    eventually("there is room again", lambda: served(daemon))
    daemon.requests_of("inside")


def served(daemon: Daemon) -> bool:
    with contextlib.suppress(ConnectionError):
        return ask(daemon.url, "GET", "/health").status == 200
    return False


def refused(daemon: Daemon, head: bytes) -> Response:
    """The answer to bytes that are no whole request."""
    with Connection(daemon.url) as connection:
        connection.socket.sendall(head)
        return connection.read()


@pytest.mark.parametrize(
    ("path", "field", "shape"),
    [(b"/v1/messages", b"x-api-key: k", "error"), (b"/v1/x", b"authorization: Bearer k", None)],
)
def test_headers_and_bodies_beyond_their_bounds_are_refused_in_the_clients_shape_G07(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, path: bytes, field: bytes, shape: str | None
) -> None:
    home.configure(providers=providers(upstream), server={"max_request_bytes": 1000})
    daemons.append(daemon := home.serve())
    before = asked(upstream)
    start = b"POST " + path + b" HTTP/1.1\r\nHost: localhost\r\n" + field + b"\r\n"
    for rest, status in [
        (b"x-long: " + b"x" * 140_000, 431),
        (b"".join(b"x-%d: y\r\n" % index for index in range(400)) + b"\r\n", 431),
        (b"content-length: 1001\r\n\r\n", 413),
        (b"content-length: 999999999999999999\r\n\r\n", 413),
    ]:
        answer = refused(daemon, start + rest)
        assert answer.status == status
        assert answer.complete
        assert answer.header("connection") == "close"
        said = json.loads(answer.body)
        assert said.get("type") == shape
        assert said["error"]["message"].startswith("Holdfast")
    assert asked(upstream) == before
    chunk = b"%x\r\n%b\r\n" % (600, b"x" * 600)
    answer = refused(daemon, start + b"transfer-encoding: chunked\r\n\r\n" + chunk + chunk)
    assert answer.status == 413
    assert json.loads(answer.body).get("type") == shape


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET /api/status HTTP/1.1\r\nHost: localhost\r\nx: " + b"x" * 100_000 + b"\r\n\r\n", 431),
        (b"POST /api/status HTTP/1.1\r\nHost: localhost\r\ncontent-length: 2000000\r\n\r\n", 413),
    ],
)
def test_the_api_has_its_bounds_too_G07(daemon: Daemon, request_bytes: bytes, status: int) -> None:
    assert refused(daemon, request_bytes).status == status
    assert daemon.get("/health")[0] == 200


def fill(connection: socket.socket, data: bytes) -> int:
    """Sends until the peer takes no more; returns how much it took."""
    connection.settimeout(1)
    sent = 0
    with contextlib.suppress(TimeoutError, ConnectionError):
        while sent < 64 << 20:
            sent += connection.send(data)
    return sent


@pytest.mark.parametrize("path", ["/", "/v1/models"])
def test_clients_that_ask_on_and_on_and_read_nothing_are_not_read_either_G07(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, path: str
) -> None:
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nauthorization: Bearer k\r\n\r\n".encode()
    assert ask(daemon.url, "GET", path).status == 200
    memory = resident(daemon)
    with connected(daemon, 4) as clients:
        for client in clients:
            assert fill(client, request * 100) < 64 << 20, "it read on although nothing it wrote was read"
        assert resident(daemon) - memory < 128 << 20
        assert daemon.get("/health")[0] == 200


def test_answers_that_are_not_read_stay_with_the_upstream_G07(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream
) -> None:
    """Streams of 32 MB each to clients that do not read: what is not taken is not read of the upstream."""
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    piece = b'event: ping\ndata: {"type":"ping"}\n\n' * 1000
    written: list[int] = []

    def floods(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.connection.settimeout(2)
        total = 0
        with contextlib.suppress(OSError):
            while total < 32 << 20:
                exchange.chunk(piece)
                total += len(piece)
        written.append(total)
        exchange.close()

    scenario = upstream.scenario(floods)
    memory = resident(daemon)
    body = json.dumps(MESSAGES_REQUEST | {"model": "flood", "stream": True}).encode()
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(Connection(daemon.url))
            client.send("POST", "/v1/messages", [*ANTHROPIC_HEADERS, *scenario.items()], body)
        eventually("the upstream gave up on each", lambda: len(written) == 10)
        assert resident(daemon) - memory < 128 << 20
        assert max(written) < 32 << 20
        assert daemon.get("/health")[0] == 200
