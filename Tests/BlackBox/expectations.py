# SPDX-License-Identifier: Apache-2.0
"""What several test modules ask for and check in the same way."""

from __future__ import annotations

import json
from dataclasses import asdict

from raw_http import Response, ask
from wire import Answer, Usage

ANTHROPIC_HEADERS = [
    ("content-type", "application/json"),
    ("accept", "application/json"),
    ("anthropic-version", "2023-06-01"),
    ("x-api-key", "sk-client"),
    ("user-agent", "Anthropic/Python 2.11.0"),
]

OPENAI_HEADERS = [
    ("content-type", "application/json"),
    ("accept", "application/json"),
    ("authorization", "Bearer sk-client"),
    ("user-agent", "OpenAI/Python 3.52.0"),
]


def headers_for(path: str) -> list[tuple[str, str]]:
    return ANTHROPIC_HEADERS if path.startswith("/v1/messages") else OPENAI_HEADERS


def post(base_url: str, path: str, request: dict, scenario: dict[str, str] | None = None) -> Response:
    """A POST as an SDK makes it, in raw bytes."""
    headers = [*headers_for(path), *(scenario or {}).items()]
    return ask(base_url, "POST", path, headers, json.dumps(request).encode())


def post_answer(base_url: str, answer: Answer, model: str, scenario: dict[str, str]) -> Response:
    return post(base_url, answer.path, answer.request | {"model": model}, scenario)


def assert_usage(line: dict, usage: Usage, requests: int = 1) -> None:
    """A report's line holds this usage so many times; what the upstream did not say is counted as unknown."""
    assert line["requests"] == requests
    assert line["unknown"] == (requests if usage.input is None and usage.output is None else 0)
    reported = {name: line[f"{name}_tokens"] for name in asdict(usage)}
    assert reported == {name: (tokens or 0) * requests for name, tokens in asdict(usage).items()}
