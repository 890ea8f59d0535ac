# SPDX-License-Identifier: Apache-2.0
"""Transcripts as Claude Code, Codex, Hermes, Crush and OpenCode write them, made after their formats."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

CLAUDE_SESSION = "0b1f8c1e-5a77-4d7e-9a35-1f6f0a4c2b11"
CODEX_THREAD = "019dd8e4-15dd-7143-95e8-219014341717"


def jsonl(path: Path, *lines: dict | str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = [line if isinstance(line, str) else json.dumps(line, ensure_ascii=False) for line in lines]
    path.write_text("".join(text + "\n" for text in texts), encoding="utf-8")
    return path


def stamp(second: int) -> str:
    return f"2026-11-20T10:{second // 60:02}:{second % 60:02}.250Z"


# Claude Code


def claude_line(kind: str, uuid: str, second: int, message: dict, **more: object) -> dict:
    return {
        "parentUuid": None,
        "isSidechain": False,
        "userType": "external",
        "cwd": "/home/me/site",
        "sessionId": CLAUDE_SESSION,
        "version": "2.1.88",
        "gitBranch": "main",
        "type": kind,
        "message": message,
        "uuid": uuid,
        "timestamp": stamp(second),
    } | more


def claude_answer(uuid: str, second: int, message_id: str, block: dict, output: int, **more: object) -> dict:
    return claude_line(
        "assistant",
        uuid,
        second,
        {
            "id": message_id,
            "type": "message",
            "role": "assistant",
            "model": "claude-sonnet-4-5",
            "content": [block],
            "stop_reason": "end_turn",
            "usage": {
                "input_tokens": 10,
                "cache_read_input_tokens": 1000,
                "cache_creation_input_tokens": 200,
                "output_tokens": output,
            },
        },
        requestId=f"req_{message_id}",
        **more,
    )


def claude_main() -> list[dict]:
    """A question, an answer of two blocks with one usage, a tool's result, the end; and other lines."""
    return [
        {"type": "file-history-snapshot", "messageId": "m", "snapshot": {}},
        claude_line("user", "u-1", 1, {"role": "user", "content": "Why does the läuferklinke stick?"}),
        claude_answer("a-1", 2, "msg_1", {"type": "text", "text": "Let me look."}, output=4),
        claude_answer(
            "a-2",
            3,
            "msg_1",
            {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": "ls kurbelgetriebe"}},
            output=30,
        ),
        claude_line(
            "user",
            "u-2",
            4,
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "toolu_1", "content": "spindel.txt"}],
            },
            toolUseResult={"stdout": "spindel.txt"},
        ),
        claude_answer("a-3", 5, "msg_2", {"type": "text", "text": "The spindle is bent."}, output=50),
        {"type": "ai-title", "aiTitle": "A pawl that sticks", "sessionId": CLAUDE_SESSION},
    ]


def claude_agent() -> list[dict]:
    side = {"isSidechain": True, "agentId": "a975e135"}
    return [
        claude_line("user", "s-1", 3, {"role": "user", "content": "Look for spindles"}, **side),
        claude_answer("s-2", 4, "msg_9", {"type": "text", "text": "Found one spindle."}, output=7, **side),
    ]


def claude(home: Path) -> Path:
    """`~/.claude` with a session and its sub-agent; returns the session's file."""
    project = home / ".claude/projects/-home-me-site"
    agents = project / CLAUDE_SESSION / "subagents"
    jsonl(agents / "agent-a975e135.jsonl", *claude_agent())
    meta = {"agentType": "Explore", "description": "Find spindles"}
    (agents / "agent-a975e135.meta.json").write_text(json.dumps(meta), encoding="utf-8")
    return jsonl(project / f"{CLAUDE_SESSION}.jsonl", *claude_main())


# Codex


def rollout(kind: str, second: int, **payload: object) -> dict:
    return {"timestamp": stamp(second), "type": kind, "payload": payload}


