# SPDX-License-Identifier: Apache-2.0
"""An upstream under full control: it keeps the exact bytes of every request and lets a test write the exact
bytes of every answer, down to how they are cut and how the connection ends.

A test chooses the answer with the request header `x-scenario`; the gateway forwards it as it forwards every
header it does not know. Without that header the answer is a plain one for the path.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

SCENARIO_HEADER = "x-scenario"


@dataclass
class Request:
    """One request as it came off the wire."""

    head: bytes
    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        values = self.all(name)
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def path(self) -> str:
        return self.target.split("?", 1)[0]

    def json(self) -> dict:
        return json.loads(self.body)


class Exchange:
    """A request and the connection its answer goes to."""

    def __init__(self, request: Request, connection: socket.socket) -> None:
        self.request = request
        self.connection = connection
        self.reusable = True

    def raw(self, data: bytes) -> None:
        self.connection.sendall(data)

    def head(self, status: int, headers: Iterable[tuple[str, str]], reason: str = "Whatever") -> None:
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers)]
        self.raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")

    def chunk(self, data: bytes) -> None:
        self.raw(b"%x\r\n%b\r\n" % (len(data), data))

    def end_chunks(self) -> None:
        self.raw(b"0\r\n\r\n")

    def whole(
        self,
        status: int,
        body: bytes,
        headers: Iterable[tuple[str, str]] = (),
        content_type: str = "application/json",
    ) -> None:
        self.head(
            status,
            [
                ("content-type", content_type),
                ("request-id", "req_fixed"),
                *headers,
                ("content-length", str(len(body))),
            ],
        )
        self.raw(body)

    def begin_stream(self, headers: Iterable[tuple[str, str]] = ()) -> None:
        self.head(
            200,
            [
                ("content-type", "text/event-stream; charset=utf-8"),
                ("cache-control", "no-cache"),
                ("request-id", "req_fixed"),
                *headers,
                ("transfer-encoding", "chunked"),
            ],
            reason="OK",
        )

    def stream(self, body: bytes, piece: int | None = None) -> None:
        """Sends `body` as HTTP chunks of `piece` bytes. A chunk is a body part of its own to any HTTP parser,
        so the cut survives whatever TCP makes of it."""
        if piece is None:
            self.chunk(body)
            return
        frames = [body[start : start + piece] for start in range(0, len(body), piece)]
        self.raw(b"".join(b"%x\r\n%b\r\n" % (len(frame), frame) for frame in frames))

    def close(self) -> None:
        """An ordinary close (FIN), wherever the answer stands."""
        self.reusable = False
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()

    def reset(self) -> None:
        """A close that the peer sees as a reset (RST)."""
        self.reusable = False
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()

    def peer_left(self, within: float) -> bool:
        """Whether the peer closed its side within so many seconds."""
        self.reusable = False
        deadline = time.monotonic() + within
        while (left := deadline - time.monotonic()) > 0:
            readable, _, _ = select.select([self.connection], [], [], left)
            if not readable:
                return False
            try:
                if self.connection.recv(4096) == b"":
                    return True
            except OSError:
                return True
        return False


Scenario = Callable[[Exchange], None]


@dataclass
class FakeUpstream:
    """Listens on a port the system picks, one thread a connection."""

    default: Scenario
    requests: list[Request] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._scenarios: dict[str, Scenario] = {}
        self._names = itertools.count()
        self._connections: set[socket.socket] = set()
        self._closed = False
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def scenario(self, scenario: Scenario) -> dict[str, str]:
        """Registers an answer and returns the header that asks for it."""
        with self._lock:
            name = f"{getattr(scenario, '__name__', 'scenario').strip('<>')}-{next(self._names)}"
            self._scenarios[name] = scenario
        return {SCENARIO_HEADER: name}

    def asked(self, scenario_header: dict[str, str]) -> list[Request]:
        """The requests that asked for this scenario."""
        name = scenario_header[SCENARIO_HEADER]
        with self._lock:
            return [request for request in self.requests if request.header(SCENARIO_HEADER) == name]

    def close(self) -> None:
        self._closed = True
        # Closing alone would leave the acceptor waiting.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._connections)
        for connection in connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self._acceptor.join(timeout=5)

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._connections.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        try:
            while (request := read_request(stream, connection)) is not None:
                with self._lock:
                    self.requests.append(request)
                    chosen = self._scenarios.get(request.header(SCENARIO_HEADER) or "", self.default)
                exchange = Exchange(request, connection)
                chosen(exchange)
                if not exchange.reusable:
                    break
        except OSError:
            pass  # the other side went away; tests that care look at that themselves
        except BaseException as error:
            with self._lock:
                self.failures.append(error)
        finally:
            stream.close()
            with self._lock:
                self._connections.discard(connection)
            connection.close()


def read_request(stream, connection: socket.socket) -> Request | None:
    """Reads one request without trailers; None when the connection ended before a whole one came."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        line = stream.readline(1 << 20)
        if not line:
            return None
        head += line
    first, *rest = head.decode("latin-1").split("\r\n")[:-2]
    method, target, _ = first.split(" ", 2)
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in rest)]
    request = Request(head, method, target, headers, b"")
    if (request.header("expect") or "").lower() == "100-continue":
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
    if "chunked" in (request.header("transfer-encoding") or "").lower():
        parts = []
        while size_line := stream.readline():
            size = int(size_line.split(b";")[0], 16)
            parts.append(stream.read(size))
            if stream.readline() != b"\r\n":
                return None
            if size == 0:
                break
        else:
            return None
        request.body = b"".join(parts)
    else:
        length = int(request.header("content-length") or 0)
        request.body = stream.read(length)
        if len(request.body) < length:
            return None
    return request
