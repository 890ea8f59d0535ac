# SPDX-License-Identifier: Apache-2.0
"""`/api/requests` and `/api/events`: what passes through the gateway, while it does."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator

import httpx
import pytest

from conftest import providers
from expectations import ANTHROPIC_HEADERS
from fake_upstream import Exchange, FakeUpstream
from program import PATIENCE, Daemon, Home, eventually
from wire import MESSAGES_REQUEST, message_start, sse, text_block

PROMPT = "a secret prompt nobody else may read"
KEY = "sk-client-secret"


class Gate:
    """An answer that goes on only when the test says so."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.begun = threading.Event()
        self.goes_on = threading.Event()

    def answer(self, exchange: Exchange) -> None:
        exchange.begin_stream()
        usage = {"input_tokens": 11, "output_tokens": 1}
        exchange.chunk(sse(*message_start(self.model, usage)))
        for event in text_block("so far so good")[:2]:
            exchange.chunk(sse(*event))
        self.begun.set()
        assert self.goes_on.wait(PATIENCE)
        exchange.chunk(
            sse(
                "message_delta",
                {
                    "type": "message_delta",
                    "delta": {"stop_reason": "end_turn", "stop_sequence": None},
                    "usage": {"output_tokens": 7},
                },
            )
        )
        exchange.chunk(sse("message_stop", {"type": "message_stop"}))
        exchange.end_chunks()

    def ask(self, daemon: Daemon, upstream: FakeUpstream, **headers: str) -> threading.Thread:
        """Asks in the background."""
        body = MESSAGES_REQUEST | {
            "model": self.model,
            "stream": True,
            "messages": [{"role": "user", "content": PROMPT}],
        }
        sent = dict(ANTHROPIC_HEADERS) | {"x-api-key": KEY} | upstream.scenario(self.answer) | headers

        def run() -> None:
            httpx.post(f"{daemon.url}/v1/messages", json=body, headers=sent, timeout=PATIENCE)

        thread = threading.Thread(target=run)
        thread.start()
        return thread


class Events:
    """Listens to the events of a daemon in the background."""

    def __init__(self, daemon: Daemon) -> None:
        self.told: list[tuple[str, dict]] = []
        self.text = ""
        self.ended = threading.Event()
        self.response = None
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(daemon.url,), daemon=True)
        self.thread.start()
        assert self.ready.wait(PATIENCE)

    def _run(self, url: str) -> None:
        with httpx.stream("GET", f"{url}/api/events", timeout=None) as response:
            self.response = response
            assert response.headers["content-type"].startswith("text/event-stream")
            name = ""
            for line in response.iter_lines():
                self.ready.set()
                self.text += line + "\n"
                if line.startswith("event: "):
                    name = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    self.told.append((name, json.loads(line.removeprefix("data: "))))
        self.ended.set()

    def of(self, model: str) -> list[dict]:
        return [data for name, data in self.told if name == "request" and data.get("model") == model]


@pytest.fixture
def events(daemon: Daemon) -> Iterator[Events]:
    yield Events(daemon)


def test_a_stream_is_seen_while_it_runs_and_when_it_has_ended(
    daemon: Daemon, upstream: FakeUpstream, model: str, events: Events
) -> None:
    gate = Gate(model)
    asking = gate.ask(daemon, upstream, **{"x-claude-code-session-id": f"session-of-{model}"})
    assert gate.begun.wait(PATIENCE)
    eventually("two pieces seen", lambda: [one for one in events.of(model) if one["pieces"] >= 1])

    def listed() -> dict | None:
        found = [one for one in daemon.json("/api/requests")["requests"] if one.get("model") == model]
        return found[0] if found else None

    running = eventually("in the list", listed)
    assert running["state"] == "streaming"
    assert running["session"] == f"session-of-{model}"
    assert running["provider"] == "anthropic"
    assert daemon.json("/api/requests")["running"] >= 1
    assert not [one for one in events.of(model) if one["state"] == "ended"]

    gate.goes_on.set()
    asking.join(PATIENCE)
    eventually("its end", lambda: [one for one in events.of(model) if one["state"] == "ended"])
    (ended,) = [one for one in events.of(model) if one["state"] == "ended"]
    assert ended["id"] == running["id"]
    assert (ended["input_tokens"], ended["output_tokens"]) == (11, 7)
    assert (ended["status"], ended["outcome"]) == (200, "complete")
    assert ended["bytes"] > running["bytes"]
    eventually("word that rows have landed", lambda: "usage" in [name for name, _ in events.told])
    whole = daemon.json("/api/requests")
    assert [one["id"] for one in whole["ended"] if one["model"] == model] == [ended["id"]]
    assert not [one for one in whole["requests"] if one.get("model") == model]
    for text in (events.text, json.dumps(whole)):
        assert PROMPT not in text
        assert KEY not in text
        assert "so far so good" not in text


def test_a_client_that_leaves_is_an_end_too(
    daemon: Daemon, upstream: FakeUpstream, model: str, events: Events
) -> None:
    gate = Gate(model)
    body = MESSAGES_REQUEST | {"model": model, "stream": True}
    headers = dict(ANTHROPIC_HEADERS) | upstream.scenario(gate.answer)
    with httpx.stream("POST", f"{daemon.url}/v1/messages", json=body, headers=headers) as response:
        next(response.iter_raw())
    eventually("its end", lambda: [one for one in events.of(model) if one["state"] == "ended"])
    gate.goes_on.set()
    (ended,) = [one for one in events.of(model) if one["state"] == "ended"]
    assert ended["outcome"] == "client_left"


def test_only_so_many_may_listen_and_leaving_makes_room_G07(home: Home, daemons: list[Daemon]) -> None:
    daemon = home.serve()
    daemons.append(daemon)
    with httpx.Client(timeout=PATIENCE) as client:
        open_ones = [client.send(client.build_request("GET", f"{daemon.url}/api/events"), stream=True)]
        while open_ones[-1].status_code == 200:
            assert len(open_ones) <= 64, "it has a bound"
            request = client.build_request("GET", f"{daemon.url}/api/events")
            open_ones.append(client.send(request, stream=True))
        refused = open_ones.pop()
        assert refused.status_code == 503
        refused.read()
        assert "already listen" in refused.json()["error"]["message"]
        # Other routes are as ever, and so is the order to stop.
        assert daemon.json("/api/requests") == {"ended": [], "requests": [], "running": 0}
        open_ones.pop().close()

        def again() -> bool:
            request = client.build_request("GET", f"{daemon.url}/api/events")
            answer = client.send(request, stream=True)
            open_ones.append(answer)
            return answer.status_code == 200

        eventually("room for one more", again)
        assert daemon.stop() == 0
        for one in open_ones:
            one.close()


@pytest.mark.parametrize("path", ["/api/events", "/api/requests"])
def test_the_token_is_asked_for_and_foreign_pages_are_refused_G06(
    home: Home, upstream: FakeUpstream, daemons: list[Daemon], path: str
) -> None:
    home.configure(providers=providers(upstream), auth={"token": "0123456789abcdef0123"})
    daemon = home.serve()
    daemons.append(daemon)
    assert daemon.get(path)[0] == 401
    token = {"X-Holdfast-Token": "0123456789abcdef0123"}
    assert daemon.get(path, **token, Origin="https://evil.example")[0] == 403
    assert daemon.get(path, **token, Host="evil.example")[0] == 403
    with httpx.stream("GET", daemon.url + path, headers=token, timeout=PATIENCE) as response:
        assert response.status_code == 200
    assert daemon.stop() == 0
