# SPDX-License-Identifier: Apache-2.0
"""Requests that name no provider, through the real SDKs: where they go, what is told, what is remembered."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import anthropic
import httpx
import openai
import pytest

from browsing import CHROMIUM, browse
from fake_upstream import Exchange, FakeUpstream
from program import Daemon, Home, eventually
from test_sessions_page import NASTY
from wire import CACHE, chat_object, message_object, ordinary

MESSAGES = [{"role": "user", "content": "Say hello."}]
DOLLARS = 1_000_000


class Vendor:
    """A provider that lists some models, with prices in OpenRouter's way, and answers or fails as told."""

    def __init__(self, name: str, models: dict[str, float | None], kind: str = "openai") -> None:
        self.name = name
        self.kind = kind
        self.models = models
        self.failure: tuple[int, list[tuple[str, str]]] | None = None
        self.fake = FakeUpstream(self._answer)

    def _answer(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.method == "GET" and request.path == "/v1/models":
            exchange.whole(200, self._list())
        elif self.failure:
            status, headers = self.failure
            body = json.dumps({"error": {"message": f"{self.name} says no", "type": "x"}}).encode()
            exchange.whole(status, body, headers)
        elif request.path == "/v1/messages":
            exchange.whole(200, message_object(request.json()["model"], CACHE | {"output_tokens": 50}))
        elif request.path == "/v1/chat/completions" and not request.json().get("stream"):
            exchange.whole(200, chat_object(request.json()["model"]))
        else:
            ordinary(exchange)

    def _list(self) -> bytes:
        if self.kind == "anthropic":
            data = [
                {
                    "type": "model",
                    "id": model,
                    "display_name": model.title(),
                    "created_at": "2026-01-02T03:04:05Z",
                }
                for model in self.models
            ]
            return json.dumps(
                {"data": data, "has_more": False, "first_id": data[0]["id"], "last_id": data[-1]["id"]}
            ).encode()
        return json.dumps(
            {
                "object": "list",
                "data": [
                    {
                        "id": model,
                        "object": "model",
                        "created": 1767323045,
                        "owned_by": self.name,
                        "context_length": 128_000,
                    }
                    | (
                        {}
                        if price is None
                        else {"pricing": {"prompt": str(price / DOLLARS), "completion": str(price / DOLLARS)}}
                    )
                    for model, price in self.models.items()
                ],
            }
        ).encode()

    @property
    def section(self) -> dict:
        base = self.fake.url if self.kind == "anthropic" else f"{self.fake.url}/v1"
        return {"kind": self.kind, "base_url": base}

    def asked_for(self, model: str) -> int:
        return sum(
            1
            for request in self.fake.requests
            if request.method == "POST" and request.json().get("model") == model
        )


@pytest.fixture
def vendors() -> Iterator[dict[str, Vendor]]:
    made = [
        Vendor("anthropic", {"claude-x": None}, kind="anthropic"),
        Vendor("second", {"claude-x": None, "claude-only-there": None}, kind="anthropic"),
        Vendor("openai", {"gpt-x": None, "shared": 9.0}),
        Vendor("cheap", {"shared": 1.0, "meta/llama": 0.0}),
        Vendor("middle", {"shared": 2.0}),
    ]
    with ExitStack() as stack:
        for vendor in made:
            stack.callback(vendor.fake.close)
        yield {vendor.name: vendor for vendor in made}
    for vendor in made:
        assert vendor.fake.failures == []


@pytest.fixture
def running(home: Home, vendors: dict[str, Vendor], daemons: list[Daemon]) -> Daemon:
    home.configure(providers={name: vendor.section for name, vendor in vendors.items()})
    return started(home, daemons)


def started(home: Home, daemons: list[Daemon], models: int = 8) -> Daemon:
    daemon = home.serve()
    daemons.append(daemon)
    eventually("the catalogue", lambda: len(api(daemon)["models"]) == models)
    return daemon


def api(daemon: Daemon, query: str = "") -> dict:
    return httpx.get(f"{daemon.url}/api/models{query}", timeout=60).raise_for_status().json()


def openai_client(daemon: Daemon, **options) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{daemon.url}/v1", **({"api_key": "holdfast", "max_retries": 0} | options))


def chat(daemon: Daemon, model: str = "shared", headers: dict[str, str] | None = None, **options):
    """The answer, and what was told of its way."""
    with openai_client(daemon, **options) as client:
        raw = client.chat.completions.with_raw_response.create(
            model=model, messages=MESSAGES, extra_headers=headers or {}
        )
    return raw.parse(), raw.headers.get("x-holdfast-route")


def test_the_sdks_list_what_all_providers_offer(running: Daemon) -> None:
    with openai_client(running) as client:
        listed = {model.id: model for model in client.models.list()}
        assert set(listed) == {"gpt-x", "shared", "meta/llama"}
        assert listed["shared"].owned_by == "cheap"
        assert listed["shared"].model_extra["providers"] == ["cheap", "middle", "openai"]
        assert listed["shared"].model_extra["context_length"] == 128_000
        assert client.models.retrieve("meta/llama").id == "meta/llama"
    with anthropic.Anthropic(base_url=running.url, api_key="holdfast", max_retries=0) as client:
        # Two pages, which the SDK follows.
        listed = list(client.models.list(limit=1))
        assert [model.id for model in listed] == ["claude-only-there", "claude-x"]
        assert listed[1].display_name == "Claude-X" and listed[1].created_at.year == 2026
        assert client.models.retrieve("claude-x").id == "claude-x"
        with pytest.raises(anthropic.BadRequestError):
            client.models.list(after_id="nobody's")


def test_a_client_with_its_own_key_sees_its_own_list(running: Daemon, vendors: dict[str, Vendor]) -> None:
    with openai_client(running, api_key="sk-mine") as client:
        assert {model.id for model in client.models.list()} == {"gpt-x", "shared"}
    last = [request for request in vendors["openai"].fake.requests if request.method == "GET"][-1]
    assert last.header("authorization") == "Bearer sk-mine"


def test_a_request_goes_to_the_cheapest_and_the_row_says_so(
    running: Daemon, vendors: dict[str, Vendor]
) -> None:
    answer, route = chat(running)
    assert answer.model == "shared" and route == "cheap=200; by=cheapest"
    assert [vendors[name].asked_for("shared") for name in ("cheap", "middle", "openai")] == [1, 0, 0]
    with anthropic.Anthropic(base_url=running.url, api_key="holdfast", max_retries=0) as client:
        raw = client.messages.with_raw_response.create(
            model="claude-only-there", max_tokens=9, messages=MESSAGES
        )
    assert raw.headers["x-holdfast-route"] == "second=200; by=only"
    # What nobody is known to have, and what brings its own key, goes to the default.
    assert chat(running, "unheard-of")[1] == "openai=200; by=default"
    assert chat(running, api_key="sk-mine")[1] is None
    assert vendors["openai"].asked_for("shared") == 1
    rows = eventually("the rows", lambda: len(found := running.home.rows("shared")) == 2 and found)
    assert [(row["provider"], row["route"], row["decision"]) for row in rows] == [
        ("cheap", "cheap=200", "cheapest"),
        ("openai", None, None),
    ]


def test_the_next_provider_is_asked_and_every_try_is_told(
    running: Daemon, vendors: dict[str, Vendor]
) -> None:
    vendors["cheap"].failure = (429, [("retry-after", "600")])
    vendors["middle"].failure = (503, [])
    answer, route = chat(running)
    assert answer.model == "shared" and route == "cheap=429, middle=503, openai=200; by=cheapest"
    bodies = [
        next(request.body for request in vendors[name].fake.requests if request.method == "POST")
        for name in ("cheap", "middle", "openai")
    ]
    assert bodies[0] == bodies[1] == bodies[2]
    row = eventually("the row", lambda: running.home.rows("shared"))[0]
    assert (row["provider"], row["status"], row["outcome"]) == ("openai", 200, "complete")
    assert (row["route"], row["decision"]) == ("cheap=429, middle=503, openai=200", "cheapest")

    # The one that asked to be left alone is; the one with a single strike is not.
    assert chat(running)[1] == "middle=503, openai=200; by=cooldown"
    assert vendors["cheap"].asked_for("shared") == 1
    cooling = {one["provider"]: one.get("until") for one in api(running)["cooldowns"]}
    assert cooling["cheap"] and cooling["middle"]

    # The last error is the provider's own.
    vendors["openai"].failure = (529, [("x-own", "yes")])
    with pytest.raises(openai.InternalServerError) as raised:
        chat(running, "gpt-x")
    assert raised.value.status_code == 529
    assert raised.value.response.headers["x-own"] == "yes"
    assert raised.value.response.json() == {"error": {"message": "openai says no", "type": "x"}}


def test_a_provider_that_is_gone_is_passed_over(running: Daemon, vendors: dict[str, Vendor]) -> None:
    vendors["cheap"].fake.close()
    assert chat(running)[1] == "cheap=unreachable, middle=200; by=cheapest"


def test_a_pin_is_kept_to_and_an_unknown_one_refused(running: Daemon, vendors: dict[str, Vendor]) -> None:
    pin = {"x-holdfast-provider": "middle"}
    assert chat(running, headers=pin)[1] == "middle=200; by=pin"
    request = [request for request in vendors["middle"].fake.requests if request.method == "POST"][-1]
    assert request.header("x-holdfast-provider") is None
    vendors["middle"].failure = (503, [])
    with pytest.raises(openai.InternalServerError) as raised:
        chat(running, headers=pin)
    assert raised.value.response.headers["x-holdfast-route"] == "middle=503; by=pin"
    with pytest.raises(openai.BadRequestError) as refused:
        chat(running, headers={"x-holdfast-provider": "nobody"})
    assert refused.value.code == "unknown_provider" and "nobody" in refused.value.message
    with (
        anthropic.Anthropic(base_url=running.url, api_key="holdfast", max_retries=0) as client,
        pytest.raises(anthropic.BadRequestError) as other,
    ):
        client.messages.create(
            model="claude-x", max_tokens=9, messages=MESSAGES, extra_headers={"x-holdfast-provider": "nobody"}
        )
    assert other.value.body["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("way", ["stopped", "killed"])
def test_what_cools_down_is_remembered_by_the_next_daemon(
    home: Home, running: Daemon, vendors: dict[str, Vendor], daemons: list[Daemon], way: str
) -> None:
    vendors["cheap"].failure = (429, [("retry-after", "600")])
    assert chat(running)[1] == "cheap=429, middle=200; by=cheapest"
    if way == "stopped":
        assert running.stop() == 0
    else:
        # Written a moment later, not with the request.
        eventually("it is written down", lambda: "cheap" in json.dumps(kept(home)))
        running.kill()
    vendors["cheap"].failure = None
    again = started(home, daemons)
    eventually("it is remembered", lambda: api(again)["cooldowns"])
    assert chat(again)[1] == "middle=200; by=cooldown"
    assert vendors["cheap"].asked_for("shared") == 1


def kept(home: Home) -> object:
    found = home.run("state", "get", "routing", "cooldowns", "--json", check=False)
    return json.loads(found.stdout)["value"] if found.returncode == 0 else None


def test_a_provider_that_is_disabled_by_hand_is_left_out(
    home: Home, running: Daemon, vendors: dict[str, Vendor]
) -> None:
    home.run("models", "providers", "disable", "cheap")
    eventually("the daemon knows", lambda: chat(running)[1] == "middle=200; by=cheapest")
    assert {provider["name"]: provider["enabled"] for provider in api(running)["providers"]}["cheap"] is False
    with openai_client(running) as client:
        assert "meta/llama" not in {model.id for model in client.models.list()}
    home.run("models", "providers", "enable", "cheap")
    eventually("the daemon knows", lambda: chat(running)[1] == "cheap=200; by=cheapest")


def test_the_tool_tells_what_cools_down_and_where_a_model_would_go(
    home: Home, running: Daemon, vendors: dict[str, Vendor]
) -> None:
    vendors["cheap"].failure = (429, [("retry-after", "600")])
    assert chat(running)[1] == "cheap=429, middle=200; by=cheapest"
    eventually("it is written down", lambda: kept(home))
    shown = {line["provider"]: line for line in home.json_lines("models", "show", "shared")}
    assert [shown[name]["position"] for name in ("middle", "openai", "cheap")] == [1, 2, 3]
    assert shown["middle"]["reason"] == "cooldown" and shown["openai"]["reason"] == "next"
    assert shown["cheap"]["cooldown_until"] and shown["middle"]["cooldown_until"] is None
    assert "cools down until" in home.run("models", "show", "shared").stdout
    # A provider that cannot be reached cools down as a whole.
    vendors["middle"].fake.close()
    for _ in range(2):
        chat(running)
    eventually("it is written down", lambda: '"middle"' in json.dumps(kept(home)))
    listed = {line["name"]: line for line in home.json_lines("models", "providers")}
    assert listed["middle"]["cooldown_until"] and listed["cheap"]["cooldown_until"] is None
    assert "cools down" in home.run("models", "providers").stdout


def test_the_api_lists_filters_and_asks_anew(running: Daemon, vendors: dict[str, Vendor]) -> None:
    shared = api(running, "?text=SHARE")["models"]
    assert {model["provider"]: model["input_microusd"] for model in shared} == {
        "cheap": DOLLARS,
        "middle": 2 * DOLLARS,
        "openai": 9 * DOLLARS,
    }
    assert api(running, "?limit=2")["truncated"] is True
    assert {model["provider"] for model in api(running, "?provider=second")["models"]} == {"second"}
    assert httpx.get(f"{running.url}/api/models?texts=x").status_code == 400
    vendors["middle"].models["brand-new"] = 1.0
    done = httpx.post(f"{running.url}/api/models/refresh?force=true&provider=middle", timeout=60).json()
    assert [(one["name"], one["outcome"], one["models"]) for one in done["outcomes"]] == [
        ("middle", "fetched", 2)
    ]
    assert chat(running, "brand-new")[1] == "middle=200; by=only"
    assert httpx.post(f"{running.url}/api/models/refresh?provider=nobody").status_code == 404
    # A page of another site can neither read the list nor have providers asked.
    for method, path in (("GET", "/api/models"), ("POST", "/api/models/refresh")):
        answer = httpx.request(method, running.url + path, headers={"origin": "https://evil.test"})
        assert answer.status_code == 403


def test_without_any_provider_that_lists_models_all_goes_the_usual_way(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    home.configure(
        providers={
            "openai": {"kind": "openai", "base_url": f"{upstream.url}/unlisted/v1"},
            "gone": {"kind": "openai", "base_url": f"http://127.0.0.1:{port}/v1"},
        }
    )
    daemon = home.serve()
    daemons.append(daemon)
    providers = eventually(
        "both were asked",
        lambda: (
            (found := [one for one in api(daemon)["providers"] if one["error"]]) and len(found) == 2 and found
        ),
    )
    assert {one["name"] for one in providers} == {"openai", "gone"}
    with openai_client(daemon) as client, pytest.raises(openai.NotFoundError):
        client.models.list()
    assert daemon.stop() == 0


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")
def test_models_prices_health_and_cooldowns_are_seen(
    home: Home, vendors: dict[str, Vendor], daemons: list[Daemon]
) -> None:
    vendors["middle"].models[NASTY] = 0.25
    home.configure(providers={name: vendor.section for name, vendor in vendors.items()})
    daemon = started(home, daemons, models=9)
    vendors["cheap"].failure = (429, [("retry-after", "600")])
    chat(daemon)
    page = browse(daemon, "catalog", "#catalog-hint:has-text('prices per')")
    assert "9 models · prices per million tokens" in page.text
    assert "1 model cooling down" in page.text and "cools down 5" in page.text
    assert "sharedcheap" not in page.text and "cheap128k$1.00$1.00" in page.text
    assert "free" in page.text and "$0.25" in page.text and NASTY in page.text
    assert ("main", {"id": "catalog", "tabindex": "-1"}) in page.elements
    assert not any(tag in ("iframe", "b") for tag, _ in page.elements)
