# SPDX-License-Identifier: Apache-2.0
"""What the gateway keeps of conversations, when it is asked to: each message once, whatever is sent again."""

from __future__ import annotations

import gzip
import json
import sqlite3
from collections.abc import Iterator

import anthropic
import httpx
import httpx2
import openai
import pytest

from conftest import providers
from fake_upstream import Exchange, FakeUpstream
from program import PATIENCE, Daemon, Home, eventually
from raw_http import ask
from talking import converse, reply
from wire import message_object, sse

SHAPES = ["chat", "chat-stream", "messages", "messages-stream", "responses", "responses-stream"]


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    fake = FakeUpstream(converse)
    yield fake
    fake.close()
    assert fake.failures == []


@pytest.fixture(scope="module")
def daemon(module_home: Home, upstream: FakeUpstream) -> Iterator[Daemon]:
    # The prices are of the model all of these tests ask.
    offered = providers(upstream)
    for provider in offered.values():
        provider["prices"] = {"talker": {"input": 1, "output": 2}}
    module_home.configure(providers=offered, capture={"sources": "all"})
    running = module_home.serve()
    yield running
    assert running.process.poll() is None, f"the daemon ended during the tests: {running.errors[-20:]}"
    assert running.stop() == 0


class Client:
    """One conversation by a real SDK, which sends its whole history with every request."""

    def __init__(self, daemon: Daemon, shape: str, session: str, **headers: str) -> None:
        self.kind, _, stream = shape.partition("-")
        self.streams = bool(stream)
        self.headers = {"x-holdfast-session": session} | headers
        self.history: list = []
        self.anthropic = anthropic.Anthropic(base_url=daemon.url, api_key="k", max_retries=0)
        self.openai = openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="k", max_retries=0)

    def ask(self, text: str) -> str:
        self.history.append({"role": "user", "content": text})
        return self.send()

    def send(self, **more: object) -> str:
        options = {"model": "talker", "extra_headers": self.headers} | more
        if self.kind == "messages":
            arguments = {"max_tokens": 64, "messages": self.history} | options
            if self.streams:
                with self.anthropic.messages.stream(**arguments) as stream:
                    message = stream.get_final_message()
            else:
                message = self.anthropic.messages.create(**arguments)
            self.history.append(
                {"role": "assistant", "content": [part.to_dict() for part in message.content]}
            )
            return message.content[0].text
        if self.kind == "chat":
            if self.streams:
                with self.openai.chat.completions.stream(messages=self.history, **options) as stream:
                    message = stream.get_final_completion().choices[0].message
            else:
                message = (
                    self.openai.chat.completions.create(messages=self.history, **options).choices[0].message
                )
            kept = {"role": "assistant", "content": message.content}
            if message.tool_calls:
                kept["tool_calls"] = [
                    {"id": call.id, "type": "function", "function": call.function.to_dict()}
                    for call in message.tool_calls
                ]
            self.history.append(kept)
            return message.content
        given = {"input": self.history} | options
        if self.streams:
            with self.openai.responses.stream(**given) as stream:
                response = stream.get_final_response()
        else:
            response = self.openai.responses.create(**given)
        self.history += [item.to_dict() for item in response.output]
        return response.output_text


def show(daemon: Daemon, session: str) -> dict | None:
    status, _, body = daemon.get(f"/api/sessions/{session}?limit=1000")
    return json.loads(body) if status == 200 else None


def told(daemon: Daemon, session: str, count: int) -> list[tuple[str, object]]:
    """The messages of a session once there are so many; there are never more."""
    turns = daemon.json("/api/status")["capture"]

    def look() -> list | None:
        shown = show(daemon, session)
        return shown["messages"] if shown and len(shown["messages"]) >= count else None

    messages = eventually(f"{count} messages of {session} ({turns})", look)
    return [(message["role"], message["content"]) for message in messages]


def settled(daemon: Daemon, turns: int) -> None:
    """So many requests more than at the start have been worked off."""
    eventually(
        "everything relayed was captured",
        lambda: (
            (now := daemon.json("/api/status"))["capture"]["turns"] >= turns
            and now["capture"]["waiting"] == 0
            and now["spool"]["depth"] == 0
        ),
    )


def turns(daemon: Daemon) -> int:
    return daemon.json("/api/status")["capture"]["turns"]


def exchange(user: str) -> list[tuple[str, str]]:
    return [("user", user), ("assistant", reply(user))]