def codex_meta(thread: str = CODEX_THREAD, second: int = 0, **more: object) -> dict:
    return rollout(
        "session_meta",
        second,
        **(
            {
                "id": thread,
                "timestamp": stamp(second),
                "cwd": "/home/me/tool",
                "originator": "codex-tui",
                "cli_version": "0.128.0",
                "source": "cli",
                "model_provider": "openai",
                "git": {"commit_hash": "abc", "branch": "trunk"},
            }
            | more
        ),
    )


def codex_text(second: int, role: str, text: str) -> dict:
    kind = "output_text" if role == "assistant" else "input_text"
    return rollout("response_item", second, type="message", role=role, content=[{"type": kind, "text": text}])


def codex_tokens(second: int, total: int, last: int) -> dict:
    def usage(tokens: int) -> dict:
        return {
            "input_tokens": tokens,
            "cached_input_tokens": tokens // 2,
            "output_tokens": tokens // 10,
            "reasoning_output_tokens": 0,
            "total_tokens": tokens + tokens // 10,
        }

    info = {"total_token_usage": usage(total), "last_token_usage": usage(last)}
    return rollout("event_msg", second, type="token_count", info=info)


def codex_main() -> list[dict]:
    return [
        codex_meta(),
        rollout("turn_context", 1, cwd="/home/me/tool", model="gpt-5.5", approval_policy="never"),
        codex_text(1, "user", "<environment_context>\n  <cwd>/home/me/tool</cwd>\n</environment_context>"),
        codex_text(2, "user", "Oil the zahnradpumpe"),
        rollout("event_msg", 2, type="user_message", message="Oil the zahnradpumpe"),
        rollout("response_item", 3, type="reasoning", summary=[], content=None, encrypted_content="gAAAAA"),
        rollout(
            "response_item",
            3,
            type="function_call",
            name="exec_command",
            arguments='{"cmd":"oil"}',
            call_id="call_1",
        ),
        rollout(
            "response_item", 4, type="function_call_output", call_id="call_1", output="oiled the dichtring"
        ),
        codex_tokens(5, 1000, 1000),
        codex_tokens(5, 1000, 1000),
        codex_text(6, "assistant", "It runs smoothly."),
        codex_tokens(7, 3000, 2000),
        rollout("event_msg", 8, type="task_complete", last_agent_message="It runs smoothly."),
    ]


def codex_path(home: Path, thread: str = CODEX_THREAD) -> Path:
    return home / f".codex/sessions/2026/11/20/rollout-2026-11-20T10-00-00-{thread}.jsonl"


def codex(home: Path) -> Path:
    return jsonl(codex_path(home), *codex_main())


# Hermes

HERMES_SCHEMA = """
CREATE TABLE sessions (
  id TEXT PRIMARY KEY, source TEXT NOT NULL, user_id TEXT, model TEXT, model_config TEXT, system_prompt TEXT,
  parent_session_id TEXT, started_at REAL NOT NULL, ended_at REAL, end_reason TEXT,
  message_count INTEGER DEFAULT 0, tool_call_count INTEGER DEFAULT 0, input_tokens INTEGER DEFAULT 0,
  output_tokens INTEGER DEFAULT 0, cache_read_tokens INTEGER DEFAULT 0, cache_write_tokens INTEGER DEFAULT 0,
  reasoning_tokens INTEGER DEFAULT 0, cwd TEXT, git_branch TEXT, estimated_cost_usd REAL,
  actual_cost_usd REAL, title TEXT, title_source TEXT,
  archived INTEGER NOT NULL DEFAULT 0, pinned INTEGER NOT NULL DEFAULT 0,
  FOREIGN KEY (parent_session_id) REFERENCES sessions(id));
CREATE TABLE messages (
  id INTEGER PRIMARY KEY AUTOINCREMENT, session_id TEXT NOT NULL REFERENCES sessions(id), role TEXT NOT NULL,
  content TEXT, tool_call_id TEXT, tool_calls TEXT, tool_name TEXT, timestamp REAL NOT NULL,
  token_count INTEGER, finish_reason TEXT, reasoning TEXT, active INTEGER NOT NULL DEFAULT 1,
  compacted INTEGER NOT NULL DEFAULT 0);
CREATE INDEX idx_messages_session_id ON messages(session_id, id);
"""
HERMES_TIME = 1_763_632_800.5


