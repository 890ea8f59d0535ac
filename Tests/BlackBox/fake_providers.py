# SPDX-License-Identifier: Apache-2.0
"""Any number of providers on one port, told apart by the first part of the path: what comes before its last
hyphen says how it answers when it is asked for its models, as in `/fast-12/v1/models`."""

from __future__ import annotations

import contextlib
import itertools
import json
import threading
import zlib
from collections import Counter
from urllib.parse import parse_qs, urlsplit

from fake_upstream import Exchange, FakeUpstream

GIGABYTE = 1 << 30


def names(provider: str, count: int = 3) -> list[str]:
    """The ids a well-behaved provider lists."""
    return [f"{provider}-model-{number}" for number in range(count)]


def openai_entry(name: str, **more: object) -> dict:
    return {"id": name, "object": "model", "created": 1_700_000_000, "owned_by": "fake"} | more


def openai_list(entries: list[dict]) -> bytes:
    return json.dumps({"object": "list", "data": entries}).encode()


def gzip_bomb(size: int) -> bytes:
    """A gzip body that inflates to `size` bytes of blanks, made in no time: a block after a
    full flush stands for itself and may be repeated."""
    packer = zlib.compressobj(9, wbits=31)
    head = packer.compress(b'{"data":[') + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return head + block * (size >> 20)


