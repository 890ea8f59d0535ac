# SPDX-License-Identifier: Apache-2.0
"""What Anthropic and OpenAI put on the wire, written by hand from their published formats, each answer with
the usage a reader must find in it. Times and identifiers are fixed: one answer is the same bytes every time.
"""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass

from fake_upstream import Exchange


@dataclass(frozen=True)
class Usage:
    """Disjoint token columns of one request; None is "the upstream did not say", which is not zero."""

    input: int | None
    output: int | None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None


UNKNOWN = Usage(None, None)


@dataclass(frozen=True)
class Answer:
    """A streamed answer: what it is called in a test's name, its bytes for a model, the usage in it."""

    name: str
    path: str
    body: Callable[[str], bytes]
    usage: Usage
    request: dict


def sse(name: str | None, data: object, newline: str = "\n") -> bytes:
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    lines = ([f"event: {name}"] if name else []) + [f"data: {line}" for line in text.split("\n")]
    return (newline.join(lines) + newline * 2).encode()


# --- Anthropic Messages ---


def message_start(model: str, usage: dict | None) -> tuple[str, dict]:
    message = {
        "id": "msg_fixed",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
    }
    if usage is not None:
        message["usage"] = usage
    return "message_start", {"type": "message_start", "message": message}


def text_block(text: str, index: int = 0) -> list[tuple[str, dict]]:
    return [
        (
            "content_block_start",
            {
                "type": "content_block_start",
                "index": index,
                "content_block": {"type": "text", "text": ""},
            },
        ),
        *(
            (
                "content_block_delta",
                {
                    "type": "content_block_delta",
                    "index": index,
                    "delta": {"type": "text_delta", "text": part},
                },
            )
            for part in (text[: len(text) // 2], text[len(text) // 2 :])
        ),
        ("content_block_stop", {"type": "content_block_stop", "index": index}),
    ]


def tool_block(name: str, arguments: dict, index: int = 0) -> list[tuple[str, dict]]:
    text = json.dumps(arguments)
    return [
        (
            "content_block_start",
            {
                "type": "content_block_start",
                "index": index,
                "content_block": {"type": "tool_use", "id": "toolu_fixed", "name": name, "input": {}},
            },
        ),
        *(
            (
                "content_block_delta",
                {
                    "type": "content_block_delta",
                    "index": index,
                    "delta": {"type": "input_json_delta", "partial_json": part},
                },
            )
            for part in (text[:5], text[5:])
        ),
        ("content_block_stop", {"type": "content_block_stop", "index": index}),
    ]


def message_delta(usage: dict | None, stop_reason: str | None = "end_turn") -> tuple[str, dict]:
    event: dict = {
        "type": "message_delta",
        "delta": {"stop_reason": stop_reason, "stop_sequence": None},
    }
    if usage is not None:
        event["usage"] = usage
    return "message_delta", event


PING = ("ping", {"type": "ping"})
STOP = ("message_stop", {"type": "message_stop"})
OVERLOADED = (
    "error",
    {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
)
TEXT = "Grüße, 世界 👋🏽"


def messages_body(*events: tuple[str, dict], newline: str = "\n") -> bytes:
    return b"".join(sse(name, data, newline) for name, data in events)


MESSAGES_REQUEST = {"max_tokens": 64, "messages": [{"role": "user", "content": "Say hello."}]}


def messages_answer(
    name: str, usage: Usage, build: Callable[[str], list[tuple[str, dict]]], newline: str = "\n"
) -> Answer:
    return Answer(
        name,
        "/v1/messages",
        lambda model: messages_body(*build(model), newline=newline),
        usage,
        MESSAGES_REQUEST | {"stream": True},
    )


def _plain(model: str) -> list[tuple[str, dict]]:
    return [
        message_start(model, {"input_tokens": 25, "output_tokens": 1}),
        PING,
        *text_block(TEXT),
        message_delta({"output_tokens": 15}),
        STOP,
    ]


PLAIN = messages_answer("plain", Usage(25, 15), _plain)

CACHE = {
    "input_tokens": 4,
    "cache_creation_input_tokens": 300,
    "cache_read_input_tokens": 1000,
    "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200},
    "service_tier": "priority",
    "output_tokens": 1,
}

ANTHROPIC_STREAMS = [
    PLAIN,
    messages_answer("crlf", Usage(25, 15), _plain, newline="\r\n"),
    messages_answer("cr", Usage(25, 15), _plain, newline="\r"),
    messages_answer(
        "pings-first",
        Usage(25, 15),
        lambda model: [PING, PING, *_plain(model)[:1], PING, *_plain(model)[2:]],
    ),
    messages_answer(
        "cache-reads-and-both-writes",
        Usage(4, 50, 1000, 100, 200),
        lambda model: [
            message_start(model, CACHE),
            *text_block(TEXT),
            message_delta({"output_tokens": 50}),
            STOP,
        ],
    ),
    messages_answer(
        "writes-without-a-split-are-5m",
        Usage(4, 50, 1000, 300, None),
        lambda model: [
            message_start(model, {key: CACHE[key] for key in CACHE if key != "cache_creation"}),
            *text_block(TEXT),
            message_delta({"output_tokens": 50}),
            STOP,
        ],
    ),
    messages_answer(
        "cumulative-deltas",
        Usage(25, 42, 7),
        lambda model: [
            message_start(model, {"input_tokens": 25, "cache_read_input_tokens": 7, "output_tokens": 1}),
            *text_block(TEXT),
            message_delta({"output_tokens": 10, "input_tokens": None}, stop_reason=None),
            message_delta({"output_tokens": 42, "cache_read_input_tokens": None}),
            STOP,
        ],
    ),
    messages_answer(
        "zero-is-a-value",
        Usage(0, 0, 0),
        lambda model: [
            message_start(model, {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 3}),
            message_delta({"input_tokens": 0, "cache_read_input_tokens": 0, "output_tokens": 0}),
            STOP,
        ],
    ),
    messages_answer(
        "usage-only-in-message-delta",
        Usage(77, 12, 3),
        lambda model: [
            message_start(model, None),
            *text_block(TEXT),
            message_delta({"input_tokens": 77, "cache_read_input_tokens": 3, "output_tokens": 12}),
            STOP,
        ],
    ),
    messages_answer(
        "input-corrected-in-message-delta",
        Usage(77, 12),
        lambda model: [
            message_start(model, {"input_tokens": 0, "output_tokens": 0}),
            *text_block(TEXT),
            message_delta({"input_tokens": 77, "output_tokens": 12}),
            STOP,
        ],
    ),
    messages_answer(
        "unknown-events",
        Usage(25, 15),
        lambda model: [
            ("weather_report", {"type": "weather_report", "usage": {"output_tokens": 9999}}),
            *_plain(model)[:3],
            ("message_delta_v2", {"type": "message_delta_v2", "usage": {"output_tokens": 9999}}),
            *_plain(model)[3:],
        ],
    ),
    messages_answer(
        "tool-use",
        Usage(380, 31),
        lambda model: [
            message_start(model, {"input_tokens": 380, "output_tokens": 2}),
            *tool_block("get_weather", {"city": "Köln"}),
            message_delta({"output_tokens": 31}, stop_reason="tool_use"),
            STOP,
        ],
    ),
    messages_answer(
        "a-very-long-event",
        Usage(25, 15),
        lambda model: [
            *_plain(model)[:2],
            *text_block("long " * 200_000),
            *_plain(model)[-2:],
        ],
    ),
    messages_answer(
        "no-usage", UNKNOWN, lambda model: [message_start(model, None), message_delta(None), STOP]
    ),
]


def message_object(model: str, usage: dict | None, content: list[dict] | None = None) -> bytes:
    message = {
        "id": "msg_fixed",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content or [{"type": "text", "text": TEXT}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
    }
    if usage is not None:
        message["usage"] = usage
    return json.dumps(message, ensure_ascii=False, indent=1).encode()


# --- OpenAI chat completions ---


def chat_chunk(model: str, choices: list[dict], **more: object) -> tuple[None, dict]:
    return None, {
        "id": "chatcmpl-fixed",
        "object": "chat.completion.chunk",
        "created": 1767225600,
        "model": model,
        "choices": choices,
        **more,
    }


def choice(delta: dict, finish_reason: str | None = None) -> dict:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}


CHAT_USAGE = {
    "prompt_tokens": 120,
    "completion_tokens": 30,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 100},
    "completion_tokens_details": {"reasoning_tokens": 12},
}

CHAT_REQUEST = {"messages": [{"role": "user", "content": "Say hello."}]}


def chat_body(*chunks: tuple[None, dict]) -> bytes:
    return b"".join(sse(name, data) for name, data in chunks) + sse(None, "[DONE]")


def chat_answer(
    name: str, usage: Usage, build: Callable[[str], list[tuple[None, dict]]], include: bool = True
) -> Answer:
    options = {"stream_options": {"include_usage": True}} if include else {}
    return Answer(
        name,
        "/v1/chat/completions",
        lambda model: chat_body(*build(model)),
        usage,
        CHAT_REQUEST | {"stream": True} | options,
    )


def _chat(model: str) -> list[tuple[None, dict]]:
    return [
        chat_chunk(model, [choice({"role": "assistant", "content": ""})]),
        chat_chunk(model, [choice({"content": TEXT[:4]})]),
        chat_chunk(model, [choice({"content": TEXT[4:]})]),
        chat_chunk(model, [choice({}, "stop")]),
    ]


CHAT_WITH_USAGE = chat_answer(
    "include-usage",
    Usage(20, 30, 100),
    lambda model: [*_chat(model), chat_chunk(model, [], usage=CHAT_USAGE)],
)

CHAT_STREAMS = [
    CHAT_WITH_USAGE,
    chat_answer("without-usage", UNKNOWN, _chat, include=False),
    chat_answer(
        "usage-on-a-chunk-with-choices",
        Usage(20, 30, 100),
        lambda model: [*_chat(model)[:-1], chat_chunk(model, [choice({}, "stop")], usage=CHAT_USAGE)],
    ),
    chat_answer(
        "repeated-cumulative-usage",
        Usage(20, 30, 100),
        lambda model: [
            chat_chunk(
                model,
                [choice({"content": part})],
                usage=CHAT_USAGE | {"completion_tokens": tokens, "total_tokens": 120 + tokens},
            )
            for part, tokens in (("a", 10), ("b", 20), ("c", 30))
        ],
    ),
    chat_answer(
        "null-usage-until-the-end",
        Usage(20, 30, 100),
        lambda model: [
            *((name, data | {"usage": None}) for name, data in _chat(model)),
            chat_chunk(model, [], usage=CHAT_USAGE),
        ],
    ),
]


def chat_object(model: str) -> bytes:
    return json.dumps(
        {
            "id": "chatcmpl-fixed",
            "object": "chat.completion",
            "created": 1767225600,
            "model": model,
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": TEXT},
                    "logprobs": None,
                    "finish_reason": "stop",
                }
            ],
            "usage": CHAT_USAGE,
        },
        ensure_ascii=False,
    ).encode()