def hermes_message(
    db: sqlite3.Connection, session: str, role: str, content: str | None, **more: object
) -> None:
    columns = {"session_id": session, "role": role, "content": content, "timestamp": HERMES_TIME} | more
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    db.execute(f"INSERT INTO messages({names}) VALUES ({marks})", tuple(columns.values()))


def hermes(home: Path) -> Path:
    """`~/.hermes/state.db`: a session that went on in another, with a delegate and an undone turn."""
    path = home / ".hermes/state.db"
    path.parent.mkdir(parents=True)
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(HERMES_SCHEMA)

    def session(name: str, **more: object) -> None:
        columns = {"id": name, "source": "cli", "model": "hermes-4", "started_at": HERMES_TIME} | more
        names = ", ".join(columns)
        marks = ", ".join("?" * len(columns))
        db.execute(f"INSERT INTO sessions({names}) VALUES ({marks})", tuple(columns.values()))

    session(
        "20261120_100000_aa11",
        input_tokens=500,
        output_tokens=60,
        cache_read_tokens=300,
        actual_cost_usd=0.0125,
        title="The windmill",
        title_source="user",
        cwd="/home/me/mill",
        git_branch="main",
        ended_at=HERMES_TIME + 60,
        end_reason="compression",
    )
    session("20261120_100100_bb22", parent_session_id="20261120_100000_aa11")
    config = json.dumps({"_delegate_from": "20261120_100000_aa11"})
    session(
        "20261120_100030_cc33",
        parent_session_id="20261120_100000_aa11",
        model_config=config,
        output_tokens=9,
    )
    root = "20261120_100000_aa11"
    hermes_message(db, root, "user", "Grease the flügelwelle", compacted=1, active=0)
    hermes_message(
        db,
        root,
        "assistant",
        "",
        tool_calls=json.dumps(
            [{"id": "c1", "type": "function", "function": {"name": "grease", "arguments": "{}"}}]
        ),
        finish_reason="tool_calls",
    )
    hermes_message(db, root, "tool", "greased", tool_call_id="c1", tool_name="grease")
    parts = [{"type": "text", "text": "See the mühlstein"}, {"type": "image_url", "image_url": {"url": "x"}}]
    hermes_message(db, root, "user", "\x00json:" + json.dumps(parts))
    hermes_message(db, root, "assistant", "It turns.", reasoning="thinking of wind")
    hermes_message(db, root, "user", "taken back", active=0)
    hermes_message(db, "20261120_100100_bb22", "user", "Summary: the mill was greased.")
    hermes_message(db, "20261120_100030_cc33", "assistant", "delegate's answer")
    db.commit()
    db.close()
    return path


# Crush

CRUSH_SCHEMA = """
CREATE TABLE sessions (
  id TEXT PRIMARY KEY, parent_session_id TEXT, title TEXT NOT NULL, message_count INTEGER NOT NULL DEFAULT 0,
  prompt_tokens INTEGER NOT NULL DEFAULT 0, completion_tokens INTEGER NOT NULL DEFAULT 0,
  cost REAL NOT NULL DEFAULT 0.0, updated_at INTEGER NOT NULL, created_at INTEGER NOT NULL,
  summary_message_id TEXT, todos TEXT);
CREATE TABLE messages (
  id TEXT PRIMARY KEY, session_id TEXT NOT NULL, role TEXT NOT NULL, parts BLOB NOT NULL default '[]',
  model TEXT, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, finished_at INTEGER, provider TEXT,
  is_summary_message INTEGER NOT NULL DEFAULT 0,
  FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE);
CREATE INDEX idx_messages_session_id ON messages (session_id);
"""
CRUSH_SESSION = "6f1d2c3b-0000-4000-8000-000000000001"


def crush_part(kind: str, **data: object) -> dict:
    return {"type": kind, "data": data}