class FakeProviders:
    """Answers for all of them, and counts how often each was asked."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.asked: Counter[str] = Counter()
        self.keys: dict[str, str | None] = {}
        # Answers wait for it; a test that wants to hold them clears it.
        self.gate = threading.Event()
        self.gate.set()
        # Those that fail from now on, whatever they are called.
        self.failing: set[str] = set()
        self._bomb = gzip_bomb(GIGABYTE)
        self.upstream = FakeUpstream(self._answer)

    @property
    def url(self) -> str:
        return self.upstream.url

    def close(self) -> None:
        self.gate.set()
        self.upstream.close()

    def reset(self) -> None:
        with self._lock:
            self.asked.clear()

    def configured(self, *kinds: tuple[str, int]) -> dict[str, dict]:
        """The configuration of so many providers of each kind."""
        made = {}
        for kind, count in kinds:
            for number in range(count):
                made[f"{kind}-{number}"] = self.provider(f"{kind}-{number}")
        return made

    def provider(self, name: str) -> dict:
        kind = name.rsplit("-", 1)[0]
        if kind in ("anthropic", "circle"):
            return {"kind": "anthropic", "base_url": f"{self.url}/{name}"}
        if kind == "gemini":
            return {"kind": "gemini", "base_url": f"{self.url}/{name}/v1beta/openai"}
        if kind == "ollama":
            return {"kind": "ollama", "base_url": f"{self.url}/{name}/v1"}
        return {"kind": "openai", "base_url": f"{self.url}/{name}/v1"}

    def _answer(self, exchange: Exchange) -> None:
        parts = urlsplit(exchange.request.target)
        name = parts.path.split("/")[1]
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        page = "after_id" in query or "pageToken" in query
        with self._lock:
            if not page:
                self.asked[name] += 1
            self.keys[name] = (
                exchange.request.header("authorization")
                or exchange.request.header("x-api-key")
                or exchange.request.header("x-goog-api-key")
            )
        self.gate.wait(60)
        if name in self.failing:
            exchange.whole(500, b'{"error":{"message":"out of order"}}')
            return
        answer = getattr(self, "_" + name.rsplit("-", 1)[0].replace("-", "_"))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            answer(exchange, name, query)

    # The well-behaved.

    def _fast(self, exchange: Exchange, name: str, _: dict) -> None:
        priced = {"pricing": {"prompt": "0.000001", "completion": "0.000002"}, "context_length": 128_000}
        exchange.whole(200, openai_list([openai_entry(model, **priced) for model in names(name)]))

    def _slow(self, exchange: Exchange, name: str, _: dict) -> None:
        body = openai_list([openai_entry(model) for model in names(name)])
        exchange.begin_stream()
        for start in range(0, len(body), 7):
            exchange.chunk(body[start : start + 7])
        exchange.end_chunks()

    def _zipped(self, exchange: Exchange, name: str, _: dict) -> None:
        packer = zlib.compressobj(wbits=31)
        body = packer.compress(openai_list([openai_entry(model) for model in names(name)])) + packer.flush()
        exchange.whole(200, body, [("content-encoding", "gzip")])

    def _empty(self, exchange: Exchange, name: str, _: dict) -> None:
        exchange.whole(200, openai_list([]))

    def _anthropic(self, exchange: Exchange, name: str, query: dict) -> None:
        every, size = names(name, 7), 3
        start = every.index(query["after_id"]) + 1 if "after_id" in query else 0
        shown = every[start : start + size]
        entries = [
            {"type": "model", "id": one, "display_name": one.title(), "created_at": "2026-01-02T00:00:00Z"}
            for one in shown
        ]
        page = {"data": entries, "has_more": start + size < len(every)}
        page |= {"first_id": shown[0], "last_id": shown[-1]}
        exchange.whole(200, json.dumps(page).encode())

    def _gemini(self, exchange: Exchange, name: str, query: dict) -> None:
        every, size = names(name, 5), 2
        start = int(query.get("pageToken", "0"))
        models = [
            {
                "name": f"models/{one}",
                "inputTokenLimit": 1_048_576,
                "outputTokenLimit": 8192,
            }
            for one in every[start : start + size]
        ]
        page: dict = {"models": models}
        if start + size < len(every):
            page["nextPageToken"] = str(start + size)
        exchange.whole(200, json.dumps(page).encode())

    def _ollama(self, exchange: Exchange, name: str, _: dict) -> None:
        models = [{"name": f"{one}:latest", "model": f"{one}:latest", "size": 1} for one in names(name)]
        assert exchange.request.path == f"/{name}/api/tags"
        exchange.whole(200, json.dumps({"models": models}).encode())

    # The others.

    def _hung(self, exchange: Exchange, name: str, _: dict) -> None:
        exchange.peer_left(within=60)

    def _broken(self, exchange: Exchange, name: str, _: dict) -> None:
        exchange.whole(500, b'{"error":{"message":"out of order"}}')

    def _nonsense(self, exchange: Exchange, name: str, _: dict) -> None:
        exchange.whole(200, b"<html>It works!</html>", content_type="text/html")

    def _endless(self, exchange: Exchange, name: str, _: dict) -> None:
        exchange.begin_stream()
        exchange.chunk(b'{"object":"list","data":[')
        piece = b" " * (1 << 16)
        for _ in range(GIGABYTE >> 16):
            exchange.chunk(piece)
        exchange.end_chunks()

    def _gzip(self, exchange: Exchange, name: str, _: dict) -> None:
        exchange.head(
            200,
            [
                ("content-type", "application/json"),
                ("content-encoding", "gzip"),
                ("content-length", str(len(self._bomb))),
            ],
        )
        exchange.raw(self._bomb)

    def _double(self, exchange: Exchange, name: str, _: dict) -> None:
        exchange.whole(200, openai_list([openai_entry(model) for model in names(name) * 2]))

    def _nan(self, exchange: Exchange, name: str, _: dict) -> None:
        bad = itertools.cycle([float("nan"), "NaN", "-1", float("inf")])
        entries = [
            openai_entry(one, pricing={"prompt": next(bad), "completion": "0.000002"}) for one in names(name)
        ]
        exchange.whole(200, openai_list(entries))

    def _circle(self, exchange: Exchange, name: str, _: dict) -> None:
        page = {"data": [{"type": "model", "id": "again"}], "has_more": True, "last_id": "again"}
        exchange.whole(200, json.dumps(page).encode())

    def _elsewhere(self, exchange: Exchange, name: str, _: dict) -> None:
        exchange.whole(302, b"", [("location", f"{self.url}/fast-0/v1/models")])

    def _reset(self, exchange: Exchange, name: str, _: dict) -> None:
        exchange.reset()