@pytest.mark.parametrize("shape", SHAPES)
def test_a_history_that_grows_is_kept_once(daemon: Daemon, shape: str) -> None:
    client = Client(daemon, shape, f"grows-{shape}")
    questions = [f"one by {shape}", "two", "two", "Grüße, 世界 👋🏽", "two"]
    for question in questions:
        assert client.ask(question) == reply(question)
    expected = [message for question in questions for message in exchange(question)]
    assert told(daemon, f"grows-{shape}", 10) == expected
    shown = show(daemon, f"grows-{shape}")
    session = shown["session"]
    assert (session["title"], session["title_from"]) == (questions[0], "derived")
    assert session["model"] == "talker"
    assert session["source"] == ("anthropic-python" if shape.startswith("messages") else "openai-python")
    if shape == "chat-stream":
        # No usage in the stream unless it is asked for.
        return
    assert session["own"]["input_tokens"] == 50
    assert session["own"]["output_tokens"] == 25
    assert session["cost_microusd"] == 5 * (10 + 2 * 5)
    answers = [message for message in shown["messages"] if message["role"] == "assistant"]
    assert all(message["output_tokens"] == 5 and message["model"] == "talker" for message in answers)


@pytest.mark.parametrize("shape", SHAPES)
def test_calls_of_tools_and_their_results_are_kept(daemon: Daemon, shape: str) -> None:
    name = f"tools-{shape}"
    client = Client(daemon, shape, name)
    client.ask("use the tool")
    if client.kind == "messages":
        result = {"type": "tool_result", "tool_use_id": "toolu_fixed", "content": "found it"}
        client.history.append({"role": "user", "content": [result]})
    elif client.kind == "chat":
        client.history.append({"role": "tool", "tool_call_id": "call_fixed", "content": "found it"})
    else:
        client.history.append({"type": "function_call_output", "call_id": "call_fixed", "output": "found it"})
    client.send()
    client.ask("thanks")
    count = 7 if client.kind == "responses" else 6
    told(daemon, name, count)
    messages = show(daemon, name)["messages"]
    assert len(messages) == count
    text = json.dumps(messages)
    assert text.count("found it") == 2, "once as the result, once in the answer to it"
    if client.kind == "messages":
        assert messages[1]["content"][1]["input"] == {"at": "it"} or client.streams
        assert messages[1]["content"][1]["name"] == "look"
    else:
        (call,) = [call for message in messages for call in message.get("tool_calls", [])]
        assert (call["id"], call["function"]["name"]) == ("call_fixed", "look")
        assert json.loads(call["function"]["arguments"]) == {"at": "it"}
        assert [m["tool_call_id"] for m in messages if m["role"] == "tool"] == ["call_fixed"]


def test_nothing_is_kept_unless_somebody_asks(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream
) -> None:
    home.configure(providers=providers(upstream))
    daemons.append(daemon := home.serve())
    Client(daemon, "chat", "secret").ask("keep this to yourself")
    assert daemon.json("/api/status")["capture"] is None
    assert daemon.terminate() == 0
    assert home.json_lines("sessions", "list", "--all") == []
    for file in home.path.rglob("*"):
        assert not file.is_file() or b"keep this" not in file.read_bytes(), file


def test_only_the_programs_named_are_captured_and_only_with_a_session(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream
) -> None:
    home.configure(providers=providers(upstream), capture={"sources": ["openai-python", "mine"]})
    daemons.append(daemon := home.serve())
    Client(daemon, "messages", "other").ask("not named")
    Client(daemon, "messages", "by-header", **{"x-holdfast-source": "mine"}).ask("named by its header")
    client = Client(daemon, "chat", "no-session")
    client.headers = {}
    client.ask("without a session")
    Client(daemon, "chat", "named").ask("named")
    settled(daemon, 2)
    ids = {session["id"] for session in daemon.json("/api/sessions")["sessions"]}
    assert ids == {"by-header", "named"}


@pytest.mark.parametrize("shape", ["chat", "messages", "responses"])
def test_a_client_that_drops_the_beginning_puts_nothing_there_twice(daemon: Daemon, shape: str) -> None:
    name = f"window-{shape}"
    client = Client(daemon, shape, name)
    expected = []
    for number in range(8):
        # It remembers the last two turns.
        keep = 3 if shape == "responses" else 2
        client.history = client.history[-2 * keep :]
        client.ask(f"turn {number}")
        expected += exchange(f"turn {number}")
    assert told(daemon, name, len(expected)) == expected


