# SPDX-License-Identifier: Apache-2.0
"""What clients prove themselves with is sent on and kept nowhere: rows, logs, metrics, pages, backups."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import subprocess
from pathlib import Path

import pytest

from conftest import providers
from fake_upstream import Exchange, FakeUpstream
from program import PROGRAM, Daemon, Home, eventually
from raw_http import ask
from wire import MESSAGES_REQUEST, PLAIN

# Each stands for itself, so that a find says where it came in.
SECRETS = {
    "authorization": "sk-secret-authorization-1f3870be274f",
    "x-api-key": "sk-ant-secret-x-api-key-8d3f42a1c0",
    "api-key": "azure-secret-api-key-55aa9911",
    "x-goog-api-key": "AIzaSecretGoogHeader77Qw",
    "cookie": "session=cookie-secret-c4ca4238a0b9",
    "proxy-authorization": "Basic proxy-secret-eccbc87e4b5c",
    "x-holdfast-token": "holdfast-token-secret-a87ff679a2f3",
}
QUERY = "AIzaSecretQueryKey1679091c5a88"
# A key pasted into a field that is kept otherwise.
PROMPT = "sk-secret-in-the-prompt-e4da3b7fbbce"
ANSWER = "sk-secret-in-the-answer-c9f0f895fb98"
ENVIRONMENT = "sk-secret-of-the-environment-45c48cce2e2d"
ALL = [*SECRETS.values(), QUERY, PROMPT, ANSWER, ENVIRONMENT]


def found(data: bytes, where: str) -> list[str]:
    return [f"{secret} in {where}" for secret in ALL if secret.encode() in data]


def found_in_files(home: Home) -> list[str]:
    finds: list[str] = []
    for directory, _, names in os.walk(home.path):
        for name in names:
            path = Path(directory, name)
            if path.is_file() and name != "config.yaml":
                finds += found(path.read_bytes(), str(path.relative_to(home.path)))
    return finds


def failing(exchange: Exchange) -> None:
    """An upstream that quotes what it was sent, as some do."""
    said = json.dumps({"error": {"message": f"Incorrect API key provided: {ANSWER}", "type": "auth"}})
    exchange.whole(401, said.encode(), [("set-cookie", SECRETS["cookie"])])


def limited(exchange: Exchange) -> None:
    exchange.whole(429, json.dumps({"error": {"message": f"{ANSWER} is over its limit"}}).encode())


def garbled(exchange: Exchange) -> None:
    exchange.raw(f"HTTP/1.1 200 OK\r\nbad header {ANSWER}\r\n\r\n".encode())
    exchange.close()


def vanishing(exchange: Exchange) -> None:
    exchange.close()


def test_no_secret_is_kept_or_shown_wherever_it_came_in(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream
) -> None:
    dead = {"kind": "openai", "base_url": "http://127.0.0.1:1/v1"}
    google = {"kind": "gemini", "base_url": upstream.url}
    served = providers(upstream)
    served["openai"]["api_key_env"] = "OPENAI_API_KEY"
    home.configure(providers={**served, "dead": dead, "google": google})
    daemons.append(daemon := home.serve(OPENAI_API_KEY=ENVIRONMENT, HOLDFAST_LOG_LEVEL="trace"))
    headers = [
        (name, f"Bearer {value}" if name == "authorization" else value) for name, value in SECRETS.items()
    ]
    headers += [("content-type", "application/json"), ("user-agent", "agent/1.0")]
    request = MESSAGES_REQUEST | {"model": "kept", "messages": [{"role": "user", "content": PROMPT}]}
    body = json.dumps(request).encode()
    paths = [
        "/v1/messages",
        "/v1/chat/completions",
        "/v1/responses",
        "/dead/chat/completions",
        "/google/v1beta/models/gemini-x:generateContent",
        "/v1/nonsense",
        "/api/usage",
        "/nowhere",
    ]
    scenarios = [{}, *(upstream.scenario(answer) for answer in (failing, limited, garbled, vanishing))]
    for path in paths:
        for scenario in scenarios:
            with contextlib.suppress(ConnectionError):
                ask(daemon.url, "POST", f"{path}?key={QUERY}", [*headers, *scenario.items()], body)
    # Requests that are refused for their own sake.
    for extra in ([("origin", "https://evil.example")], [("x-holdfast-provider", "nobody")]):
        refused = ask(daemon.url, "POST", f"/v1/messages?key={QUERY}", [*headers, *extra], body)
        assert 400 <= refused.status < 500
        assert found(refused.body, "a refusal") == []
    # A request with no key of its own gets the environment's.
    plain = [("content-type", "application/json")]
    ask(daemon.url, "POST", "/v1/chat/completions", plain, body)
    assert f"Bearer {ENVIRONMENT}" in [request.header("authorization") for request in upstream.requests]

    eventually("the rows are in", lambda: home.report().get("kept", {}).get("requests", 0) >= 10)
    finds: list[str] = []
    for page in [
        "/",
        "/metrics",
        "/ready",
        "/api/status",
        "/api/usage",
        "/api/usage?by=session",
        "/api/usage?by=source",
        "/api/requests",
        "/api/dashboard",
        "/api/models",
        "/api/sessions",
        "/api/mailboxes",
        "/v1/models",
    ]:
        finds += found(daemon.get(page)[2], page)
    for command in (["status"], ["usage", "report"], ["models", "providers"], ["models", "list"]):
        said = home.run(*command, check=False)
        finds += found((said.stdout + said.stderr).encode(), " ".join(command))
    # Files while it runs (the WAL, the spool), then what is left, then backups.
    finds += found_in_files(home)
    home.run("backup", check=False)
    assert daemon.terminate() == 0
    finds += found_in_files(home)
    finds += found("\n".join(daemon.errors + daemon.output).encode(), "the log")
    assert finds == []


@pytest.mark.parametrize(
    "text",
    [
        f"auth: {{token: '{ENVIRONMENT} with a space'}}",
        f"auth: {{token: [{ENVIRONMENT}]}}",
        f"auth: {{token: x{ENVIRONMENT[:10]}}}",
        f"providers: {{x: {{kind: openai, base_url: 'http://user:{ENVIRONMENT}@h/v1'}}}}",
        f"providers: {{x: {{kind: openai, base_url: 'ftp://user:{ENVIRONMENT}@h/v1'}}}}",
    ],
)
def test_a_configuration_that_is_refused_is_not_quoted_with_its_secrets(home: Home, text: str) -> None:
    home.path.mkdir(mode=0o700)
    (home.path / "config.yaml").write_text(text, encoding="utf-8")
    said = home.run("serve", "--port", "0", check=False)
    assert said.returncode == 78, said.stderr
    assert found((said.stdout + said.stderr).encode(), "the message") == []
    assert ENVIRONMENT[:10] not in said.stdout + said.stderr


@pytest.mark.parametrize("umask", ["000", "022", "077"])
def test_files_are_the_users_own_whatever_the_umask(
    tmp_path: Path, daemons: list[Daemon], upstream: FakeUpstream, umask: str
) -> None:
    class Masked(Home):
        def command(self, *arguments: str) -> list[str]:
            return ["sh", "-c", f'umask {umask} && exec "$0" "$@"', *super().command(*arguments)]

    home = Masked(tmp_path / "user")
    daemons.append(
        daemon := home.serve(
            ANTHROPIC_BASE_URL=upstream.url, OPENAI_BASE_URL=f"{upstream.url}/v1", ANTHROPIC_API_KEY="k"
        )
    )
    body = json.dumps(MESSAGES_REQUEST | {"model": "mode"}).encode()
    ask(daemon.url, "POST", "/v1/messages", [("x-api-key", "k")], body)
    daemon.requests_of("mode")
    home.run("sessions", "create", "--id", "s")
    home.run("sessions", "append", "s", "--role", "user", "--content", "words")
    home.run("mailbox", "send", "agent/session", "--content", "{}")
    home.run("backup")
    assert modes(home) == []
    daemon.terminate()
    assert modes(home) == []


def modes(home: Home) -> list[str]:
    """What others may read of a home."""
    wrong: list[str] = []
    for directory, _, names in os.walk(home.path):
        for path in (Path(directory), *(Path(directory, name) for name in names)):
            with contextlib.suppress(FileNotFoundError):
                mode = stat.S_IMODE(path.stat().st_mode)
                if mode & 0o077:
                    wrong.append(f"{mode:o} {path.relative_to(home.path)}")
    return wrong


def test_the_program_says_its_version_and_nothing_of_its_environment() -> None:
    said = subprocess.run(
        [str(PROGRAM), "serve", "--help"],
        env={"PATH": os.environ["PATH"], "OPENAI_API_KEY": ENVIRONMENT},
        capture_output=True,
        check=True,
    )
    assert found(said.stdout + said.stderr, "the help") == []


def test_what_a_provider_answers_is_not_in_the_rows(
    daemon: Daemon, upstream: FakeUpstream, model: str
) -> None:
    body = json.dumps(PLAIN.request | {"model": model}).encode()
    headers = [("x-api-key", "k"), *upstream.scenario(failing).items()]
    assert ask(daemon.url, "POST", PLAIN.path, headers, body).status == 401
    daemon.requests_of(model)
    assert found_in_files(daemon.home) == []
