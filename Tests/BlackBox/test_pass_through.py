# SPDX-License-Identifier: Apache-2.0
"""Methods, paths, headers and bodies between client and upstream: what must pass, and what must not."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from conftest import providers
from expectations import ANTHROPIC_HEADERS, OPENAI_HEADERS, post
from fake_upstream import Exchange, FakeUpstream, Request
from program import Daemon, Home
from raw_http import Connection, ask
from wire import CHAT_REQUEST, MESSAGES_REQUEST, chat_object, message_object, ordinary


def forwarded(
    daemon: Daemon,
    upstream: FakeUpstream,
    target: str = "/v1/messages",
    headers: list[tuple[str, str]] | None = None,
    body: bytes = b'{"model":"fake-forwarded","max_tokens":1,"messages":[]}',
    method: str = "POST",
) -> Request:
    """Sends a request through the daemon and returns it as the upstream saw it."""
    scenario = upstream.scenario(lambda exchange: exchange.whole(200, b"{}"))
    sent = [*(ANTHROPIC_HEADERS if headers is None else headers), *scenario.items()]
    assert ask(daemon.url, method, target, sent, body).status == 200
    (request,) = upstream.asked(scenario)
    return request


@pytest.mark.parametrize(
    ("target", "arrives_as"),
    [
        ("/v1/messages?beta=true", "/v1/messages?beta=true"),
        ("/v1/messages?", "/v1/messages?"),
        ("/v1/messages?a=%2F%20%41&b=a+b&c=%zz&&d", "/v1/messages?a=%2F%20%41&b=a+b&c=%zz&&d"),
        ("/v1/messages/count_tokens?beta=true", "/v1/messages/count_tokens?beta=true"),
        ("/named/models/org%2Fname%3Av1?x=%C3%BC", "/v1/models/org%2Fname%3Av1?x=%C3%BC"),
        ("/named/files//twice/../kept", "/v1/files//twice/../kept"),
    ],
)
def test_path_and_query_arrive_byte_for_byte(
    daemon: Daemon, upstream: FakeUpstream, target: str, arrives_as: str
) -> None:
    headers = OPENAI_HEADERS if target.startswith("/named") else ANTHROPIC_HEADERS
    assert forwarded(daemon, upstream, target, headers).target == arrives_as


def test_the_providers_own_headers_arrive_verbatim(daemon: Daemon, upstream: FakeUpstream) -> None:
    own = [
        ("anthropic-version", "2023-06-01"),
        ("Anthropic-Beta", "prompt-caching-2024-07-31,context-1m-2025-08-07"),
        ("anthropic-beta", "a-second-line-2026-01-01"),
        ("openai-organization", "org-1"),
        ("OpenAI-Project", "proj_1"),
        ("authorization", "Bearer sk-client-bearer"),
        ("x-api-key", "sk-client-key"),
        ("x-claude-code-session-id", "3f0c0c4e"),
        ("x-app", "cli"),
        ("user-agent", "claude-cli/2.1.329 (external, cli)"),
        ("accept", "application/json"),
        ("x-empty", ""),
        ("x-long", "v" * 6000),
    ]
    request = forwarded(daemon, upstream, headers=[("content-type", "application/json"), *own])
    for name, _ in own:
        want = [value for key, value in own if key.lower() == name.lower()]
        assert request.all(name) == want, name


def test_hop_by_hop_headers_stay_behind_with_those_connection_names(
    daemon: Daemon, upstream: FakeUpstream
) -> None:
    hop = [
        ("Connection", "keep-alive, X-Of-This-Hop"),
        ("Connection", "x-and-this"),
        ("X-Of-This-Hop", "1"),
        ("x-and-this", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic c2VjcmV0"),
        ("TE", "trailers"),
        ("Trailer", "x-checksum"),
        ("Upgrade", "h2c"),
        ("x-stays", "1"),
    ]
    request = forwarded(daemon, upstream, headers=[*ANTHROPIC_HEADERS, *hop])
    names = {name.lower() for name, _ in request.headers}
    assert not names & {
        "x-of-this-hop",
        "x-and-this",
        "keep-alive",
        "proxy-connection",
        "proxy-authorization",
        "te",
        "trailer",
        "upgrade",
    }
    assert "x-of-this-hop" not in (request.header("connection") or "").lower()
    assert request.header("x-stays") == "1"


def test_host_is_the_upstreams(daemon: Daemon, upstream: FakeUpstream) -> None:
    assert forwarded(daemon, upstream).all("host") == [urlsplit(upstream.url).netloc]


def test_an_answers_hop_by_hop_headers_stay_behind_and_its_own_pass(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    headers = [
        ("connection", "x-upstream-hop"),
        ("x-upstream-hop", "1"),
        ("keep-alive", "timeout=99"),
        ("proxy-authenticate", "Basic"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("openai-processing-ms", "12"),
        ("x-ratelimit-remaining-tokens", "149984"),
    ]
    scenario = upstream.scenario(lambda exchange: exchange.whole(200, chat_object(model), headers))
    answer = post(daemon.url, "/v1/chat/completions", CHAT_REQUEST | {"model": model}, scenario)
    names = {name.lower() for name, _ in answer.headers}
    assert not names & {"x-upstream-hop", "proxy-authenticate"}
    assert answer.header("keep-alive") != "timeout=99"
    assert [value for name, value in answer.headers if name.lower() == "set-cookie"] == ["a=1", "b=2"]
    assert answer.header("openai-processing-ms") == "12"
    assert answer.header("x-ratelimit-remaining-tokens") == "149984"
    assert answer.body == chat_object(model)


def test_a_body_arrives_byte_for_byte(daemon: Daemon, upstream: FakeUpstream) -> None:
    """Odd spacing, doubled keys, escapes and bytes that are no UTF-8: a body that is parsed and written again
    would not survive."""
    body = (
        b'{ "model" : "fake-odd",\n\t"a":1.0,"a":1e2, "\\u00fc":"\\ud800", '
        b'"raw":"\xff\xfe\x00" , "n":123456789012345678901 }'
    )
    assert forwarded(daemon, upstream, body=body).body == body


def test_a_chunked_body_arrives_whole(daemon: Daemon, upstream: FakeUpstream) -> None:
    scenario = upstream.scenario(lambda exchange: exchange.whole(200, b"{}"))
    body = json.dumps(MESSAGES_REQUEST | {"model": "fake-chunked"}).encode()
    with Connection(daemon.url) as connection:
        head = [
            "POST /v1/messages HTTP/1.1",
            f"Host: {connection.authority}",
            *(f"{name}: {value}" for name, value in [*ANTHROPIC_HEADERS, *scenario.items()]),
            "Transfer-Encoding: chunked",
        ]
        frames = b"".join(b"%x\r\n%b\r\n" % (1, body[index : index + 1]) for index in range(len(body)))
        connection.socket.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + frames + b"0\r\n\r\n")
        assert connection.read().status == 200
    (request,) = upstream.asked(scenario)
    assert request.body == body


def test_a_client_that_waits_for_100_continue_is_served(daemon: Daemon, upstream: FakeUpstream) -> None:
    """curl does so for every body above a kilobyte."""
    scenario = upstream.scenario(lambda exchange: exchange.whole(200, b"{}"))
    body = json.dumps(MESSAGES_REQUEST | {"model": "fake-expect", "metadata": "x" * 4000}).encode()
    with Connection(daemon.url) as connection:
        head = [
            "POST /v1/messages HTTP/1.1",
            f"Host: {connection.authority}",
            *(f"{name}: {value}" for name, value in [*ANTHROPIC_HEADERS, *scenario.items()]),
            "Expect: 100-continue",
            f"Content-Length: {len(body)}",
        ]
        connection.socket.sendall("\r\n".join(head).encode() + b"\r\n\r\n")
        status, _ = connection.read_head()
        assert status == 100
        connection.socket.sendall(body)
        assert connection.read().status == 200
    (request,) = upstream.asked(scenario)
    assert request.body == body


def test_a_connection_serves_many_requests(daemon: Daemon, upstream: FakeUpstream, model: str) -> None:
    with Connection(daemon.url) as connection:
        for _ in range(20):
            body = json.dumps(MESSAGES_REQUEST | {"model": model}).encode()
            answer = connection.ask("POST", "/v1/messages", ANTHROPIC_HEADERS, body)
            assert (answer.status, answer.complete) == (200, True)
    daemon.requests_of(model, 20)


def test_an_upstream_that_closes_after_each_answer_is_no_error(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    def answer_and_close(exchange: Exchange) -> None:
        exchange.whole(200, message_object(model, {"input_tokens": 1, "output_tokens": 1}))
        exchange.close()

    scenario = upstream.scenario(answer_and_close)
    for _ in range(10):
        assert post(daemon.url, "/v1/messages", MESSAGES_REQUEST | {"model": model}, scenario).status == 200
    daemon.requests_of(model, 10)


def test_the_probe_of_claude_code_is_answered(daemon: Daemon) -> None:
    answer = ask(daemon.url, "HEAD", "/", [("user-agent", "claude-cli/2.1.329 (external, cli)")])
    assert answer.status == 200


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 500, 503, 504])
def test_an_upstreams_error_passes_as_it_is_G03(
    daemon: Daemon, upstream: FakeUpstream, model: str, status: int
) -> None:
    body = b'{"type":"error",  "error":{"type":"some_error","message":"in the words of the upstream"}}'
    scenario = upstream.scenario(lambda exchange: exchange.whole(status, body, [("x-should-retry", "false")]))
    answer = post(daemon.url, "/v1/messages", MESSAGES_REQUEST | {"model": model}, scenario)
    assert (answer.status, answer.body) == (status, body)
    assert answer.header("x-should-retry") == "false"
    assert len(upstream.asked(scenario)) == 1
    daemon.requests_of(model)


@pytest.fixture(scope="module")
def nobody_listens() -> Iterator[int]:
    """A port that is bound and not listening: connecting is refused, and nobody else can take it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_an_upstream_that_is_not_there_is_a_502_in_the_clients_own_words_G03(
    home: Home, daemons: list[Daemon], nobody_listens: int, model: str
) -> None:
    dead = f"http://127.0.0.1:{nobody_listens}"
    home.configure(
        providers={
            "anthropic": {"kind": "anthropic", "base_url": dead},
            "openai": {"kind": "openai", "base_url": f"{dead}/v1"},
        }
    )
    daemons.append(daemon := home.serve())
    answer = post(daemon.url, "/v1/messages", MESSAGES_REQUEST | {"model": model})
    assert answer.status == 502
    error = json.loads(answer.body)
    assert error["type"] == "error"
    assert error["error"]["type"]
    assert error["error"]["message"]

    answer = post(daemon.url, "/v1/chat/completions", CHAT_REQUEST | {"model": model})
    assert answer.status == 502
    assert json.loads(answer.body)["error"]["message"]
    daemon.requests_of(model, 2)