def test_a_client_that_goes_back_leaves_what_was_said(daemon: Daemon) -> None:
    client = Client(daemon, "chat", "back")
    for question in ("first", "second", "third"):
        client.ask(question)
    del client.history[2:]
    client.ask("second, better")
    client.ask("and on")
    assert told(daemon, "back", 10) == [
        message
        for question in ("first", "second", "third", "second, better", "and on")
        for message in exchange(question)
    ]


def test_another_answer_to_the_same_question_is_another_answer(daemon: Daemon) -> None:
    client = Client(daemon, "chat", "again")
    client.ask("what now")
    del client.history[-1:]
    client.send()
    client.ask("fine")
    assert told(daemon, "again", 5) == [*exchange("what now"), *exchange("what now")[1:], *exchange("fine")]


def test_old_messages_in_other_words_stay_as_they_were(daemon: Daemon) -> None:
    client = Client(daemon, "messages", "reworded")
    client.ask("with a <reminder>")
    client.history[0]["content"] = "with a"
    client.ask("go on")
    client.history[2]["content"] = [
        {"type": "text", "text": " go on\n", "cache_control": {"type": "ephemeral"}}
    ]
    client.ask("done")
    assert told(daemon, "reworded", 6) == [
        message for question in ("with a <reminder>", "go on", "done") for message in exchange(question)
    ]


def test_a_summary_in_place_of_the_beginning_is_added_at_the_end(daemon: Daemon) -> None:
    client = Client(daemon, "messages", "summary")
    for question in ("one", "two", "three"):
        client.ask(question)
    client.history = [{"role": "user", "content": "Summary: they counted. Now four."}]
    client.send()
    assert told(daemon, "summary", 8)[6:] == exchange("Summary: they counted. Now four.")


def test_instructions_are_kept_once_wherever_they_stand(daemon: Daemon) -> None:
    client = Client(daemon, "chat", "instructed")
    client.history = [{"role": "system", "content": "Be brief."}]
    client.ask("one")
    client.ask("two")
    client.history[0] = {"role": "developer", "content": "Be brief."}
    client.ask("three")
    client.history[0] = {"role": "system", "content": "Be long."}
    client.ask("four")
    messages = told(daemon, "instructed", 10)
    assert [content for role, content in messages if role in {"system", "developer"}] == [
        "Be brief.",
        "Be long.",
    ]
    assert len(messages) == 10


def test_responses_that_go_on_from_a_stored_one_tell_only_what_is_new(daemon: Daemon) -> None:
    client = openai.OpenAI(base_url=f"{daemon.url}/v1", api_key="k", max_retries=0)
    before = None
    for text in ("hello", "again", "again"):
        answer = client.responses.create(
            model="talker",
            input=text,
            previous_response_id=before,
            extra_headers={"x-holdfast-session": "stored"},
        )
        before = answer.id
    assert told(daemon, "stored", 6) == [m for text in ("hello", "again", "again") for m in exchange(text)]


@pytest.mark.parametrize("shape", ["chat-stream", "messages-stream", "responses-stream"])
def test_an_answer_that_was_cut_is_kept_as_far_as_it_came(daemon: Daemon, shape: str) -> None:
    name = f"cut-{shape}"
    client = Client(daemon, shape, name)
    with pytest.raises((httpx.HTTPError, httpx2.HTTPError, openai.APIError, anthropic.APIError)):
        client.ask("break")
    messages = told(daemon, name, 2)
    assert messages[0] == ("user", "break")
    assert reply("break").startswith(messages[1][1])
    assert messages[1][1]
    assert show(daemon, name)["messages"][1]["finish_reason"] == "cut"
    # The client knows less of it, or nothing.
    if client.history[-1]["role"] == "assistant":
        del client.history[-1]
    client.history.append({"role": "assistant", "content": messages[1][1][:5]})
    client.ask("go on")
    assert told(daemon, name, 4) == [*messages, *exchange("go on")]


def test_what_the_provider_refused_is_not_kept(daemon: Daemon, upstream: FakeUpstream) -> None:
    def refuse(exchange: Exchange) -> None:
        exchange.whole(429, b'{"error":{"message":"slow down","type":"rate_limit_error"}}')

    client = Client(daemon, "chat", "limited", **upstream.scenario(refuse))
    before = turns(daemon)
    with pytest.raises(openai.RateLimitError):
        client.ask("please")
    client.headers = {"x-holdfast-session": "limited"}
    client.send()
    settled(daemon, before + 1)
    assert told(daemon, "limited", 2) == exchange("please")


