# SPDX-License-Identifier: Apache-2.0
"""The page in a real Chromium: clicked, typed at, looked at, and listened to with axe-core's ears.

Screenshots are kept in artefacts/screenshots.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from browsing import CHROMIUM, NARROW, NOON, WIDE, focused, press_until, until, visit
from conftest import providers
from fake_upstream import FakeUpstream
from program import PATIENCE, Daemon, Home, eventually
from supervising import ANSWERING, python_worker, replies, send
from test_live_requests import Gate

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here")

WORD = "quokka"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


def rows() -> Iterator[dict]:
    """Usage of two weeks, of several models, programs and projects, some of it failed."""
    now = datetime.now(UTC)
    models = ["claude-opus-4-8", "claude-sonnet-4-5", "gpt-5.4", "gemini-3-pro", "nobody-knows-this-one"]
    for day in range(14):
        for index, model in enumerate(models):
            for turn in range(3):
                moment = now - timedelta(days=day, minutes=7 * turn + index)
                failed = turn == 2 and day % 4 == 0
                yield {
                    "uid": f"row-{day}-{index}-{turn}",
                    "time": moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
                    "provider": "google"
                    if "gemini" in model
                    else "openai"
                    if "gpt" in model
                    else "anthropic",
                    "model": model,
                    "source": ["claude-code", "codex"][index % 2],
                    "project": ["holdfast", "website", None][index % 3],
                    "session": f"session-{index}",
                    "status": 529 if failed else 200,
                    "outcome": "upstream_error" if failed else "complete",
                    "duration_ms": 1500 + 700 * turn,
                    "first_token_ms": 300 + 150 * turn,
                    "input_tokens": 0 if failed else 1200,
                    "cache_read_tokens": 0 if failed else 90_000 - 4000 * day,
                    "cache_write_5m_tokens": 0 if failed else 2000,
                    "output_tokens": 0 if failed else 800,
                }


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, upstream: FakeUpstream) -> Iterator[Daemon]:
    """A daemon on a home with usage, sessions, a worker and budgets."""
    home = Home(tmp_path_factory.mktemp("filled"))
    home.configure(
        providers=providers(upstream),
        supervise={"workers": {"writer/one": {"command": python_worker(ANSWERING)}}},
        budgets=[
            {"name": "plenty", "limit": 1000, "period": "month"},
            {"name": "dear", "scope": {"model": "claude-opus-4-8"}, "limit": 0.01, "action": "warn"}
            | {"period": "month"},
        ],
    )
    text = "\n".join(json.dumps({k: v for k, v in row.items() if v is not None}) for row in rows())
    home.run("usage", "record", "--jsonl", "-", stdin=text)
    for number in range(3):
        home.run("sessions", "create", "--id", f"session-{number}", "--title", f"Errand {number}")
        told = [
            {"role": "user", "content": f"Look after the {WORD} number {number}.", "cost_microusd": 0},
            {"role": "assistant", "content": f"The {WORD} is well.", "model": "claude-opus-4-8"},
        ]
        lines = "\n".join(json.dumps(one) for one in told)
        home.run("sessions", "append", f"session-{number}", "--jsonl", "-", stdin=lines)
    daemon = home.serve()
    try:
        send(home, "writer/one", 1)
        eventually("an answer", lambda: replies(home, "writer/one"))
        yield daemon
    finally:
        assert daemon.stop() == 0


def settled(page: Page) -> None:
    """The overview shows its numbers and hears events."""
    until(page, "its numbers", "() => !document.querySelector('#cards').classList.contains('waiting')")
    until(page, "where it went", "() => document.querySelector('#parts').rows.length > 1")
    until(page, "word of the daemon", "() => document.querySelector('#live').matches('.ok, .degraded')")


def test_it_is_painted_at_once_and_asks_nobody_else(
    browser: Browser, filled: Daemon, record_property, capsys: pytest.CaptureFixture
) -> None:
    with visit(browser, filled) as seen:
        settled(seen.page)
        script = "() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime"
        until(seen.page, "its first paint", script)
        paint = seen.page.evaluate(script)
        record_property("first contentful paint", f"{paint:.0f} ms")
        with capsys.disabled():
            print(f"\nfirst contentful paint: {paint:.0f} ms")
        # Never a measurement: only that it does not wait for the numbers of a hung daemon.
        assert paint < PATIENCE * 1000
        assert len(seen.asked) > 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_everybody_can_use_every_view(browser: Browser, filled: Daemon, scheme: str) -> None:
    views = {
        "overview": "#runs .run, #runs .empty",
        "sessions": "#list .entry",
        "sessions/session-1": "#messages .message",
        "workers": "#boxes button",
        "catalog": "#providers tr",
    }
    with visit(browser, filled, color_scheme=scheme) as seen:
        settled(seen.page)
        for fragment, sign in views.items():
            seen.page.goto(f"{filled.url}/#{fragment}")
            expect(seen.page.locator(sign).first).to_be_visible()
            name = fragment.replace("/", "-")
            for window in (WIDE, NARROW):
                seen.page.set_viewport_size(window)
                # The charts follow the window in a frame of their own.
                seen.page.evaluate(
                    "() => new Promise((done) => requestAnimationFrame(() => setTimeout(done)))"
                )
                seen.picture(f"{name}-{scheme}-{window['width']}")
                assert seen.overflow() <= 0, f"{fragment} is wider than {window['width']} pixels"
                assert seen.violations() == [], f"{fragment}, {scheme}, {window['width']}"


def test_periods_groups_and_measures_are_chosen_and_kept(browser: Browser, filled: Daemon) -> None:
    with visit(browser, filled) as seen:
        page = seen.page
        settled(page)
        legend, trend = page.locator("#legend"), page.locator("#trend")
        expect(legend).to_contain_text("claude-opus-4-8")
        week = page.locator("#k-requests").inner_text()
        assert week == "105"  # seven days of fifteen
        assert NOON in page.locator("#span").inner_text()

        page.locator("#split").get_by_label("Program").check()
        expect(legend).to_contain_text("codex")
        expect(legend).not_to_contain_text("gpt-5.4")
        page.locator("#split").get_by_label("Project").check()
        expect(legend).to_contain_text("not told")
        page.locator("#measure").get_by_label("Requests").check()
        expect(page.locator("#trend-title")).to_have_text("Requests over time")

        page.locator("#range").get_by_label("30 days").check()
        expect(page.locator("#k-requests")).to_have_text("210")
        expect(page.get_by_label("Hours")).to_be_disabled()
        expect(trend).to_have_attribute("aria-valuemax", "29")
        page.locator("#range").get_by_label("Today").check()
        expect(page.get_by_label("Hours")).to_be_checked()

        page.locator("#part").get_by_label("Program").check()
        expect(page.locator("#part-name")).to_have_text("Program")
        expect(page.locator("#parts")).to_contain_text("claude-code")
        expect(page.locator("#parts")).not_to_contain_text("gpt-5.4")

        page.reload()
        settled(page)
        expect(page.get_by_label("Today")).to_be_checked()
        expect(page.locator("#trend-title")).to_have_text("Requests over time")

        # What it says is what the report says.
        page.locator("#range").get_by_label("7 days").check()
        page.locator("#part").get_by_label("Model").check()
        expect(page.locator("#k-requests")).to_have_text(week)
        asked = [url for url in seen.asked if "/api/usage?" in url][-1]
        told = {line["key"]: line for line in filled.json(asked.removeprefix(filled.url))}
        shown = page.locator("#parts tr", has_text="claude-opus-4-8")
        expect(shown).to_contain_text(f"${told['claude-opus-4-8']['cost_microusd'] / 1e6:,.2f}")
        expect(page.locator("#parts tr", has_text="nobody-knows-this-one")).to_contain_text("without a price")
        expect(page.locator("#notice")).to_contain_text("without a price")


def test_charts_are_read_with_the_arrow_keys(browser: Browser, filled: Daemon) -> None:
    with visit(browser, filled) as seen:
        page = seen.page
        settled(page)
        press_until(page, "Tab", lambda on: on == "trend")
        trend = page.locator("#trend")
        expect(trend.locator(".tip")).to_be_visible()
        last = trend.get_attribute("aria-valuetext")
        page.keyboard.press("ArrowLeft")
        before = trend.get_attribute("aria-valuetext")
        assert before != last
        assert re.search(r"\$\d", before or "")
        page.keyboard.press("Home")
        expect(trend).to_have_attribute("aria-valuenow", "0")
        page.keyboard.press("Tab")
        expect(trend.locator(".tip")).to_be_hidden()
        assert focused(page) == "As a table"
        page.keyboard.press("Enter")
        expect(page.locator("#trend-rows tbody tr")).to_have_count(7)


def test_radio_groups_and_the_skip_link_work_without_a_mouse(browser: Browser, filled: Daemon) -> None:
    with visit(browser, filled) as seen:
        page = seen.page
        settled(page)
        page.keyboard.press("Tab")
        assert focused(page) == "Skip to the content"
        page.keyboard.press("Enter")
        assert focused(page) == "overview"
        page.keyboard.press("Tab")
        page.keyboard.press("ArrowRight")
        expect(page.get_by_label("30 days")).to_be_checked()
        expect(page.locator("#k-requests")).to_have_text("210")
        # Where the keyboard is can be seen.
        outline = "document.activeElement.nextElementSibling"
        assert page.evaluate(f"getComputedStyle({outline}).outlineStyle") == "solid"


def test_a_session_is_found_and_read_by_the_keyboard_alone(browser: Browser, filled: Daemon) -> None:
    with visit(browser, filled) as seen:
        page = seen.page
        settled(page)
        page.keyboard.press("/")
        assert focused(page) == "seek-text"
        page.keyboard.type(f"{WORD} number 2")
        page.keyboard.press("Enter")
        expect(page.locator("#sessions")).to_be_visible()
        expect(page.locator("#list mark").first).to_have_text(WORD)
        assert focused(page) == "find"
        page.keyboard.press("ArrowDown")
        assert "number 2" in focused(page)
        page.keyboard.press("Enter")
        expect(page.locator("#read-title")).to_have_text("Errand 2")
        expect(page.locator("#messages .target")).to_contain_text(f"Look after the {WORD} number 2.")
        expect(page.locator("#messages")).to_contain_text(f"The {WORD} is well.")
        page.keyboard.press("Escape")
        expect(page.locator("#read-empty")).to_be_visible()
        press_until(page, "Shift+Tab", lambda on: on == "Overview")
        page.keyboard.press("Enter")
        expect(page.locator("#overview")).to_be_visible()


def test_a_worker_is_stopped_and_started_with_the_buttons(browser: Browser, filled: Daemon) -> None:
    with visit(browser, filled, "workers") as seen:
        line = seen.page.locator("#boxes tr", has_text="writer/one")
        line.get_by_role("button", name="Stop").click()
        expect(line).to_contain_text("stopped, not wanted")
        assert filled.json("/api/mailboxes")["mailboxes"][0]["wanted"] is False
        line.get_by_role("button", name="Start").click()
        expect(line.get_by_role("button", name="Stop")).to_be_visible()
        # It is started when there is work for it.
        send(filled.home, "writer/one", 2)
        expect(line).to_contain_text("running")
        line.get_by_role("button", name="More").click()
        expect(line).to_contain_text("reply re-")


def test_a_request_is_seen_while_it_streams_and_when_it_has_ended(
    browser: Browser, filled: Daemon, upstream: FakeUpstream
) -> None:
    with visit(browser, filled) as seen:
        page = seen.page
        settled(page)
        model = "claude-opus-4-8"
        before = [url for url in seen.asked if "/api/usage/overview" in url]
        gate = Gate(model)
        asking = gate.ask(filled, upstream, **{"user-agent": "claude-cli/2.1.329 (external, cli)"})
        assert gate.begun.wait(PATIENCE)
        run = page.locator("#runs .run.streaming", has_text=model)
        expect(run).to_contain_text("claude-code")
        expect(page.locator("#runs-hint")).to_have_text("1 in flight")
        gate.goes_on.set()
        asking.join(PATIENCE)
        over = page.locator("#runs .run.ended", has_text=model)
        expect(over).to_contain_text("7 tokens · $0.000")
        expect(page.locator("#runs-hint")).to_have_text("none in flight")
        # The row has landed, and the numbers were asked for again because the daemon said so.
        expect(page.locator("#k-requests")).to_have_text("106")
        assert len([url for url in seen.asked if "/api/usage/overview" in url]) > len(before)


def test_budgets_show_how_far_they_are_used(browser: Browser, filled: Daemon) -> None:
    with visit(browser, filled) as seen:
        told = {budget["name"]: budget for budget in filled.json("/api/budgets")}
        assert (told["plenty"]["state"], told["dear"]["state"]) == ("ok", "over")
        plenty = seen.page.locator('#budgets [data-budget="plenty"]')
        dear = seen.page.locator('#budgets [data-budget="dear"]')
        expect(plenty.locator(".tag.ok")).to_contain_text("within")
        expect(plenty).to_contain_text("of $1,000.00")
        expect(dear.locator(".tag.over")).to_contain_text("over")
        expect(dear).to_contain_text(f"${told['dear']['spent_microusd'] / 1e6:,.2f} of $0.01")
        expect(dear).to_contain_text("model claude-opus-4-8")


def test_an_idle_page_asks_for_nothing(browser: Browser, filled: Daemon) -> None:
    with visit(browser, filled) as seen:
        page = seen.page
        settled(page)
        page.wait_for_load_state("load")
        # As many of the page's own seconds as it takes for any polling to show, at once.
        page.clock.install()
        asked = len(seen.asked)
        page.clock.fast_forward("02:00")
        page.clock.run_for(5000)
        assert seen.asked[asked:] == []


def test_it_comes_back_by_itself_after_the_daemon(
    browser: Browser, home: Home, upstream: FakeUpstream, daemons: list[Daemon]
) -> None:
    home.configure(providers=providers(upstream))
    daemon = home.serve()
    daemons.append(daemon)
    port = daemon.url.rsplit(":", 1)[1]
    # The browser itself says in its console that nobody answered.
    with visit(browser, daemon, may_complain=True) as seen:
        page = seen.page
        until(page, "word of the daemon", "() => document.querySelector('#live').classList.contains('ok')")
        assert daemon.stop() == 0
        expect(page.locator("#live")).to_have_text("no answer; trying again")
        again = home.serve("--port", port)
        daemons.append(again)
        until(
            page, "word of the next daemon", "() => document.querySelector('#live').classList.contains('ok')"
        )
        gate = Gate("after-the-restart")
        asking = gate.ask(again, upstream)
        assert gate.begun.wait(PATIENCE)
        expect(page.locator("#runs .run.streaming", has_text="after-the-restart")).to_be_visible()
        gate.goes_on.set()
        asking.join(PATIENCE)
        expect(page.locator("#k-requests")).to_have_text("1")
        assert [line for line in seen.complaints if "ERR_CONNECTION_REFUSED" not in line] == [
            line for line in seen.complaints if "ERR_INCOMPLETE_CHUNKED" in line
        ]


def test_light_and_dark_are_chosen_and_kept(browser: Browser, filled: Daemon) -> None:
    ground = "() => getComputedStyle(document.body).backgroundColor"
    with visit(browser, filled, color_scheme="light") as seen:
        page = seen.page
        light = page.evaluate(ground)
        button = page.get_by_role("button", name="Dark colours")
        expect(button).to_have_attribute("aria-pressed", "false")
        button.click()
        expect(button).to_have_attribute("aria-pressed", "true")
        dark = page.evaluate(ground)
        assert dark != light
        page.reload()
        assert page.evaluate(ground) == dark
        page.get_by_role("button", name="Dark colours").click()
        assert page.evaluate(ground) == light
        # What the system says counts again.
        page.emulate_media(color_scheme="dark")
        assert page.evaluate(ground) == dark