def crush_message(
    db: sqlite3.Connection, name: str, session: str, role: str, second: int, *parts: dict
) -> None:
    db.execute(
        "INSERT INTO messages(id, session_id, role, parts, model, created_at, updated_at)"
        " VALUES (?,?,?,?,?,?,?)",
        (
            name,
            session,
            role,
            json.dumps(parts),
            "gpt-5" if role == "assistant" else None,
            1_763_632_800 + second,
            1_763_632_800,
        ),
    )


def crush(project: Path) -> Path:
    """A project's `.crush/crush.db`: a session with a summary and a sub-agent."""
    path = project / ".crush/crush.db"
    path.parent.mkdir(parents=True)
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(CRUSH_SCHEMA)
    insert = (
        "INSERT INTO sessions(id, parent_session_id, title, cost, updated_at, created_at, summary_message_id)"
    )
    when = (1_763_632_800, 1_763_632_800)
    db.execute(insert + " VALUES (?,?,?,?,?,?,?)", (CRUSH_SESSION, None, "Bell tower", 0.05, *when, "cm-4"))
    db.execute(
        insert + " VALUES (?,?,?,?,?,?,?)", ("cm-2$$call_1", CRUSH_SESSION, "Agent", 0.02, *when, None)
    )
    crush_message(db, "cm-1", CRUSH_SESSION, "user", 0, crush_part("text", text="Ring the glockenturm"))
    crush_message(
        db,
        "cm-2",
        CRUSH_SESSION,
        "assistant",
        1,
        crush_part("reasoning", thinking="a bell needs a rope"),
        crush_part("text", text="Pulling."),
        crush_part("tool_call", id="call_1", name="agent", input='{"prompt":"pull"}', finished=True),
        crush_part("finish", reason="tool_use", time=1),
    )
    crush_message(
        db,
        "cm-3",
        CRUSH_SESSION,
        "tool",
        2,
        crush_part("tool_result", tool_call_id="call_1", name="agent", content="ding", is_error=False),
        crush_part("tool_result", tool_call_id="call_2", name="agent", content="dong", is_error=False),
    )
    crush_message(db, "cm-4", CRUSH_SESSION, "assistant", 3, crush_part("text", text="Summary: it rang."))
    crush_message(db, "cm-5", CRUSH_SESSION, "user", 4, crush_part("text", text="Again"))
    crush_message(db, "cm-6", "cm-2$$call_1", "assistant", 1, crush_part("text", text="rope pulled"))
    db.commit()
    db.close()
    return path


# OpenCode

OPENCODE_SCHEMA = """
CREATE TABLE session (
  id TEXT PRIMARY KEY, project_id TEXT NOT NULL, parent_id TEXT, slug TEXT NOT NULL, directory TEXT NOT NULL,
  title TEXT NOT NULL, version TEXT NOT NULL, revert TEXT, agent TEXT, model TEXT,
  time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, time_archived INTEGER);
CREATE TABLE message (
  id TEXT PRIMARY KEY, session_id TEXT NOT NULL, time_created INTEGER NOT NULL,
  time_updated INTEGER NOT NULL, data TEXT NOT NULL);
CREATE TABLE part (
  id TEXT PRIMARY KEY, message_id TEXT NOT NULL, session_id TEXT NOT NULL, time_created INTEGER NOT NULL,
  time_updated INTEGER NOT NULL, data TEXT NOT NULL);
CREATE INDEX message_session_time_created_id_idx ON message(session_id, time_created, id);
CREATE INDEX part_message_id_id_idx ON part(message_id, id);
"""
OPENCODE_TIME = 1_763_632_800_000


def opencode_sessions() -> list[dict]:
    when = {"created": OPENCODE_TIME, "updated": OPENCODE_TIME}
    common = {"projectID": "p1", "directory": "/home/me/clock", "version": "1.1.0", "time": when}
    return [
        {"id": "ses_1", "title": "The cuckoo", "revert": {"messageID": "msg_6"}} | common,
        {"id": "ses_2", "title": "Agent", "parentID": "ses_1"} | common,
    ]