# --- OpenAI Responses ---

RESPONSES_USAGE = {
    "input_tokens": 200,
    "input_tokens_details": {"cached_tokens": 150},
    "output_tokens": 60,
    "output_tokens_details": {"reasoning_tokens": 40},
    "total_tokens": 260,
}

RESPONSES_REQUEST = {"input": "Say hello."}


def response_object(model: str, status: str, usage: dict | None) -> dict:
    finished = status in ("completed", "incomplete")
    return {
        "id": "resp_fixed",
        "object": "response",
        "created_at": 1767225600,
        "status": status,
        "model": model,
        "error": {"code": "server_error", "message": "The model failed."} if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "output": [
            {
                "id": "msg_fixed",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": TEXT, "annotations": []}],
            }
        ]
        if finished
        else [],
        "usage": usage,
    }


def responses_body(model: str, end: str) -> bytes:
    events: list[tuple[str, dict]] = [
        ("response.created", {"response": response_object(model, "in_progress", None)}),
        (
            "response.output_text.delta",
            {
                "item_id": "msg_fixed",
                "output_index": 0,
                "content_index": 0,
                "delta": TEXT,
                "logprobs": [],
            },
        ),
        (f"response.{end}", {"response": response_object(model, end, RESPONSES_USAGE)}),
    ]
    return b"".join(
        sse(name, {"type": name, "sequence_number": number, **data})
        for number, (name, data) in enumerate(events)
    )


