# SPDX-License-Identifier: Apache-2.0
"""Sessions and search over HTTP, and the daemon that indexes: beside the tool's commands, on one home."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from urllib.parse import quote, urlencode

import pytest

from conftest import providers
from fake_upstream import FakeUpstream
from foreign import connected
from program import Daemon, Home, eventually
from raw_http import ask


def append(home: Home, session: str, *messages: dict) -> list[dict]:
    text = "\n".join(json.dumps(message) for message in messages)
    return home.json_lines("sessions", "append", session, "--jsonl", "-", stdin=text)


def said(text: str, role: str = "user", **more: object) -> dict:
    return {"role": role, "content": text} | more


def sessions(daemon: Daemon, **parameters: object) -> dict:
    return daemon.json(f"/api/sessions?{urlencode(parameters)}")


def transcript(daemon: Daemon, session: str, **parameters: object) -> dict:
    return daemon.json(f"/api/sessions/{quote(session, safe='')}?{urlencode(parameters)}")


def search(daemon: Daemon, question: str, **parameters: object) -> dict:
    return daemon.json(f"/api/search?{urlencode({'q': question} | parameters)}")


def refused(daemon: Daemon, path: str) -> tuple[int, dict]:
    status, headers, body = daemon.get(path)
    assert headers["Content-Type"] == "application/json"
    return status, json.loads(body)["error"]


def settled(daemon: Daemon) -> None:
    eventually("the index is current", lambda: daemon.json("/api/status")["search"]["lag"] == 0)


@pytest.fixture
def serving(home: Home, daemons: list[Daemon]) -> Daemon:
    daemons.append(daemon := home.serve())
    return daemon


def test_a_list_over_http_is_the_list_on_the_command_line(daemon: Daemon) -> None:
    home = daemon.home
    home.run("sessions", "create", "--id", "as-listed", "--source", "listing", "--title", "Ünïcode <b>")
    append(home, "as-listed", said("one", output_tokens=3, cost_microusd=1500))
    (printed,) = home.json_lines("sessions", "list", "--source", "listing")
    answer = sessions(daemon, source="listing")
    assert answer == {"sessions": [printed], "next": None}
    assert (printed["cost_microusd"], printed["own"]["output_tokens"]) == (1500, 3)


def test_a_list_is_read_in_pieces_each_session_once(daemon: Daemon) -> None:
    for number in range(7):
        daemon.home.run("sessions", "create", "--id", f"piece-{number}", "--source", "pieces")
    seen: list[str] = []
    parameters: dict[str, object] = {"source": "pieces", "limit": 3}
    sizes = []
    while True:
        answer = sessions(daemon, **parameters)
        seen += [session["id"] for session in answer["sessions"]]
        sizes.append(len(answer["sessions"]))
        if answer["next"] is None:
            break
        parameters["after"] = answer["next"]
    assert sizes == [3, 3, 1]
    assert sorted(seen) == [f"piece-{number}" for number in range(7)]
    assert seen == [
        session["id"] for session in daemon.home.json_lines("sessions", "list", "--source", "pieces")
    ]


def test_a_list_is_filtered(daemon: Daemon) -> None:
    home = daemon.home
    home.run(
        "sessions",
        "create",
        "--id",
        "f-top",
        "--source",
        "filter",
        "--title",
        "100% of_it",
        "--model",
        "big-m",
    )
    home.run("sessions", "create", "--id", "f-child", "--source", "filter", "--parent", "f-top")
    home.run("sessions", "create", "--id", "f-away", "--source", "filter")
    home.run("sessions", "archive", "f-away")

    def ids(**parameters: object) -> set[str]:
        return {session["id"] for session in sessions(daemon, source="filter", **parameters)["sessions"]}

    assert ids() == {"f-top", "f-child"}
    assert ids(archived="true") == {"f-away"}
    assert ids(archived="all") == {"f-top", "f-child", "f-away"}
    assert ids(roots="true") == {"f-top"}
    assert ids(parent="f-top") == {"f-child"}
    named = daemon.json("/api/sessions?id=f-child&id=f-away&id=nobody&archived=all")["sessions"]
    assert {session["id"] for session in named} == {"f-child", "f-away"}
    # What means something to LIKE means itself.
    assert ids(text="100% OF_it") == ids(text="BIG-M") == {"f-top"}
    assert ids(text="1__%") == ids(text="'; --") == set()


def test_a_transcript_over_http_is_the_one_on_the_command_line(daemon: Daemon) -> None:
    made = append(
        daemon.home,
        "shown",
        said("hello"),
        said("", "assistant", tool_calls=[{"id": "c1", "function": {"name": "ls", "arguments": "{}"}}]),
        said([{"type": "text", "text": "a part"}], "tool", tool_call_id="c1"),
    )
    answer = transcript(daemon, "shown")
    assert answer == json.loads(daemon.home.run("sessions", "show", "shown", "--json").stdout)
    assert [message["uid"] for message in answer["messages"]] == [line["uid"] for line in made]
    # By the beginning of its id, too.
    assert transcript(daemon, "show")["session"]["id"] == "shown"


def test_a_transcript_is_read_in_pieces_forwards_and_backwards(daemon: Daemon) -> None:
    append(daemon.home, "long", *(said(f"number {number}") for number in range(1, 26)))
    daemon.home.run("sessions", "rewind", "long", "--after", "24")

    def read(direction: str, **parameters: object) -> list[list[int]]:
        pieces = []
        while True:
            answer = transcript(daemon, "long", limit=10, **parameters)
            pieces.append([message["seq"] for message in answer["messages"]])
            turn = answer.get("next" if direction == "after" else "previous")
            if turn is None:
                return pieces
            parameters = {direction: turn}

    forwards = [list(range(1, 11)), list(range(11, 21)), [21, 22, 23, 24]]
    assert read("after") == forwards
    assert read("before", before="end") == [list(range(15, 25)), list(range(5, 15)), [1, 2, 3, 4]]
    assert read("after", **{"from": 15}) == [list(range(15, 25))]
    middle = transcript(daemon, "long", limit=5, **{"from": 10})
    assert [message["seq"] for message in middle["messages"]] == [10, 11, 12, 13, 14]
    before = transcript(daemon, "long", limit=4, before=middle["previous"])
    assert [message["seq"] for message in before["messages"]] == [6, 7, 8, 9]
    assert transcript(daemon, "long", limit=4, after=before["next"])["messages"][0]["seq"] == 10
    undone = transcript(daemon, "long", states="undone")["messages"]
    assert [(message["seq"], message["state"]) for message in undone] == [(25, "undone")]
    assert len(transcript(daemon, "long", states="all")["messages"]) == 25


def test_a_piece_of_large_messages_is_bounded_in_bytes(daemon: Daemon) -> None:
    append(daemon.home, "large", *(said(str(number) + "x" * 1_500_000) for number in range(6)))
    first = transcript(daemon, "large")
    assert [message["seq"] for message in first["messages"]] == [1, 2, 3]
    rest = transcript(daemon, "large", after=first["next"])
    assert [message["seq"] for message in rest["messages"]] == [4, 5, 6]
    assert "next" not in rest


def test_a_tree_has_sub_agents_with_their_own_costs_and_rolled_up_D07(daemon: Daemon) -> None:
    home = daemon.home
    append(home, "t", said("go", cost_microusd=100))
    for child in ("t-a", "t-b"):
        home.run("sessions", "create", "--id", child, "--parent", "t")
        append(home, child, said("part", "assistant", cost_microusd=10))
    home.run("sessions", "create", "--id", "t-a-1", "--parent", "t-a")
    append(home, "t-a-1", said("deep", "assistant", cost_microusd=1))
    home.run("sessions", "end", "t-b", "--failed", "--reason", "lost")
    tree = daemon.json("/api/sessions/t/tree")
    assert tree == json.loads(home.run("sessions", "show", "t", "--tree", "--json").stdout)
    assert (tree["session"]["own"]["cost_microusd"], tree["session"]["cost_microusd"]) == (100, 121)
    assert tree["session"]["failed_children"] == 1
    assert [child["session"]["id"] for child in tree["children"]] == ["t-a", "t-b"]
    assert [child["session"]["cost_microusd"] for child in tree["children"]] == [11, 10]
    assert tree["children"][0]["children"][0]["session"]["id"] == "t-a-1"
    cut = daemon.json("/api/sessions/t/tree?limit=2")
    assert cut["truncated"] is True
    assert "truncated" not in tree


def test_an_id_may_hold_anything_a_path_does_not(daemon: Daemon) -> None:
    for name in ("a/b c?d#e", "ü…😀", "%41", "..", "<script>alert(1)</script>"):
        append(daemon.home, name, said("here"))
        assert transcript(daemon, name)["session"]["id"] == name
        assert daemon.json(f"/api/sessions/{quote(name, safe='')}/tree")["session"]["id"] == name


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/api/sessions/nobody", 404, "notFound"),
        ("/api/sessions/nobody/tree", 404, "notFound"),
        ("/api/sessions?colour=red", 400, "bad_request"),
        ("/api/sessions?limit=0", 400, "bad_request"),
        ("/api/sessions?limit=1001", 400, "bad_request"),
        ("/api/sessions?after=there", 400, "bad_request"),
        ("/api/sessions?archived=perhaps", 400, "bad_request"),
        ("/api/sessions/x?states=dead", 400, "bad_request"),
        ("/api/sessions/x?from=1&before=end", 400, "bad_request"),
        ("/api/sessions/x?after=1.2", 400, "bad_request"),
        ("/api/search", 400, "bad_request"),
        ("/api/search?q=a&limit=many", 400, "bad_request"),
        ("/api/search?q=a&neighbours=51", 400, "bad_request"),
    ],
)
def test_what_cannot_be_answered_is_said(daemon: Daemon, path: str, status: int, code: str) -> None:
    found, error = refused(daemon, path)
    assert (found, error["code"]) == (status, code)
    assert error["message"].endswith(".")


def test_an_ambiguous_beginning_is_a_conflict(daemon: Daemon) -> None:
    for name in ("twin-1", "twin-2"):
        daemon.home.run("sessions", "create", "--id", name)
    status, error = refused(daemon, "/api/sessions/twin")
    assert (status, error["code"]) == (409, "ambiguous")
    assert "twin-1" in error["message"]


def test_one_bad_row_does_not_fail_the_list_D14(serving: Daemon) -> None:
    append(serving.home, "good", said("one"), said("two"))
    append(serving.home, "bad", said("three"))
    with connected(serving.home.path / "sessions.db") as database:
        database.execute("UPDATE session SET metadata = 'no json' WHERE id = 'bad'")
        database.execute("UPDATE message SET content = '{', content_kind = 'json' WHERE content = 'two'")
        database.commit()
    answer = sessions(serving)
    assert [session["id"] for session in answer["sessions"]] == ["good"]
    assert [fault["row"] for fault in answer["unreadable"]] == ["bad"]
    shown = transcript(serving, "good")
    assert [message["content"] for message in shown["messages"]] == ["one"]
    assert len(shown["unreadable"]) == 1
    assert refused(serving, "/api/sessions/bad")[0] == 500


def test_what_was_just_written_is_found_and_the_answer_says_how_D12(daemon: Daemon) -> None:
    append(daemon.home, "sought", said("before"), said("the pelican lands"), said("after", "assistant"))
    answer = search(daemon, "pelican", neighbours=1)
    assert answer["route"] in {"index", "index+tail", "scan"}
    assert answer["lag"] >= 0
    assert answer["truncated"] is False
    (hit,) = answer["hits"]
    assert (hit["session"], hit["seq"], hit["role"]) == ("sought", 2, "user")
    (start, end) = hit["highlights"][0]
    assert hit["snippet"].encode()[start:end] == b"pelican"
    assert [near["seq"] for near in hit["neighbours"]] == [1, 3]
    settled(daemon)
    settled_answer = search(daemon, "pelican", neighbours=1)
    assert (settled_answer["route"], settled_answer["lag"]) == ("index", 0)
    assert [near["seq"] for near in settled_answer["hits"][0]["neighbours"]] == [1, 3]


def test_hits_are_grouped_by_lineage(daemon: Daemon) -> None:
    home = daemon.home
    append(home, "line", said("quokka one"))
    home.run("sessions", "create", "--id", "line-child", "--parent", "line")
    append(home, "line-child", said("quokka two"))
    append(home, "other-line", said("quokka three"))
    assert len(search(daemon, "quokka")["hits"]) == 3
    grouped = search(daemon, "quokka", grouped="true")["hits"]
    assert {hit["lineage"]: hit.get("others", 0) for hit in grouped} == {"line": 1, "other-line": 0}


@pytest.mark.parametrize(
    "question", ['"', "(((", "a AND", "NEAR(", "*", "-", "role:", "'; DROP TABLE x; --", "…" * 5000]
)
def test_no_question_is_a_syntax_error_D10(daemon: Daemon, question: str) -> None:
    assert search(daemon, question)["route"] in {"nothing", "index", "index+tail", "scan"}


def test_the_query_language_narrows_a_search_over_http(daemon: Daemon) -> None:
    daemon.home.run("sessions", "create", "--id", "ql-1", "--source", "ql")
    append(daemon.home, "ql-1", said("walrus tusk"), said("walrus whisker", "assistant"))
    append(daemon.home, "ql-2", said("walrus tusk"))

    def found(question: str) -> list[tuple[str, int]]:
        return sorted((hit["session"], hit["seq"]) for hit in search(daemon, question)["hits"])

    assert found("walrus source:ql role:assistant") == [("ql-1", 2)]
    assert found("walrus -tusk") == [("ql-1", 2)]
    assert found('"walrus tusk" session:ql-2') == [("ql-2", 1)]
    assert found("wal* after:1d session:ql") == [("ql-1", 1), ("ql-1", 2), ("ql-2", 1)]


def test_the_daemon_indexes_and_the_tool_finds_by_its_index(serving: Daemon) -> None:
    append(serving.home, "s", *(said(f"message {number} of the heron") for number in range(50)))
    settled(serving)
    status = serving.json("/api/status")["search"]
    assert status == {"lag": 0, "indexing": True}
    (printed,) = serving.home.json_lines("status")
    assert printed["search"] == status
    (answer,) = serving.home.json_lines("sessions", "search", "heron", "--limit", "1000")
    # The tool did not index itself: the daemon has the lease.
    assert (answer["route"], answer["lag"], len(answer["hits"])) == ("index", 0, 50)
    assert serving.json("/api/status")["search"]["indexing"] is True


def test_without_a_daemon_status_tells_the_lag_and_makes_no_index(home: Home) -> None:
    append(home, "s", said("one"))
    (status,) = home.json_lines("status")
    assert status["search"] == {"lag": None}
    assert not (home.path / "search.db").exists()
    home.run("sessions", "search", "one", "--wait")
    append(home, "s", said("two"), said("three"))
    (status,) = home.json_lines("status")
    assert status["search"]["lag"] == 2
    assert {"sessions", "search"} <= {store["name"] for store in status["stores"]}


def test_metrics_tell_of_the_sessions(serving: Daemon) -> None:
    append(serving.home, "s", said("one"))
    settled(serving)
    lines = serving.get("/metrics")[2].decode().splitlines()
    for sample in ("holdfast_search_lag 0", "holdfast_search_indexing 1", "holdfast_sessions_fault 0"):
        assert sample in lines


def test_an_index_that_is_deleted_under_the_daemon_is_made_anew_C08(serving: Daemon) -> None:
    append(serving.home, "s", said("a narwhal"))
    settled(serving)
    for suffix in ("", "-wal", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            (serving.home.path / f"search.db{suffix}").unlink()
    append(serving.home, "s", said("another narwhal"))
    assert len(search(serving, "narwhal")["hits"]) == 2
    eventually("an index of both", lambda: search(serving, "narwhal")["route"] == "index")
    assert len(search(serving, "narwhal")["hits"]) == 2


def test_a_store_that_cannot_be_opened_at_the_start_stops_nothing_and_is_taken_up_later(
    home: Home, daemons: list[Daemon], upstream: FakeUpstream
) -> None:
    home.configure(providers=providers(upstream))
    append(home, "early", said("an ibis"))
    # In the place of its directory, so that not even root can make the spool there.
    for leftover in (home.path / "spool").iterdir():
        leftover.unlink()
    database = home.path / "sessions.db"
    kept = home.path / "kept.db"
    with connected(database) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.rename(kept)
    database.mkdir()
    daemons.append(daemon := home.serve())
    status, error = refused(daemon, "/api/sessions")
    assert status == 503
    assert error["message"]
    report = eventually(
        "the status says so",
        lambda: (now := daemon.json("/api/status"))["health"] == "degraded" and now,
    )
    assert any(finding["code"].startswith("sessions-") for finding in report["findings"])
    assert daemon.get("/health")[0] == 200
    assert daemon.get("/v1/models", **{"x-api-key": "k"})[0] == 200
    database.rmdir()
    kept.rename(database)
    found = eventually(
        "the session, with no restart",
        lambda: (answer := daemon.get("/api/sessions"))[0] == 200 and json.loads(answer[2]),
    )
    assert [session["id"] for session in found["sessions"]] == ["early"]
    eventually("its search, too", lambda: search(daemon, "ibis")["route"] == "index")
    eventually("health", lambda: daemon.json("/api/status")["health"] == "ok")


def test_a_lock_from_before_the_start_holds_up_no_reader_for_good(home: Home, daemons: list[Daemon]) -> None:
    append(home, "s", said("an osprey"))
    holder = sqlite3.connect(home.path / "sessions.db", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    daemons.append(daemon := home.serve())
    assert daemon.get("/health")[0] == 200
    eventually("the list while it is locked", lambda: daemon.get("/api/sessions")[0] == 200)
    assert [hit["session"] for hit in search(daemon, "osprey")["hits"]] == ["s"]
    holder.execute("ROLLBACK")
    holder.close()
    settled(daemon)


def test_a_store_locked_against_readers_from_before_the_start_is_said_and_opens_when_it_is_free(
    home: Home, daemons: list[Daemon]
) -> None:
    append(home, "s", said("an eider"))
    holder = sqlite3.connect(home.path / "sessions.db", isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("UPDATE session SET pinned = 1")
    daemons.append(daemon := home.serve())

    def held() -> dict | None:
        report = daemon.json("/api/status")
        return next((f for f in report["findings"] if f["code"] == "sessions-held"), None)

    finding = eventually("the status names who holds it", held)
    assert f"pid {os.getpid()} " in finding["message"]
    for path in ("/api/sessions", "/api/search?q=eider"):
        status, error = refused(daemon, path)
        assert (status, error["code"]) == (503, "deadline")
        assert f"pid {os.getpid()} " in error["message"]
    assert daemon.get("/health")[0] == 200
    holder.execute("ROLLBACK")
    holder.close()
    eventually("the list, with no restart", lambda: daemon.get("/api/sessions")[0] == 200)
    assert [hit["session"] for hit in search(daemon, "eider")["hits"]] == ["s"]
    settled(daemon)
    assert daemon.json("/api/status")["health"] == "ok"


def test_the_api_is_closed_to_foreign_hosts_and_origins_G06(daemon: Daemon) -> None:
    for path in ("/api/sessions", "/api/sessions/x", "/api/search?q=a"):
        assert 400 <= ask(daemon.url, "GET", path, host="evil.example").status < 500
        assert ask(daemon.url, "GET", path, [("origin", "https://evil.example")]).status == 403


def test_when_the_daemon_that_indexes_is_killed_the_next_goes_on_C08(
    home: Home, daemons: list[Daemon]
) -> None:
    daemons.append(first := home.serve())
    append(home, "s", said("a kestrel"))
    settled(first)
    first.kill()
    append(home, "s", said("another kestrel"))
    daemons.append(second := home.serve())
    settled(second)
    answer = search(second, "kestrel")
    assert (answer["route"], len(answer["hits"])) == ("index", 2)
    assert second.json("/api/status")["search"]["indexing"] is True


def test_an_index_of_garbage_is_made_anew_under_the_daemon_C08(serving: Daemon) -> None:
    append(serving.home, "s", *(said(f"a lapwing {number}") for number in range(200)))
    settled(serving)
    index = serving.home.path / "search.db"
    with index.open("r+b") as file:
        file.seek(100)
        file.write(b"\xa5" * (index.stat().st_size - 100))
    append(serving.home, "s", said("the last lapwing"))
    assert any(hit["seq"] == 201 for hit in search(serving, "last lapwing")["hits"])
    eventually(
        "an index of all",
        lambda: (
            (answer := search(serving, "lapwing", limit=1000))["route"] == "index"
            and len(answer["hits"]) == 201
        ),
    )