def test_a_sub_agent_has_a_session_of_its_own_below(daemon: Daemon) -> None:
    headers = {"x-claude-code-session-id": "cc", "user-agent": "claude-cli/2.1.329 (external, cli)"}
    main = Client(daemon, "messages", "unused", **headers)
    del main.headers["x-holdfast-session"]
    main.ask("divide the work")
    for agent, parent in (("a1", None), ("a2", "a1")):
        below = Client(daemon, "messages", "unused", **headers | {"x-claude-code-agent-id": agent})
        del below.headers["x-holdfast-session"]
        if parent:
            below.headers["x-claude-code-parent-agent-id"] = parent
        below.ask(f"part of {agent}")
    told(daemon, "cc%2Fagent-a2", 2)
    tree = daemon.json("/api/sessions/cc/tree")
    (child,) = tree["children"]
    (grandchild,) = child["children"]
    assert [node["session"]["id"] for node in (tree, child, grandchild)] == [
        "cc",
        "cc/agent-a1",
        "cc/agent-a2",
    ]
    assert child["session"]["edge"] == "subagent"
    assert tree["session"]["source"] == "claude-code"
    assert tree["session"]["cost_microusd"] == 3 * 20


def test_captured_bytes_are_relayed_untouched_G01(daemon: Daemon, upstream: FakeUpstream) -> None:
    body = b'{"model" : "talker","messages":[{"role":"user","content":"h\\u00e9"}],  "stream":true}'
    headers = [("content-type", "application/json"), ("authorization", "Bearer k")]
    answers = []
    for url in (upstream.url, daemon.url):
        answers.append(
            ask(url, "POST", "/v1/chat/completions", [*headers, ("x-holdfast-session", "raw")], body).body
        )
    assert answers[0] == answers[1]
    assert upstream.requests[-1].body == body
    assert upstream.requests[-1].header("x-holdfast-session") is None
    assert told(daemon, "raw", 2) == exchange("hé")


def test_compressed_answers_are_read(daemon: Daemon, upstream: FakeUpstream) -> None:
    def compressed(exchange: Exchange) -> None:
        text = [{"type": "text", "text": "squeezed"}]
        body = message_object("talker", {"input_tokens": 1, "output_tokens": 1}, text)
        exchange.whole(200, gzip.compress(body), [("content-encoding", "gzip")])

    Client(daemon, "messages", "gzip", **upstream.scenario(compressed)).ask("small")
    assert told(daemon, "gzip", 2) == [("user", "small"), ("assistant", "squeezed")]


def test_an_answer_that_cannot_be_read_is_counted_and_comes_with_the_next_request(
    daemon: Daemon, upstream: FakeUpstream
) -> None:
    def strange(exchange: Exchange) -> None:
        exchange.whole(200, b"\x0b\x02\x80not really", [("content-encoding", "br")])

    before = daemon.json("/api/status")["capture"]["skipped"].get("compressed", 0)
    headers = [("content-type", "application/json"), ("x-holdfast-session", "brotli")]
    request = {"model": "talker", "messages": [{"role": "user", "content": "first"}]}
    scenario = list(upstream.scenario(strange).items())
    ask(daemon.url, "POST", "/v1/chat/completions", [*headers, *scenario], json.dumps(request).encode())
    assert told(daemon, "brotli", 1) == [("user", "first")]
    status = daemon.json("/api/status")
    assert status["capture"]["skipped"]["compressed"] == before + 1
    assert "capture-incomplete" in {finding["code"] for finding in status["findings"]}
    request["messages"] += [
        {"role": "assistant", "content": "what it was"},
        {"role": "user", "content": "second"},
    ]
    ask(daemon.url, "POST", "/v1/chat/completions", headers, json.dumps(request).encode())
    assert told(daemon, "brotli", 4) == [
        ("user", "first"),
        ("assistant", "what it was"),
        *exchange("second"),
    ]


def test_nonsense_costs_no_request_and_is_counted(daemon: Daemon, upstream: FakeUpstream) -> None:
    def nonsense(exchange: Exchange) -> None:
        exchange.begin_stream()
        exchange.stream(sse(None, "{not json") + sse("message_start", "[1,2,") + b"\xff\xfe\n\n")
        exchange.end_chunks()

    before = daemon.json("/api/status")["capture"]["skipped"].get("unreadable", 0)
    headers = [("content-type", "application/json"), ("x-holdfast-session", "nonsense")]
    for body in (
        b"not json",
        b'{"model":"talker"}',
        b'{"messages":3}',
        b"[" * 5000,
        b'{"messages":[1,null,{}]}',
    ):
        scenario = list(upstream.scenario(nonsense).items())
        sent = [*headers, *scenario]
        # The bodies' model is not looked for by this upstream.
        assert ask(daemon.url, "POST", "/v1/messages", sent, body).status == 200
    eventually(
        "all were counted",
        lambda: daemon.json("/api/status")["capture"]["skipped"].get("unreadable", 0) >= before + 5,
    )
    assert daemon.get("/health")[0] == 200