RESPONSES_STREAMS = [
    Answer(
        f"response-{end}",
        "/v1/responses",
        lambda model, end=end: responses_body(model, end),
        Usage(50, 60, 150),
        RESPONSES_REQUEST | {"stream": True},
    )
    for end in ("completed", "incomplete", "failed")
]

# --- The rest ---

EMBEDDING = [0.25, -0.5, 0.125]


def embeddings_object(model: str, encoding: str | None) -> bytes:
    vector: object = EMBEDDING
    if encoding == "base64":
        vector = base64.b64encode(struct.pack("<3f", *EMBEDDING)).decode()
    return json.dumps(
        {
            "object": "list",
            "model": model,
            "data": [{"object": "embedding", "index": 0, "embedding": vector}],
            "usage": {"prompt_tokens": 8, "total_tokens": 8},
        }
    ).encode()


OPENAI_MODELS = json.dumps(
    {
        "object": "list",
        "data": [{"id": "fake-large", "object": "model", "created": 1767225600, "owned_by": "fake"}],
    }
).encode()

ANTHROPIC_MODELS = json.dumps(
    {
        "data": [
            {
                "type": "model",
                "id": "fake-sonnet",
                "display_name": "Fake Sonnet",
                "created_at": "2026-01-01T00:00:00Z",
            }
        ],
        "has_more": False,
        "first_id": "fake-sonnet",
        "last_id": "fake-sonnet",
    }
).encode()

