# SPDX-License-Identifier: Apache-2.0
"""The real SDKs through the gateway: what they see is what they see straight from the upstream."""

from __future__ import annotations

import asyncio
import json

import anthropic
import httpx
import openai
import pytest

from expectations import assert_usage
from fake_upstream import Exchange, FakeUpstream, Request
from program import Daemon
from wire import (
    ANTHROPIC_STREAMS,
    CACHE,
    CHAT_WITH_USAGE,
    EMBEDDING,
    OVERLOADED,
    PLAIN,
    RESPONSES_STREAMS,
    TEXT,
    Usage,
    message_object,
    message_start,
    messages_body,
    ordinary,
    streams,
    text_block,
)

MESSAGES = [{"role": "user", "content": "Say hello."}]
TOOLS = [
    {
        "name": "get_weather",
        "description": "The weather in a city.",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
]

# What a hop sets for itself, and what differs from one run of an SDK to the next.
OF_THE_HOP = {"host", "connection", "keep-alive", "transfer-encoding", "content-length"}


def end_to_end_headers(request: Request) -> list[tuple[str, str]]:
    return sorted((name.lower(), value) for name, value in request.headers if name.lower() not in OF_THE_HOP)


def test_an_anthropic_stream_is_byte_identical_to_one_made_straight_G01(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    scenario = upstream.scenario(ordinary)
    received = []
    for base_url in (upstream.url, daemon.url):
        with (
            anthropic.Anthropic(base_url=base_url, api_key="sk-client", max_retries=0) as client,
            client.messages.with_streaming_response.create(
                model=model, max_tokens=64, messages=MESSAGES, stream=True, extra_headers=scenario
            ) as response,
        ):
            received.append(b"".join(response.iter_bytes()))
    assert received[0] == received[1] == PLAIN.body(model)

    straight, through = upstream.asked(scenario)
    assert through.body == straight.body
    assert through.target == straight.target
    assert end_to_end_headers(through) == end_to_end_headers(straight)
    assert_usage(daemon.requests_of(model), PLAIN.usage)


def test_an_openai_stream_is_byte_identical_to_one_made_straight_G01(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    scenario = upstream.scenario(ordinary)
    received = []
    for base_url in (upstream.url, daemon.url):
        with (
            openai.OpenAI(base_url=f"{base_url}/v1", api_key="sk-client", max_retries=0) as client,
            client.chat.completions.with_streaming_response.create(
                model=model,
                messages=MESSAGES,
                stream=True,
                stream_options={"include_usage": True},
                extra_headers=scenario,
            ) as response,
        ):
            received.append(b"".join(response.iter_bytes()))
    assert received[0] == received[1] == CHAT_WITH_USAGE.body(model)

    straight, through = upstream.asked(scenario)
    assert through.body == straight.body
    assert through.target == straight.target
    assert end_to_end_headers(through) == end_to_end_headers(straight)
    assert_usage(daemon.requests_of(model), CHAT_WITH_USAGE.usage)


def test_anthropic_streams_text(daemon: Daemon, anthropic_client: anthropic.Anthropic, model: str) -> None:
    with anthropic_client.messages.stream(model=model, max_tokens=64, messages=MESSAGES) as stream:
        assert "".join(stream.text_stream) == TEXT
        message = stream.get_final_message()
    assert message.stop_reason == "end_turn"
    assert (message.usage.input_tokens, message.usage.output_tokens) == (25, 15)
    assert_usage(daemon.requests_of(model), PLAIN.usage)


def test_anthropic_answers_whole_with_caches_and_tiers(
    daemon: Daemon, anthropic_client: anthropic.Anthropic, model: str
) -> None:
    message = anthropic_client.messages.create(model=model, max_tokens=64, messages=MESSAGES)
    assert message.content[0].text == TEXT
    assert message.usage.service_tier == "priority"
    assert_usage(daemon.requests_of(model), Usage(4, 50, 1000, 100, 200))


def test_anthropic_calls_tools(
    daemon: Daemon, upstream: FakeUpstream, anthropic_client: anthropic.Anthropic, model: str
) -> None:
    """One turn of a tool loop, streamed, then its result sent back."""
    answer = next(answer for answer in ANTHROPIC_STREAMS if answer.name == "tool-use")
    scenario = upstream.scenario(streams(answer))
    with anthropic_client.messages.stream(
        model=model, max_tokens=64, messages=MESSAGES, tools=TOOLS, extra_headers=scenario
    ) as stream:
        message = stream.get_final_message()
    (call,) = message.content
    assert (call.type, call.name, call.input) == ("tool_use", "get_weather", {"city": "Köln"})

    result = {"type": "tool_result", "tool_use_id": call.id, "content": "12 °C, Nieselregen"}
    conversation = [*MESSAGES, {"role": "assistant", "content": message.content}]
    second = upstream.scenario(ordinary)
    anthropic_client.messages.create(
        model=model,
        max_tokens=64,
        tools=TOOLS,
        messages=[*conversation, {"role": "user", "content": [result]}],
        extra_headers=second,
    )
    (request,) = upstream.asked(second)
    assert request.json()["messages"][-1]["content"] == [result]
    line = daemon.requests_of(model, 2)
    assert (line["input_tokens"], line["output_tokens"]) == (380 + 4, 31 + 50)


def test_anthropic_counts_tokens_and_lists_models(anthropic_client: anthropic.Anthropic, model: str) -> None:
    assert anthropic_client.messages.count_tokens(model=model, messages=MESSAGES).input_tokens == 14
    assert [entry.id for entry in anthropic_client.models.list()] == ["fake-sonnet"]


def test_openai_streams_chat_with_usage(daemon: Daemon, openai_client: openai.OpenAI, model: str) -> None:
    chunks = list(
        openai_client.chat.completions.create(
            model=model, messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == TEXT
    assert chunks[-1].usage.prompt_tokens_details.cached_tokens == 100
    assert_usage(daemon.requests_of(model), CHAT_WITH_USAGE.usage)


def test_openai_answers_chat_whole(daemon: Daemon, openai_client: openai.OpenAI, model: str) -> None:
    completion = openai_client.chat.completions.create(model=model, messages=MESSAGES)
    assert completion.choices[0].message.content == TEXT
    assert_usage(daemon.requests_of(model), Usage(20, 30, 100))


def test_openai_streams_responses(daemon: Daemon, openai_client: openai.OpenAI, model: str) -> None:
    events = list(openai_client.responses.create(model=model, input="Say hello.", stream=True))
    assert events[-1].type == "response.completed"
    assert events[-1].response.output_text == TEXT
    assert_usage(daemon.requests_of(model), RESPONSES_STREAMS[0].usage)


def test_openai_answers_responses_whole(daemon: Daemon, openai_client: openai.OpenAI, model: str) -> None:
    assert openai_client.responses.create(model=model, input="Say hello.").output_text == TEXT
    assert_usage(daemon.requests_of(model), Usage(50, 60, 150))


def test_openai_embeds(daemon: Daemon, openai_client: openai.OpenAI, model: str) -> None:
    answer = openai_client.embeddings.create(model=model, input="hello")
    assert answer.data[0].embedding == EMBEDDING
    line = daemon.requests_of(model)
    assert (line["input_tokens"], line["output_tokens"], line["unknown"]) == (8, 0, 0)


def test_openai_lists_models(openai_client: openai.OpenAI) -> None:
    assert [entry.id for entry in openai_client.models.list()] == ["fake-large"]


def test_a_named_provider_is_reached_by_its_name(daemon: Daemon, upstream: FakeUpstream, model: str) -> None:
    scenario = upstream.scenario(ordinary)
    with openai.OpenAI(base_url=f"{daemon.url}/named", api_key="sk-client", max_retries=0) as client:
        completion = client.chat.completions.create(model=model, messages=MESSAGES, extra_headers=scenario)
    assert completion.choices[0].message.content == TEXT
    assert [request.target for request in upstream.asked(scenario)] == ["/v1/chat/completions"]
    assert_usage(daemon.requests_of(model), Usage(20, 30, 100))


def test_many_async_streams_at_once_are_all_recorded(daemon: Daemon, model: str) -> None:
    async def run() -> list[str]:
        async with anthropic.AsyncAnthropic(
            base_url=daemon.url, api_key="sk-client", max_retries=0
        ) as client:

            async def one() -> str:
                async with client.messages.stream(model=model, max_tokens=64, messages=MESSAGES) as stream:
                    return await stream.get_final_text()

            return await asyncio.gather(*(one() for _ in range(64)))

    assert asyncio.run(run()) == [TEXT] * 64
    assert_usage(daemon.requests_of(model, 64), PLAIN.usage, requests=64)


def test_a_rate_limit_passes_with_its_wait_and_its_body_G03(
    daemon: Daemon, upstream: FakeUpstream, anthropic_client: anthropic.Anthropic, model: str
) -> None:
    body = b'{"type":"error","error":{"type":"rate_limit_error","message":"Slow down, please."}}'
    headers = [("retry-after", "7"), ("anthropic-ratelimit-requests-remaining", "0")]
    scenario = upstream.scenario(lambda exchange: exchange.whole(429, body, headers))
    with pytest.raises(anthropic.RateLimitError) as caught:
        anthropic_client.messages.create(
            model=model, max_tokens=64, messages=MESSAGES, extra_headers=scenario
        )
    response = caught.value.response
    assert response.content == body
    assert response.headers["retry-after"] == "7"
    assert response.headers["anthropic-ratelimit-requests-remaining"] == "0"
    assert response.headers["request-id"] == "req_fixed"
    assert len(upstream.asked(scenario)) == 1, "the gateway must not retry"
    assert daemon.requests_of(model)["unknown"] == 0
    (row,) = daemon.home.rows(model)
    assert (row["status"], row["outcome"], row["error_type"]) == (429, "upstream_error", "rate_limit_error")
    assert row["request_id"] == "req_fixed"


def test_overload_passes_as_it_is_G03(
    daemon: Daemon, upstream: FakeUpstream, anthropic_client: anthropic.Anthropic, model: str
) -> None:
    body = b'{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}'
    scenario = upstream.scenario(lambda exchange: exchange.whole(529, body))
    with pytest.raises(anthropic.APIStatusError) as caught:
        anthropic_client.messages.create(
            model=model, max_tokens=64, messages=MESSAGES, extra_headers=scenario
        )
    assert (caught.value.status_code, caught.value.response.content) == (529, body)
    daemon.requests_of(model)


def test_a_retry_by_the_client_is_a_request_of_its_own_G03(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    def limited_once(exchange: Exchange) -> None:
        if len(upstream.asked(scenario)) == 1:
            exchange.whole(429, b'{"error":{"message":"slow down"}}', [("retry-after-ms", "1")])
        else:
            ordinary(exchange)

    scenario = upstream.scenario(limited_once)
    with openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="sk-client", max_retries=2) as client:
        client.chat.completions.create(model=model, messages=MESSAGES, extra_headers=scenario)
    assert len(upstream.asked(scenario)) == 2
    line = daemon.requests_of(model, 2)
    assert line["input_tokens"] == 20


def test_an_error_after_200_reaches_the_client_as_an_error_G03(
    daemon: Daemon, upstream: FakeUpstream, anthropic_client: anthropic.Anthropic, model: str
) -> None:
    body = messages_body(
        message_start(model, {"input_tokens": 25, "output_tokens": 1}), *text_block(TEXT)[:2], OVERLOADED
    )

    def fails_later(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.stream(body)
        exchange.end_chunks()

    scenario = upstream.scenario(fails_later)
    with (
        pytest.raises(anthropic.APIStatusError, match="Overloaded"),
        anthropic_client.messages.stream(
            model=model, max_tokens=64, messages=MESSAGES, extra_headers=scenario
        ) as stream,
    ):
        stream.get_final_message()
    assert daemon.requests_of(model)["input_tokens"] == 25
    (row,) = daemon.home.rows(model)
    assert (row["status"], row["outcome"], row["error_type"]) == (200, "stream_error", "overloaded_error")


def test_a_large_prompt_passes(
    daemon: Daemon, upstream: FakeUpstream, anthropic_client: anthropic.Anthropic, model: str
) -> None:
    prompt = "Ein langer Satz. 長い文。" * 400_000
    scenario = upstream.scenario(ordinary)
    anthropic_client.messages.create(
        model=model,
        max_tokens=64,
        messages=[{"role": "user", "content": prompt}],
        extra_headers=scenario,
    )
    (request,) = upstream.asked(scenario)
    assert len(request.body) > 8_000_000
    assert json.loads(request.body)["messages"][0]["content"] == prompt
    daemon.requests_of(model)


def test_a_large_answer_passes(daemon: Daemon, upstream: FakeUpstream, model: str) -> None:
    content = [{"type": "text", "text": "x" * 12_000_000}]
    body = message_object(model, CACHE | {"output_tokens": 50}, content)
    scenario = upstream.scenario(lambda exchange: exchange.whole(200, body))
    response = httpx.post(
        f"{daemon.url}/v1/messages",
        json={"model": model, "max_tokens": 1, "messages": MESSAGES},
        headers={"x-api-key": "sk-client", "anthropic-version": "2023-06-01"} | scenario,
        timeout=60,
    )
    assert response.content == body
    assert_usage(daemon.requests_of(model), Usage(4, 50, 1000, 100, 200))