def test_an_upstream_that_closes_without_an_answer_is_a_502_and_never_asked_twice_G03(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    scenario = upstream.scenario(lambda exchange: exchange.close())
    answer = post(daemon.url, "/v1/messages", MESSAGES_REQUEST | {"model": model}, scenario)
    assert answer.status == 502
    assert json.loads(answer.body)["type"] == "error"
    assert len(upstream.asked(scenario)) == 1
    daemon.requests_of(model)


def test_a_key_from_the_environment_is_used_only_when_the_client_has_none(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream
) -> None:
    daemons.append(
        daemon := home.serve(
            ANTHROPIC_API_KEY="sk-environment-a",
            ANTHROPIC_BASE_URL=upstream.url,
            OPENAI_API_KEY="sk-environment-o",
            OPENAI_BASE_URL=f"{upstream.url}/v1",
        )
    )
    bare = [("content-type", "application/json"), ("anthropic-version", "2023-06-01")]

    request = forwarded(daemon, upstream, headers=bare)
    assert request.all("x-api-key") == ["sk-environment-a"]
    request = forwarded(daemon, upstream, headers=[*bare, ("x-api-key", "sk-client")])
    assert request.all("x-api-key") == ["sk-client"]
    assert request.all("authorization") == []
    request = forwarded(daemon, upstream, headers=[*bare, ("authorization", "Bearer subscription")])
    assert request.all("authorization") == ["Bearer subscription"]
    assert request.all("x-api-key") == []
    request = forwarded(daemon, upstream, "/v1/chat/completions", headers=bare[:1])
    assert request.all("authorization") == ["Bearer sk-environment-o"]
    request = forwarded(
        daemon, upstream, "/v1/chat/completions", headers=[*bare[:1], ("authorization", "Bearer sk-client")]
    )
    assert request.all("authorization") == ["Bearer sk-client"]


def test_a_key_of_the_environment_does_not_follow_a_provider_elsewhere(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream
) -> None:
    """The configuration sends the vendor's name to another server: that server must not get the vendor's key,
    unless the configuration says so."""
    home.configure(
        providers=providers(upstream)
        | {"chosen": {"kind": "openai", "base_url": f"{upstream.url}/v1", "api_key_env": "CHOSEN_KEY"}}
    )
    daemons.append(
        daemon := home.serve(ANTHROPIC_API_KEY="sk-a", OPENAI_API_KEY="sk-o", CHOSEN_KEY="sk-chosen")
    )
    bare = [("content-type", "application/json")]
    for target in ("/v1/messages", "/v1/chat/completions"):
        request = forwarded(daemon, upstream, target, headers=bare)
        assert request.all("x-api-key") + request.all("authorization") == []
    request = forwarded(daemon, upstream, "/chosen/chat/completions", headers=bare)
    assert request.all("authorization") == ["Bearer sk-chosen"]


def test_no_secret_and_no_prompt_is_kept_or_logged(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream, model: str
) -> None:
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    secrets = ["sk-s3cret-key", "s3cret-bearer", "s3cret-api", "s3cret-goog", "s3cret-cookie"]
    headers = [
        ("content-type", "application/json"),
        ("anthropic-version", "2023-06-01"),
        ("x-api-key", secrets[0]),
        ("authorization", f"Bearer {secrets[1]}"),
        ("api-key", secrets[2]),
        ("x-goog-api-key", secrets[3]),
        ("cookie", f"session={secrets[4]}"),
    ]
    prompt = "a prompt nobody else has ever written"
    body = json.dumps({"model": model, "max_tokens": 1, "messages": [{"role": "user", "content": prompt}]})
    failing = upstream.scenario(lambda exchange: exchange.close())
    for scenario in (upstream.scenario(ordinary), failing):
        ask(daemon.url, "POST", "/v1/messages", [*headers, *scenario.items()], body.encode())
    daemon.requests_of(model, 2)
    daemon.terminate()

    printed = "\n".join(daemon.output + daemon.errors)
    files = {path: path.read_bytes() for path in home.path.rglob("*") if path.is_file()}
    assert home.usage_db in files
    for needle in [*secrets, prompt]:
        assert needle not in printed
        for path, data in files.items():
            assert needle.encode() not in data, f"{needle} in {path.name}"
