# SPDX-License-Identifier: Apache-2.0
"""A load of many requests a second with an upstream of its own, light enough to leave the processor to what
is tested: one process for the upstream, one event loop for the clients. As a program it is the upstream."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# What a request is, by its number modulo the length: how it is answered, and what becomes of it.
KINDS = [
    *["stream"] * 9,
    *["body"] * 5,
    *["chat"] * 2,
    "limited",
    "failing",
    "leaving",
    "dying",
]


def kind_of(number: int) -> str:
    return KINDS[number % len(KINDS)]


# --- the upstream


def event(name: str | None, data: dict | str) -> bytes:
    text = data if isinstance(data, str) else json.dumps(data)
    return ((f"event: {name}\n" if name else "") + f"data: {text}\n\n").encode()


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def message_events(number: int) -> list[bytes]:
    usage = {"input_tokens": 100, "cache_read_input_tokens": 1000, "output_tokens": 1}
    message = {"id": f"msg_{number}", "type": "message", "model": "claude-opus-4-8", "usage": usage}
    delta = {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "word "}}
    return [
        event("message_start", {"type": "message_start", "message": message}),
        *[event("content_block_delta", delta) for _ in range(6)],
        event(
            "message_delta",
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 7}},
        ),
        event("message_stop", {"type": "message_stop"}),
    ]


def whole(number: int, status: str, body: dict) -> bytes:
    data = json.dumps(body).encode()
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nrequest-id: req_{number}\r\n"
        f"Content-Length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


def streamed(number: int) -> bytes:
    return (
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
        f"request-id: req_{number}\r\n\r\n"
    ).encode()


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            fields = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
            await reader.readexactly(int(fields.get("content-length", 0)))
            number = int(fields["x-soak-number"])
            match kind_of(number):
                case "stream":
                    writer.write(streamed(number))
                    for piece in message_events(number):
                        writer.write(chunk(piece))
                        await asyncio.sleep(0)
                    writer.write(b"0\r\n\r\n")
                case "body":
                    usage = {"prompt_tokens": 50, "completion_tokens": 5, "total_tokens": 55}
                    answered = {"id": f"chatcmpl_{number}", "model": "gpt-5", "choices": [], "usage": usage}
                    writer.write(whole(number, "200 OK", answered))
                case "chat":
                    part = {
                        "id": f"chatcmpl_{number}",
                        "model": "gpt-5",
                        "choices": [{"delta": {"content": "a"}}],
                    }
                    writer.write(streamed(number))
                    for piece in (event(None, part), event(None, part), event(None, "[DONE]")):
                        writer.write(chunk(piece))
                    writer.write(b"0\r\n\r\n")
                case "limited":
                    error = {"type": "error", "error": {"type": "rate_limit_error", "message": "slow down"}}
                    writer.write(whole(number, "429 Too Many Requests", error))
                case "failing":
                    error = {"type": "error", "error": {"type": "api_error", "message": "oh"}}
                    writer.write(whole(number, "500 Internal Server Error", error))
                case "leaving":
                    # Until the client has left and the gateway has cancelled.
                    writer.write(streamed(number) + chunk(message_events(number)[0]))
                    await reader.read(1)
                    return
                case _:
                    writer.write(streamed(number) + b"".join(map(chunk, message_events(number)[:3])))
                    await writer.drain()
                    return
            await writer.drain()
    writer.close()


async def serve_upstream() -> None:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        finally:
            writer.close()

    server = await asyncio.start_server(guarded, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextlib.contextmanager
def upstream() -> Iterator[str]:
    """The upstream's address while it runs."""
    process = subprocess.Popen(
        [sys.executable, str(Path(__file__).resolve())], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE
    )
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.terminate()
        process.wait(timeout=30)


# --- the clients


@dataclass
class Load:
    """Requests at a steady rate; what became of each that was sent."""

    port: int
    rate: float
    # How often the daemon was started: a request that saw two of them may have lost its row to the kill.
    generation: int = 0
    number: int = 0
    ends: dict[int, str] = field(default_factory=dict)
    # Requests under way as the daemon was killed: one row each, or none.
    disturbed: set[int] = field(default_factory=set)
    isStopping: bool = False
    late: Counter = field(default_factory=Counter)

    async def run(self, connections: int = 48) -> None:
        self.turns: asyncio.Queue[int] = asyncio.Queue()
        await asyncio.gather(self._pace(connections), *[self._client() for _ in range(connections)])

    async def _pace(self, connections: int) -> None:
        clock = asyncio.get_running_loop().time
        start, given = clock(), 0
        while not self.isStopping:
            due = int((clock() - start) * self.rate)
            for _ in range(due - given):
                # What the clients cannot take now is not saved up: after a fault there is no flood.
                if self.turns.qsize() < connections:
                    self.turns.put_nowait(self.number)
                    self.number += 1
                else:
                    self.late["not sent"] += 1
            given = due
            await asyncio.sleep(0.005)
        for _ in range(connections):
            self.turns.put_nowait(-1)

    async def _client(self) -> None:
        streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        generation = 0
        while (number := await self.turns.get()) >= 0:
            if streams is None:
                generation = self.generation
                try:
                    streams = await asyncio.open_connection("127.0.0.1", self.port)
                except OSError:
                    # Between a kill and the next start nobody listens: not sent.
                    self.late["refused"] += 1
                    await asyncio.sleep(0.02)
                    continue
            try:
                self.ends[number] = await asyncio.wait_for(self._ask(number, *streams), 60)
            except TimeoutError:
                self.ends[number] = "hung"
            except (OSError, asyncio.IncompleteReadError):
                self.ends[number] = "broken"
            # A connection from before a kill breaks as one does whose upstream died.
            isOdd = self.ends[number] == "broken" and kind_of(number) != "dying"
            if generation != self.generation or isOdd:
                self.disturbed.add(number)
            if self.ends[number] != "done":
                streams[1].transport.abort()
                streams = None
        if streams is not None:
            streams[1].close()

    async def _ask(self, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        kind = kind_of(number)
        isChat = kind in ("body", "chat")
        body = json.dumps({"model": "gpt-5" if isChat else "claude-opus-4-8", "messages": [], "stream": True})
        path = "/v1/chat/completions" if isChat else "/v1/messages"
        fields = f"Authorization: Bearer soak\r\nx-soak-number: {number}\r\nContent-Length: {len(body)}"
        writer.write(
            (
                f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nContent-Type: application/json\r\n"
                f"{fields}\r\n\r\n{body}"
            ).encode()
        )
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        if kind == "leaving":
            await reader.readuntil(b"\r\n")
            return "left"
        if "transfer-encoding: chunked" in head:
            while size := int(await reader.readuntil(b"\r\n"), 16):
                await reader.readexactly(size + 2)
            await reader.readexactly(2)
        else:
            length = next(
                int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length")
            )
            await reader.readexactly(length)
        return "done"


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve_upstream())
