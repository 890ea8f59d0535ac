# SPDX-License-Identifier: Apache-2.0
"""`holdfast sessions …`, as scripts and agents use it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from foreign import connected
from program import PATIENCE, Home


def lines(done: subprocess.CompletedProcess[str]) -> list[dict]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def create(home: Home, *options: str) -> dict:
    return lines(home.run("sessions", "create", "--json", *options))[0]


def append(home: Home, session: str, *messages: dict | str, check: bool = True) -> list[dict]:
    text = "\n".join(m if isinstance(m, str) else json.dumps(m) for m in messages)
    return lines(home.run("sessions", "append", session, "--jsonl", "-", "--json", stdin=text, check=check))


def show(home: Home, session: str, *options: str) -> dict:
    return json.loads(home.run("sessions", "show", session, "--json", *options).stdout)


def listed(home: Home, *options: str) -> list[dict]:
    return lines(home.run("sessions", "list", "--json", *options))


def test_creating_twice_makes_one_session_and_fills_in_what_it_lacks_D04(home: Home) -> None:
    assert create(home, "--id", "a", "--source", "cli") == {"id": "a", "created": True}
    again = create(home, "--id", "a", "--source", "cron", "--model", "m", "--title", "T")
    assert again == {"id": "a", "created": False}
    (session,) = listed(home)
    assert (session["source"], session["model"], session["title"]) == ("cli", "m", "T")


def test_processes_that_create_one_session_at_once_all_succeed_D04(home: Home) -> None:
    home.path.mkdir(mode=0o700)
    started = [
        subprocess.Popen(
            home.command("sessions", "create", "--json", "--id", "same", "--model", f"m{number}"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=home.environment(),
            text=True,
        )
        for number in range(6)
    ]
    answers = []
    for process in started:
        out, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, error
        answers.append(json.loads(out))
    assert sorted(answer["created"] for answer in answers) == [False] * 5 + [True]
    (session,) = listed(home)
    assert session["model"] in {f"m{number}" for number in range(6)}


def test_appending_makes_the_session_and_acknowledges_each_message_in_order_D03(home: Home) -> None:
    messages = [{"role": "user", "content": f"number {number}"} for number in range(200)]
    made = append(home, "new", *messages)
    assert [answer["seq"] for answer in made] == list(range(1, 201))
    shown = show(home, "new")
    assert [m["content"] for m in shown["messages"]] == [m["content"] for m in messages]
    assert [m["uid"] for m in shown["messages"]] == [answer["uid"] for answer in made]
    assert shown["session"]["messages"] == 200


def test_each_message_is_acknowledged_while_the_writer_of_the_pipe_waits(home: Home) -> None:
    home.path.mkdir(mode=0o700)
    process = subprocess.Popen(
        home.command("sessions", "append", "talk", "--jsonl", "-", "--json"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=home.environment(),
        text=True,
    )
    assert process.stdin is not None and process.stdout is not None
    for number in range(1, 4):
        process.stdin.write(json.dumps({"role": "user", "content": str(number)}) + "\n")
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["seq"] == number
        with connected(home.path / "sessions.db") as database:
            # It is on disk for everybody when it was acknowledged.
            assert database.execute("SELECT count(*) FROM message").fetchone() == (number,)
    process.stdin.close()
    assert process.wait(PATIENCE) == 0


def test_a_message_that_is_none_is_refused_and_costs_the_others_nothing(home: Home) -> None:
    done = home.run(
        "sessions",
        "append",
        "s",
        "--jsonl",
        "-",
        "--json",
        stdin="\n".join(
            [
                '{"role":"user","content":"one"}',
                "not json",
                '{"content":"no role"}',
                '{"role":"user","content":"negative","input_tokens":-1}',
                '{"role":"assistant","content":["two",{"deep":1}]}',
            ]
        ),
        check=False,
    )
    answers = lines(done)
    assert done.returncode == 65
    assert [("seq" in a, a.get("line")) for a in answers] == [
        (True, None),
        (False, 2),
        (False, 3),
        (False, 4),
        (True, None),
    ]
    assert "role" in answers[2]["error"] and "input_tokens" in answers[3]["error"]
    contents = [m["content"] for m in show(home, "s")["messages"]]
    assert contents == ["one", ["two", {"deep": 1}]]


def test_a_message_sent_again_is_one_message_and_another_one_under_its_uid_is_kept_D05(home: Home) -> None:
    message = {"uid": "u1", "role": "user", "content": "hello"}
    (first,) = append(home, "s", message)
    (again,) = append(home, "s", message)
    assert again == {"uid": "u1", "seq": first["seq"], "duplicate": True}
    (other,) = append(home, "s", message | {"content": "another"})
    assert other["uid"] != "u1" and other["wanted_uid"] == "u1"
    assert [m["content"] for m in show(home, "s")["messages"]] == ["hello", "another"]


def test_sub_agents_show_as_a_tree_and_cost_their_parent(home: Home) -> None:
    create(home, "--id", "top")
    for number in range(2):
        create(home, "--id", f"child{number}", "--parent", "top", "--edge", "subagent")
        append(home, f"child{number}", {"role": "assistant", "content": "x", "cost_microusd": 1_000_000})
    home.run("sessions", "end", "child1", "--failed", "--reason", "gave up")
    tree = show(home, "top", "--tree")
    assert [child["session"]["id"] for child in tree["children"]] == ["child0", "child1"]
    assert tree["session"]["cost_microusd"] == 2_000_000
    assert tree["session"]["failed_children"] == 1
    text = home.run("sessions", "show", "top", "--tree").stdout.splitlines()
    assert text[0].startswith("top") and text[1].startswith("  child0") and "failed" in text[2]
    assert {s["id"] for s in listed(home, "--parent", "top")} == {"child0", "child1"}


def test_a_session_that_would_come_from_itself_is_refused(home: Home) -> None:
    create(home, "--id", "a", "--parent", "b")
    refused = home.run("sessions", "create", "--id", "b", "--parent", "a", check=False)
    assert refused.returncode == 65
    assert "cannot come from itself" in refused.stderr


def test_sessions_are_renamed_archived_forked_rewound_and_deleted(home: Home) -> None:
    append(home, "one", *({"role": "user", "content": str(number)} for number in range(4)))
    append(home, "two", {"role": "user", "content": "x"})
    assert home.run("sessions", "rename", "one", "Title").stdout == "Title\n"
    assert home.run("sessions", "rename", "two", "Title").stdout == "Title (2)\n"
    fork = json.loads(home.run("sessions", "fork", "one", "--up-to", "2", "--id", "copy", "--json").stdout)
    assert fork == {"id": "copy", "created": True}
    assert [m["content"] for m in show(home, "copy")["messages"]] == ["0", "1"]
    assert show(home, "copy")["session"]["edge"] == "fork"
    rewound = json.loads(home.run("sessions", "rewind", "one", "--after", "3", "--json").stdout)
    assert rewound == {"undone": 1}
    assert [m["content"] for m in show(home, "one")["messages"]] == ["0", "1", "2"]
    assert [m["state"] for m in show(home, "one", "--all")["messages"]] == ["live"] * 3 + ["undone"]
    home.run("sessions", "archive", "two")
    assert {s["id"] for s in listed(home)} == {"one", "copy"}
    assert {s["id"] for s in listed(home, "--all")} == {"one", "two", "copy"}
    home.run("sessions", "archive", "two", "--undo")
    assert json.loads(home.run("sessions", "delete", "tw", "--json").stdout) == {"deleted": 1}
    assert {s["id"] for s in listed(home)} == {"one", "copy"}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("show", "nobody"), 66, "nobody"),
        (("show", "aa"), 65, "aab, aac"),
        (("append", "x"), 64, "--content"),
        (("append", "x", "--jsonl", "/nowhere"), 66, "/nowhere"),
        (("create", "--edge", "cousin"), 64, "cousin"),
        (("create", "--edge", "fork"), 64, "--parent"),
        (("append", "", "--content", "x"), 65, "1 to 256"),
        (("list", "--limit", "0"), 64, "--limit"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    home: Home, arguments: tuple[str, ...], code: int, says: str
) -> None:
    for session in ("aab", "aac"):
        create(home, "--id", session)
    refused = home.run("sessions", *arguments, check=False)
    assert refused.returncode == code
    assert says in refused.stderr


def test_listing_in_a_home_nobody_has_used_makes_nothing(home: Home) -> None:
    assert listed(home) == []
    assert home.run("sessions", "show", "x", check=False).returncode == 66
    assert not home.path.exists()


def test_text_of_others_does_not_steer_the_terminal(home: Home) -> None:
    append(home, "s", {"role": "user", "content": "red \u001b[31m bell \u0007 \u009b2J\nnext line"})
    text = home.run("sessions", "show", "s").stdout
    assert "\u001b" not in text and "\u0007" not in text and "\u009b" not in text
    assert "next line" in text.splitlines()


def search(home: Home, *words: str) -> dict:
    return json.loads(home.run("sessions", "search", "--json", *words).stdout)


def test_what_was_just_written_is_found_and_the_answer_says_where_from_D12(home: Home) -> None:
    append(
        home,
        "talk",
        {"uid": "u1", "role": "user", "content": "Der Verbindungsabbruch kam um drei"},
        {"uid": "u2", "role": "assistant", "content": [{"type": "text", "text": "数据库被锁定 again"}]},
        {"uid": "u3", "role": "tool", "content": "nothing of the kind"},
    )
    answer = search(home, "verbindungsabbruch")
    assert (answer["route"], answer["lag"], answer["truncated"]) == ("index", 0, False)
    (hit,) = answer["hits"]
    assert (hit["session"], hit["seq"], hit["uid"], hit["role"]) == ("talk", 1, "u1", "user")
    start, end = hit["highlights"][0]
    assert hit["snippet"].encode()[start:end].decode() == "Verbindungsabbruch"
    assert hit["time"].endswith("Z") and hit["score"] > 0
    assert [h["uid"] for h in search(home, "锁定")["hits"]] == ["u2"]
    assert [h["uid"] for h in search(home, "role:tool", "kind")["hits"]] == ["u3"]
    assert search(home, "role:user", "kind")["hits"] == []
    near = search(home, "锁定", "--neighbours", "1")["hits"][0]["neighbours"]
    assert [n["uid"] for n in near] == ["u1", "u3"]


def test_a_search_that_is_taken_back_is_not_found_any_more(home: Home) -> None:
    append(home, "s", {"role": "user", "content": "keep this"}, {"role": "user", "content": "drop this"})
    assert len(search(home, "this")["hits"]) == 2
    home.run("sessions", "rewind", "s", "--after", "1")
    assert [h["seq"] for h in search(home, "this")["hits"]] == [1]
    home.run("sessions", "delete", "s")
    assert search(home, "this")["hits"] == []


@pytest.mark.parametrize("harm", ["delete", "zero", "header", "text"])
def test_a_search_index_that_is_harmed_is_made_anew_and_appends_never_notice_C08(
    home: Home, harm: str
) -> None:
    append(home, "s", *({"role": "user", "content": f"deadlock {number}"} for number in range(50)))
    assert len(search(home, "deadlock", "--limit", "100")["hits"]) == 50
    index = home.path / "search.db"
    size = index.stat().st_size
    if harm == "delete":
        index.unlink()
    elif harm == "zero":
        index.write_bytes(b"\0" * size)
    elif harm == "header":
        with index.open("r+b") as file:
            file.write(b"x" * 100)
    else:
        index.write_text("this is no database", encoding="utf-8")
    append(home, "s", {"role": "user", "content": "deadlock afterwards"})
    answer = search(home, "deadlock", "--limit", "100")
    assert len(answer["hits"]) == 51
    answer = search(home, "deadlock", "--limit", "100", "--wait")
    assert (answer["route"], answer["lag"], len(answer["hits"])) == ("index", 0, 51)


@pytest.mark.parametrize("question", ['"', "AND OR NOT", "NEAR(", "a" * 5000, "*", "-", "col:x", "(((", "\\"])
def test_no_question_is_a_syntax_error_D10(home: Home, question: str) -> None:
    append(home, "s", {"role": "user", "content": "something"})
    done = home.run("sessions", "search", "--json", question)
    assert json.loads(done.stdout)["hits"] == []


def test_text_that_cannot_be_stored_is_repaired_and_that_is_said_D01(home: Home) -> None:
    lone, clean = append(
        home, "s", r'{"role":"user","content":"a\ud800b\u0000c"}', r'{"role":"user","content":"\ud83d\ude00"}'
    )
    assert lone["repaired"] == ["line"] and "repaired" not in clean
    assert [m["content"] for m in show(home, "s")["messages"]] == ["a\ufffdb\ufffdc", "\U0001f600"]


def test_an_export_taken_in_elsewhere_is_the_same_again(home: Home, tmp_path: Path) -> None:
    create(home, "--id", "child", "--parent", "top", "--title", "T", "--source", "cron")
    append(home, "child", {"role": "assistant", "content": ["x"], "cost_microusd": 7})
    append(home, "top", *({"role": "user", "content": str(number)} for number in range(700)))
    home.run("sessions", "rewind", "top", "--after", "600")
    exported = home.run("sessions", "export").stdout
    other = Home(tmp_path / "other")
    taken = json.loads(other.run("sessions", "import", "-", "--json", stdin=exported).stdout)
    assert taken == {"sessions": 2, "messages": 701, "refused": 0}
    again = json.loads(other.run("sessions", "import", "-", "--json", stdin=exported).stdout)
    assert again == {"sessions": 0, "messages": 0, "refused": 0}
    assert other.run("sessions", "export").stdout == exported
    for session in ("top", "child"):
        assert show(other, session, "--all") == show(home, session, "--all")


def test_a_bad_line_of_an_import_is_named_and_the_rest_taken_in(home: Home) -> None:
    append(home, "s", {"role": "user", "content": "x"})
    exported = home.run("sessions", "export").stdout.splitlines()
    done = home.run(
        "sessions",
        "import",
        "-",
        "--json",
        stdin="\n".join([exported[0], "nonsense", exported[1]]),
        check=False,
    )
    assert done.returncode == 65
    assert "line 2" in done.stderr
    assert json.loads(done.stdout) == {"sessions": 0, "messages": 0, "refused": 1}


def test_pruning_removes_what_nobody_has_used_for_long(home: Home) -> None:
    for session, year in (("old", 2020), ("new", 2100)):
        append(home, session, {"role": "user", "content": "x", "time": f"{year}-01-01T00:00:00Z"})
    with connected(home.path / "sessions.db") as database:
        database.execute("UPDATE session SET last_active_ms = 1577836800000 WHERE id = 'old'")
        database.commit()
    dry = json.loads(home.run("sessions", "prune", "--inactive", "90d", "--dry-run", "--json").stdout)
    assert dry == {"sessions": 1, "messages": 1}
    assert {s["id"] for s in listed(home)} == {"old", "new"}
    assert json.loads(home.run("sessions", "prune", "--inactive", "90d", "--json").stdout) == dry
    assert {s["id"] for s in listed(home)} == {"new"}
    assert home.run("sessions", "prune", "--inactive", "soon", check=False).returncode == 64