def test_a_restart_in_the_middle_puts_nothing_there_twice(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream
) -> None:
    home.configure(providers=providers(upstream), capture={"sources": "all"})
    daemons.append(daemon := home.serve())
    client = Client(daemon, "messages", "restarted")
    client.ask("before")
    told(daemon, "restarted", 2)
    daemon.kill()
    daemons.append(daemon := home.serve())
    other = Client(daemon, "messages", "restarted")
    other.history = client.history
    other.ask("after")
    assert told(daemon, "restarted", 4) == [*exchange("before"), *exchange("after")]
    # Politely, right behind an answer: everything relayed is in the store.
    other.ask("last")
    assert daemon.terminate() == 0
    shown = json.loads(home.run("sessions", "show", "restarted", "--json").stdout)
    assert len(shown["messages"]) == 6


def test_a_locked_store_holds_up_no_request_and_every_message_lands(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream
) -> None:
    home.configure(providers=providers(upstream), capture={"sources": "all"})
    daemons.append(daemon := home.serve())
    client = Client(daemon, "chat", "locked")
    client.ask("before")
    told(daemon, "locked", 2)
    holder = sqlite3.connect(home.path / "sessions.db", isolation_level=None, timeout=PATIENCE)
    holder.execute("BEGIN IMMEDIATE")
    # Each answer comes while the store is held; a session nobody knows is taken up as well.
    for number in range(5):
        assert client.ask(f"held {number}") == reply(f"held {number}")
    assert Client(daemon, "chat", "new-while-locked").ask("hello") == reply("hello")
    eventually("they wait", lambda: daemon.json("/api/status")["spool"]["depth"] >= 10)
    holder.execute("ROLLBACK")
    holder.close()
    assert told(daemon, "locked", 12) == [
        m for text in ("before", *(f"held {number}" for number in range(5))) for m in exchange(text)
    ]
    assert told(daemon, "new-while-locked", 2) == exchange("hello")


def test_what_does_not_fit_is_counted_and_costs_no_request(daemon: Daemon) -> None:
    before = daemon.json("/api/status")["capture"]["skipped"].get("too_large", 0)
    padding = " " * (33 << 20)
    body = json.dumps({"model": "talker", "messages": [{"role": "user", "content": "big"}]}) + padding
    headers = [("content-type", "application/json"), ("x-holdfast-session", "too-big")]
    assert ask(daemon.url, "POST", "/v1/chat/completions", headers, body.encode()).status == 200
    status = daemon.json("/api/status")["capture"]
    assert status["skipped"]["too_large"] == before + 1
    assert show(daemon, "too-big") is None
    assert f'holdfast_capture_skipped_total{{reason="too_large"}} {before + 1}' in (
        daemon.get("/metrics")[2].decode().splitlines()
    )
    eventually("memory is given back", lambda: b"\nholdfast_capture_bytes 0\n" in daemon.get("/metrics")[2])


def test_a_large_picture_is_left_out_and_its_message_kept(daemon: Daemon) -> None:
    client = Client(daemon, "chat", "picture")
    url = "data:image/png;base64," + "A" * 6_000_000
    client.history.append(
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "see"}],
        }
    )
    client.send()
    client.ask("more")
    messages = told(daemon, "picture", 4)
    assert len(messages) == 4
    assert "not captured" in messages[0][1][0]["image_url"]["url"]
    assert messages[0][1][1]["text"] == "see"


@pytest.mark.parametrize(
    ("capture", "word"),
    [
        ({"sources": "some"}, "capture.sources"),
        ({}, "capture needs its sources"),
        ({"programs": ["x"]}, "programs"),
        ("yes", "capture is a mapping"),
        ({"sources": [1, {"a": 2}]}, "capture.sources"),
    ],
)
def test_a_configuration_that_cannot_be_meant_is_refused(home: Home, capture: object, word: str) -> None:
    home.configure(capture=capture)
    done = home.run("serve", "--port", "0", check=False)
    assert done.returncode == 78
    assert word in done.stderr