def opencode_messages() -> list[tuple[dict, list[dict]]]:
    def user(number: int, text: str, session: str = "ses_1") -> tuple[dict, list[dict]]:
        message = {
            "id": f"msg_{number}",
            "sessionID": session,
            "role": "user",
            "time": {"created": OPENCODE_TIME + number},
            "agent": "build",
            "model": {"providerID": "anthropic", "modelID": "claude-haiku"},
        }
        return message, [{"id": f"prt_{number}0", "type": "text", "text": text}]

    def assistant(
        number: int, *parts: dict, session: str = "ses_1", **more: object
    ) -> tuple[dict, list[dict]]:
        message = {
            "id": f"msg_{number}",
            "sessionID": session,
            "role": "assistant",
            "time": {"created": OPENCODE_TIME + number, "completed": OPENCODE_TIME + number + 1},
            "modelID": "claude-haiku",
            "providerID": "anthropic",
            "cost": 0.001,
            "tokens": {"input": 20, "output": 5, "reasoning": 2, "cache": {"read": 100, "write": 10}},
            "finish": "stop",
        } | more
        return message, [{"id": f"prt_{number}{index}"} | part for index, part in enumerate(parts)]

    tool = {
        "type": "tool",
        "callID": "call_a",
        "tool": "bash",
        "state": {
            "status": "completed",
            "input": {"command": "wind"},
            "output": "wound the pendeluhr",
            "title": "wind",
            "metadata": {},
            "time": {"start": OPENCODE_TIME + 2, "end": OPENCODE_TIME + 3},
        },
    }
    ask = user(4, "")
    ask = (ask[0], [{"id": "prt_40", "type": "compaction", "auto": True}])
    return [
        user(1, "Wind the kuckucksuhr"),
        assistant(2, {"type": "step-start"}, {"type": "reasoning", "text": "springs"}, tool),
        assistant(3, {"type": "text", "text": "It ticks."}),
        ask,
        assistant(5, {"type": "text", "text": "Summary: wound."}, summary=True, parentID="msg_4"),
        user(6, "taken back"),
        assistant(7, {"type": "text", "text": "sub-agent here"}, session="ses_2"),
    ]


def opencode_database(home: Path) -> Path:
    path = home / ".local/share/opencode/opencode.db"
    path.parent.mkdir(parents=True)
    db = sqlite3.connect(path)
    db.execute("PRAGMA journal_mode = WAL")
    db.executescript(OPENCODE_SCHEMA)
    for session in opencode_sessions():
        revert = json.dumps(session["revert"]) if "revert" in session else None
        row = (
            session["id"],
            "p1",
            session.get("parentID"),
            "slug",
            session["directory"],
            session["title"],
            session["version"],
            revert,
            "build",
            json.dumps({"id": "claude-haiku", "providerID": "anthropic"}),
            OPENCODE_TIME,
            OPENCODE_TIME,
        )
        db.execute(
            "INSERT INTO session(id, project_id, parent_id, slug, directory, title, version, revert, agent,"
            " model, time_created, time_updated) VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            row,
        )
    for message, parts in opencode_messages():
        data = {key: value for key, value in message.items() if key not in ("id", "sessionID")}
        created = message["time"]["created"]
        db.execute(
            "INSERT INTO message VALUES (?,?,?,?,?)",
            (message["id"], message["sessionID"], created, created, json.dumps(data, separators=(",", ":"))),
        )
        for part in parts:
            data = {key: value for key, value in part.items() if key != "id"}
            db.execute(
                "INSERT INTO part VALUES (?,?,?,?,?,?)",
                (part["id"], message["id"], message["sessionID"], created, created, json.dumps(data)),
            )
    db.commit()
    db.close()
    return path


def opencode_files(home: Path) -> Path:
    storage = home / ".local/share/opencode/storage"

    def write(path: Path, value: dict) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(value, indent=2), encoding="utf-8")

    for session in opencode_sessions():
        write(storage / "session/p1" / f"{session['id']}.json", session)
    for message, parts in opencode_messages():
        write(storage / "message" / message["sessionID"] / f"{message['id']}.json", message)
        for part in parts:
            more = {"sessionID": message["sessionID"], "messageID": message["id"]}
            write(storage / "part" / message["id"] / f"{part['id']}.json", part | more)
    return storage