ALL_STREAMS = [*ANTHROPIC_STREAMS, *CHAT_STREAMS, *RESPONSES_STREAMS]


def streams(answer: Answer, piece: int | None = None) -> Callable[[Exchange], None]:
    """A scenario that plays a streamed answer, cut into pieces of so many bytes."""

    def play(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.stream(answer.body(exchange.request.json()["model"]), piece)
        exchange.end_chunks()

    return play


def ordinary(exchange: Exchange) -> None:
    """What a healthy provider answers, by path; the default of the fake upstream."""
    request = exchange.request
    path = request.path.removeprefix("/v1")
    if request.method == "GET" and path == "/models":
        exchange.whole(200, ANTHROPIC_MODELS if request.header("anthropic-version") else OPENAI_MODELS)
        return
    if request.method != "POST" or not request.body:
        exchange.whole(404, b'{"error":{"type":"not_found_error","message":"no such path"}}')
        return
    body = request.json()
    model = body.get("model", "")
    plain = {"/messages": PLAIN, "/chat/completions": CHAT_WITH_USAGE, "/responses": RESPONSES_STREAMS[0]}
    if path == "/messages/count_tokens":
        exchange.whole(200, b'{"input_tokens":14}')
    elif path == "/embeddings":
        exchange.whole(200, embeddings_object(model, body.get("encoding_format")))
    elif path in plain and body.get("stream"):
        streams(plain[path])(exchange)
    elif path == "/messages":
        exchange.whole(200, message_object(model, CACHE | {"output_tokens": 50}))
    elif path == "/chat/completions":
        exchange.whole(200, chat_object(model))
    elif path == "/responses":
        exchange.whole(200, json.dumps(response_object(model, "completed", RESPONSES_USAGE)).encode())
    else:
        exchange.whole(404, b'{"error":{"type":"not_found_error","message":"no such path"}}')
