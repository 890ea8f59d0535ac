# SPDX-License-Identifier: Apache-2.0
"""An upstream that converses: each answer follows from what was said last, in the shape asked for."""

from __future__ import annotations

import itertools
import json

from fake_upstream import Exchange
from wire import (
    chat_body,
    chat_chunk,
    choice,
    message_delta,
    message_object,
    message_start,
    messages_body,
    sse,
    text_block,
    tool_block,
)

CALL = "call_fixed"
_numbers = itertools.count(1)


def words(content: object) -> str:
    """The last text in a message's content."""
    if isinstance(content, str):
        return content
    texts = [part.get("text") or part.get("content") or part.get("output") or "" for part in content or []]
    return str(texts[-1]) if texts else ""


def reply(text: str) -> str:
    return f"You said: {text}"


def converse(exchange: Exchange) -> None:
    """Says what was said; asked to `use the tool` it calls one; asked to `break` it stops halfway."""
    path = exchange.request.path.removeprefix("/v1")
    if exchange.request.method == "GET":
        # The daemon asks for the models; this vendor does not tell them.
        exchange.whole(404, b"{}")
        return
    request = exchange.request.json()
    if path == "/messages":
        anthropic(exchange, request)
    elif path == "/chat/completions":
        chat(exchange, request)
    elif path == "/responses":
        responses(exchange, request)
    else:
        exchange.whole(404, b"{}")


def anthropic(exchange: Exchange, request: dict) -> None:
    said = words(request["messages"][-1]["content"])
    model, usage = request["model"], {"input_tokens": 10, "output_tokens": 5}
    calls = said == "use the tool"
    if not request.get("stream"):
        content = [{"type": "text", "text": reply(said)}]
        if calls:
            content.append({"type": "tool_use", "id": "toolu_fixed", "name": "look", "input": {"at": "it"}})
        exchange.whole(200, message_object(model, usage, content))
        return
    blocks = text_block(reply(said))
    if calls:
        blocks += tool_block("look", {"at": "it"}, index=1)
    body = messages_body(
        message_start(model, usage | {"output_tokens": 1}), *blocks, message_delta({"output_tokens": 5})
    )
    play(exchange, body, sse("message_stop", {"type": "message_stop"}), breaks=said == "break")


def chat(exchange: Exchange, request: dict) -> None:
    said = words(request["messages"][-1]["content"])
    model = request["model"]
    call = {"id": CALL, "type": "function", "function": {"name": "look", "arguments": '{"at": "it"}'}}
    calls = said == "use the tool"
    if not request.get("stream"):
        message = {"role": "assistant", "content": reply(said)} | ({"tool_calls": [call]} if calls else {})
        body = {
            "id": f"chatcmpl-{next(_numbers)}",
            "object": "chat.completion",
            "created": 1,
            "model": model,
            "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls" if calls else "stop"}],
            "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
        }
        exchange.whole(200, json.dumps(body).encode())
        return
    text = reply(said)
    deltas = [{"role": "assistant", "content": ""}, {"content": text[:4]}, {"content": text[4:]}]
    if calls:
        deltas.append({"tool_calls": [call | {"index": 0}]})
    body = chat_body(*(chat_chunk(model, [choice(delta)]) for delta in deltas))
    # chat_body ends with [DONE]; here the end comes by itself.
    body = body.removesuffix(b"data: [DONE]\n\n")
    end = sse(*chat_chunk(model, [choice({}, "tool_calls" if calls else "stop")])) + b"data: [DONE]\n\n"
    play(exchange, body, end, breaks=said == "break")


def responses(exchange: Exchange, request: dict) -> None:
    given = request["input"]
    last = given if isinstance(given, str) else given[-1]
    said = last if isinstance(last, str) else words(last.get("content") or last.get("output"))
    name = f"resp_{next(_numbers)}"
    text = reply(said)
    output: list[dict] = [
        {"type": "reasoning", "id": f"rs_{name}", "summary": []},
        {
            "type": "message",
            "id": f"msg_{name}",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": text, "annotations": []}],
        },
    ]
    if said == "use the tool":
        output.append(
            {
                "type": "function_call",
                "id": f"fc_{name}",
                "call_id": CALL,
                "name": "look",
                "arguments": '{"at":"it"}',
                "status": "completed",
            }
        )
    response = {
        "id": name,
        "object": "response",
        "created_at": 1,
        "status": "completed",
        "model": request["model"],
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 10,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 5,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 15,
        },
    }
    if not request.get("stream"):
        exchange.whole(200, json.dumps(response).encode())
        return
    begun = response | {"status": "in_progress", "output": [], "usage": None}
    events = [
        ("response.created", {"response": begun}),
        (
            "response.output_item.added",
            {"output_index": 1, "item": output[1] | {"content": [], "status": "in_progress"}},
        ),
        (
            "response.content_part.added",
            {
                "output_index": 1,
                "content_index": 0,
                "item_id": output[1]["id"],
                "part": {"type": "output_text", "text": "", "annotations": []},
            },
        ),
        *(
            (
                "response.output_text.delta",
                {
                    "output_index": 1,
                    "content_index": 0,
                    "item_id": output[1]["id"],
                    "delta": piece,
                    "logprobs": [],
                },
            )
            for piece in (text[:4], text[4:])
        ),
    ]
    body = b"".join(
        sse(name, {"type": name, "sequence_number": number} | data)
        for number, (name, data) in enumerate(events)
    )
    end = sse(
        "response.completed", {"type": "response.completed", "sequence_number": 9, "response": response}
    )
    play(exchange, body, end, breaks=said == "break")


def play(exchange: Exchange, body: bytes, end: bytes, breaks: bool) -> None:
    exchange.begin_stream()
    exchange.stream(body, piece=7)
    if breaks:
        exchange.close()
        return
    exchange.stream(end)
    exchange.end_chunks()
