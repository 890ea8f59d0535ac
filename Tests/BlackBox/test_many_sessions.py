# SPDX-License-Identifier: Apache-2.0
"""The tool, the gateway with its sub-agents, and two writers like cron jobs fill one sessions.db at once."""

from __future__ import annotations

import http.client
import json
import subprocess
import threading
from urllib.parse import urlsplit

import pytest

from conftest import providers
from fake_upstream import FakeUpstream
from foreign import connected, integrity, write_lock_held
from program import PATIENCE, Daemon, Home, eventually
from talking import converse, reply, words

SUB_AGENTS = 50
SUMS = ("input_tokens", "output_tokens", "cost_microusd")


class Worker(threading.Thread):
    """Keeps what its work raised, for the test to see."""

    def __init__(self, work, *arguments: object) -> None:
        super().__init__()
        self.work, self.arguments = work, arguments
        self.errors: list[str] = []

    def run(self) -> None:
        try:
            self.work(*self.arguments)
        except BaseException as error:
            self.errors.append(f"{self.work.__name__}{self.arguments[1:]}: {error!r}")


class Acknowledged:
    """The uids of each session in the order in which their lines were printed."""

    def __init__(self) -> None:
        self.uids: dict[str, list[str]] = {}

    def append(self, home: Home, session: str, count: int) -> None:
        """One process, fed as fast as it takes it, which prints a line for each message that is on disk."""
        known = self.uids.setdefault(session, [])
        first = len(known)
        process = subprocess.Popen(
            home.command("sessions", "append", session, "--jsonl", "-", "--json"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=home.environment(),
        )

        def feed() -> None:
            for number in range(first, first + count):
                role = "assistant" if number % 2 else "user"
                message = {
                    "uid": f"{session}-{number}",
                    "role": role,
                    "content": f"word{number} of {session}",
                }
                if number % 2:
                    message |= {"input_tokens": 7, "output_tokens": 3, "cost_microusd": 11}
                process.stdin.write(json.dumps(message) + "\n")
            process.stdin.close()

        feeder = threading.Thread(target=feed)
        feeder.start()
        for line in process.stdout:
            known.append(json.loads(line)["uid"])
        feeder.join()
        said = process.stderr.read()
        assert process.wait(timeout=PATIENCE) == 0, said
        assert said == ""
        assert len(known) == first + count


def converse_as(daemon: Daemon, root: str, agent: int, turns: int) -> None:
    """A sub-agent: asks through the gateway, with its whole history each time."""
    address = urlsplit(daemon.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=PATIENCE * 2)
    headers = {
        "content-type": "application/json",
        "x-api-key": "k",
        "user-agent": "claude-cli/2.1.329 (external, cli)",
        "x-claude-code-session-id": root,
        "x-claude-code-agent-id": f"a{agent}",
    }
    history = []
    for turn in range(turns):
        text = f"turn{turn} of agent {agent}"
        history.append({"role": "user", "content": text})
        body = {"model": "talker", "max_tokens": 64, "messages": history}
        connection.request("POST", "/v1/messages", json.dumps(body), headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
        assert response.status == 200, answer
        history.append({"role": "assistant", "content": answer["content"][0]["text"]})
    connection.close()


def look(home: Home, daemon: Daemon, stop: threading.Event, seen: list[int]) -> None:
    """Searches by the daemon and by the tool, which read the same index in turn."""
    while not stop.is_set():
        answer = daemon.json("/api/search?q=word1&limit=5")
        assert answer["lag"] >= 0
        (told,) = home.json_lines("sessions", "search", "word1", "--limit", "5")
        seen.append(max(len(answer["hits"]), len(told["hits"])))


def fill_together(home: Home, upstream: FakeUpstream, messages: int) -> str:
    """Lets everyone append at once, checks every row, and says how much it was."""
    turns = max(2, messages // 10 // SUB_AGENTS // 2)
    rest = (messages - SUB_AGENTS * turns * 2) // 3
    offered = providers(upstream)
    for provider in offered.values():
        provider["prices"] = {"talker": {"input": 1, "output": 2}}
    home.configure(providers=offered, capture={"sources": "all"})
    daemon = home.serve()
    stop = threading.Event()
    seen: list[int] = []
    acknowledged = Acknowledged()

    def tool() -> None:
        acknowledged.append(home, "tool", rest)

    def cron(name: str) -> None:
        # A job now and then, each a process of its own, two days to a session.
        for job in range(10):
            acknowledged.append(home, f"{name}-{job // 2}", rest // 10)

    agents = [Worker(converse_as, daemon, "root", agent, turns) for agent in range(SUB_AGENTS)]
    writers = [Worker(tool), Worker(cron, "hourly"), Worker(cron, "nightly"), *agents]
    reader = Worker(look, home, daemon, stop, seen)
    try:
        for worker in [reader, *writers]:
            worker.start()
        for worker in writers:
            worker.join()
        stop.set()
        reader.join()
        assert [error for worker in [reader, *writers] for error in worker.errors] == []
        written = sum(map(len, acknowledged.uids.values())) + SUB_AGENTS * turns * 2
        captured = eventually(
            "every conversation has landed",
            lambda: (
                (now := daemon.json("/api/status"))["capture"]["messages"] >= SUB_AGENTS * turns * 2 and now
            ),
        )
        assert captured["capture"]["skipped"] == {}
        status = eventually(
            "the index has followed",
            lambda: (now := daemon.json("/api/status"))["search"]["lag"] == 0 and now,
            within=PATIENCE * 10,
        )
        assert status["health"] == "ok"
        found = daemon.json("/api/search?q=word1%20session:tool")
        assert (found["lag"], len(found["hits"])) == (0, 1)
    finally:
        stop.set()
        assert daemon.stop() == 0
    check(home, acknowledged, turns, written)
    return f"{written} messages, {len(seen)} searches by each of two readers meanwhile"


def check(home: Home, acknowledged: Acknowledged, turns: int, written: int) -> None:
    path = home.path / "sessions.db"
    with connected(path) as connection:

        def rows(statement: str, *arguments: object) -> list[tuple]:
            return connection.execute(statement, arguments).fetchall()

        assert rows("SELECT count(*) FROM message") == [(written,)]
        in_order = "FROM message JOIN session ON key = session WHERE session.id = ? ORDER BY seq"
        for session, uids in acknowledged.uids.items():
            stored = [uid for (uid,) in rows(f"SELECT uid {in_order}", session)]
            assert stored == uids, f"{session} has another order than was acknowledged"
        for agent in range(SUB_AGENTS):
            said = [f"turn{turn} of agent {agent}" for turn in range(turns)]
            stored = rows(f"SELECT role, content, content_kind {in_order}", f"root/agent-a{agent}")
            texts = [
                (role, words(json.loads(content) if kind == "json" else content))
                for role, content, kind in stored
            ]
            exchanges = [(("user", text), ("assistant", reply(text))) for text in said]
            assert texts == [line for exchange in exchanges for line in exchange], f"agent {agent}"
        # The roll-ups, summed up by another program from the messages themselves.
        for column in SUMS:
            own = rows(
                f"""
                SELECT id FROM session
                WHERE own_{column} <> (SELECT total({column}) FROM message WHERE session = key)
                """
            )
            rolled_up = rows(
                f"""
                WITH RECURSIVE
                  below(top, key) AS (
                    SELECT key, key FROM session
                    UNION ALL SELECT top, session.key FROM below JOIN session ON parent = below.key),
                  parts(top, total) AS (
                    SELECT top, total({column}) FROM below JOIN message ON session = below.key GROUP BY top)
                SELECT id FROM session LEFT JOIN parts ON top = key
                WHERE total_{column} <> coalesce(total, 0)
                """
            )
            assert (own, rolled_up) == ([], []), column
        (root,) = rows("SELECT total_cost_microusd, own_cost_microusd FROM session WHERE id = 'root'")
        assert root == (SUB_AGENTS * turns * 20, 0)
    assert integrity(path) == "ok"


@pytest.fixture
def upstream():
    fake = FakeUpstream(converse)
    yield fake
    fake.close()
    assert fake.failures == []


def test_four_processes_and_fifty_sub_agents_append_in_order_and_add_up_D02_D07(
    home: Home, upstream: FakeUpstream, record_property
) -> None:
    record_property("filled", fill_together(home, upstream, 3000))


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_four_processes_and_fifty_sub_agents_append_100000_messages_D02_D07(
    home: Home, upstream: FakeUpstream, record_property
) -> None:
    record_property("filled", fill_together(home, upstream, 100_000))


def held_from_before_the_start(home: Home, upstream: FakeUpstream, seconds: float) -> str:
    """Another program has the store to itself before anybody starts; all wait, or are taken to land later."""
    home.run("sessions", "append", "before", "--content", "an early word")
    home.configure(providers=providers(upstream), capture={"sources": "all"})
    released = threading.Event()
    path = home.path / "sessions.db"
    with write_lock_held(path):
        daemon = home.serve()
        waiting = [
            Worker(lambda: home.run("sessions", "create", "--id", "made", timeout=seconds + PATIENCE)),
            Worker(
                lambda: home.run(
                    "sessions", "append", "added", "--content", "a late word", timeout=seconds + PATIENCE
                )
            ),
        ]
        for worker in waiting:
            worker.start()
        converse_as(daemon, "held", 0, 3)
        status = eventually(
            "what was taken waits, and the holder is named",
            lambda: (now := daemon.json("/api/status"))["health"] != "ok" and now,
        )
        assert any("sessions" in finding["message"] for finding in status["findings"]), status
        released.wait(seconds)
        assert all(worker.is_alive() for worker in waiting), [worker.errors for worker in waiting]
    for worker in waiting:
        worker.join()
        assert worker.errors == []
    try:
        eventually("it is well again", lambda: daemon.json("/api/status")["health"] == "ok")
        for word, count in (("early", 1), ("late", 1), ("turn2", 2)):
            eventually(
                f"{word} is found by the daemon",
                lambda word=word, count=count: len(daemon.json(f"/api/search?q={word}")["hits"]) == count,
            )
            (told,) = home.json_lines("sessions", "search", word)
            assert len(told["hits"]) == count, told
    finally:
        assert daemon.stop() == 0
    listed = {line["id"] for line in home.json_lines("sessions", "list")}
    assert {"before", "made", "added", "held/agent-a0"} <= listed
    return f"{seconds:.0f} s"


def test_a_lock_held_from_before_the_start_delays_and_loses_nothing(
    home: Home, upstream: FakeUpstream, record_property
) -> None:
    record_property("held for", held_from_before_the_start(home, upstream, 3))


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_lock_held_for_30_seconds_from_before_the_start_delays_and_loses_nothing(
    home: Home, upstream: FakeUpstream, record_property
) -> None:
    record_property("held for", held_from_before_the_start(home, upstream, 30))
