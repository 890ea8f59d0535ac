# SPDX-License-Identifier: Apache-2.0
"""An HTTP/1.1 client that hides nothing: it sends the bytes it is given and keeps the bytes it gets."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

TIMEOUT = 60.0


@dataclass
class Response:
    status: int
    headers: list[tuple[str, str]]
    body: bytes
    complete: bool
    """Whether the answer ended where its own framing says it ends."""

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class Connection:
    """One connection; requests on it are made one after the other."""

    def __init__(self, base_url: str, timeout: float = TIMEOUT) -> None:
        parts = urlsplit(base_url)
        self.authority = parts.netloc
        self.socket = socket.create_connection((parts.hostname, parts.port), timeout=timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.stream.close()
        self.socket.close()

    def reset(self) -> None:
        """Leaves as a killed client does: with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def send(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        host: str | None = None,
    ) -> None:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host or self.authority}"]
        lines += [f"{name}: {value}" for name, value in headers]
        if body or method in ("POST", "PUT"):
            lines.append(f"Content-Length: {len(body)}")
        self.socket.sendall("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body)

    def read_head(self) -> tuple[int, list[tuple[str, str]]]:
        status_line = self.stream.readline()
        if not status_line:
            raise ConnectionError("the server closed the connection without an answer")
        headers = []
        while (line := self.stream.readline()) not in (b"\r\n", b""):
            name, _, value = line.decode("latin-1").partition(":")
            headers.append((name, value.strip()))
        return int(status_line.split()[1]), headers

    def read_chunk(self) -> bytes:
        """The next chunk of a chunked body; empty for the last."""
        size = int(self.stream.readline().split(b";")[0], 16)
        data = self.stream.read(size)
        if len(data) < size:
            raise ConnectionError("the connection ended inside a chunk")
        self.stream.readline()
        return data

    def read(self, method: str = "POST") -> Response:
        status, headers = self.read_head()
        response = Response(status, headers, b"", False)
        if method == "HEAD" or status in (204, 304):
            response.complete = True
            return response
        if "chunked" in (response.header("transfer-encoding") or "").lower():
            # A server that aborts shows as a missing last chunk (ValueError: an empty size line) or a reset.
            with contextlib.suppress(ValueError, OSError):
                while chunk := self.read_chunk():
                    response.body += chunk
                response.complete = True
        elif (length := response.header("content-length")) is not None:
            with contextlib.suppress(OSError):
                while len(response.body) < int(length) and (data := self.stream.read1(1 << 16)):
                    response.body += data
            response.complete = len(response.body) == int(length)
        else:
            with contextlib.suppress(OSError):
                response.body = self.stream.read()
                response.complete = True
        return response

    def ask(
        self,
        method: str,
        target: str,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        host: str | None = None,
    ) -> Response:
        self.send(method, target, headers, body, host)
        return self.read(method)


def ask(
    base_url: str,
    method: str,
    target: str,
    headers: Iterable[tuple[str, str]] = (),
    body: bytes = b"",
    host: str | None = None,
) -> Response:
    """One request on a connection of its own."""
    with Connection(base_url) as connection:
        return connection.ask(method, target, headers, body, host)


def in_parallel(workers: int, jobs: int, job) -> list:
    """Runs `job(index)` for every index in so many threads; returns the results by index, re-raises the first
    error."""
    results: list = [None] * jobs
    errors: list[BaseException] = []
    indexes = iter(range(jobs))
    lock = threading.Lock()

    def work() -> None:
        while True:
            with lock:
                index = next(indexes, None)
            if index is None or errors:
                return
            try:
                results[index] = job(index)
            except BaseException as error:
                errors.append(error)
                return

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results
