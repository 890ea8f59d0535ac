# SPDX-License-Identifier: Apache-2.0
"""A real Chromium on the daemon's page: what it logs, whom it asks, what it looks like, who can use it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect, sync_playwright

from program import PATIENCE, ROOT, Daemon

CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))),
    None,
)

WIDE = {"width": 1280, "height": 900}
NARROW = {"width": 360, "height": 740}

# The zone where it is about noon now: no test's day ends while it runs, and it is seldom the server's own.
_OFFSET = 12 - datetime.now(UTC).hour
NOON = f"Etc/GMT{-_OFFSET:+d}" if _OFFSET else "Etc/GMT"

ARTEFACTS = Path(os.environ.get("HOLDFAST_ARTEFACTS") or ROOT / "artefacts") / "screenshots"


@dataclass
class Visit:
    """One page of one browser, and everything it did that it should not have done."""

    page: Page
    origin: str
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def foreign(self) -> list[str]:
        own = (self.origin + "/", "data:", "blob:")
        return [url for url in self.asked if not url.startswith(own)]

    def picture(self, name: str) -> None:
        ARTEFACTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")

    def violations(self) -> list[str]:
        """What axe-core finds serious or critical, with the places it found it at."""
        found = Axe().run(self.page).response["violations"]
        return [
            f"{rule['id']} ({rule['impact']}): {node['html'][:120]} {node['failureSummary'][:300]}"
            for rule in found
            if rule["impact"] in ("serious", "critical")
            for node in rule["nodes"]
        ]


@contextlib.contextmanager
def visit(
    browser: Browser, daemon: Daemon, fragment: str = "", *, may_complain: bool = False, **options
) -> Iterator[Visit]:
    """Opens the page; at the end nothing may have been complained of, and nobody else asked for anything."""
    context = browser.new_context(**({"viewport": WIDE, "timezone_id": NOON} | options))
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    one = Visit(page, daemon.url)
    page.on("request", lambda request: one.asked.append(request.url))
    page.on(
        "console",
        lambda said: one.complaints.append(said.text) if said.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: one.complaints.append(str(error)))
    try:
        page.goto(f"{daemon.url}/#{fragment}")
        yield one
        assert one.foreign() == []
        if not may_complain:
            assert one.complaints == []
    finally:
        context.close()


class Markup(HTMLParser):
    """The elements of a page as the browser has them, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def browse(daemon: Daemon, fragment: str, sign: str) -> Markup:
    """The page as the browser has it once a sign, a CSS selector, is seen."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        # What a view asks for and does not get is in the console, too.
        with visit(browser, daemon, fragment, may_complain=True) as seen:
            expect(seen.page.locator(sign).first).to_be_visible()
            text = seen.page.content()
        browser.close()
    return Markup(text)


def until(page: Page, what: str, condition: str, argument: object = None) -> None:
    """Waits until a function of the page's returns something true; fails with what it waited for."""
    try:
        page.wait_for_function(condition, arg=argument, timeout=PATIENCE * 1000)
    except Exception as error:
        text = page.locator("body").inner_text()
        raise AssertionError(f"not on the page: {what}\n{text[:3000]}") from error


def focused(page: Page) -> str:
    """What the keyboard is on."""
    return page.evaluate("document.activeElement?.id || document.activeElement?.textContent?.trim() || ''")


def press_until(page: Page, key: str, wanted: Callable[[str], bool], most: int = 60) -> str:
    """Presses a key until the keyboard is on what is wanted."""
    seen = []
    for _ in range(most):
        page.keyboard.press(key)
        seen.append(focused(page))
        if wanted(seen[-1]):
            return seen[-1]
    raise AssertionError(f"{key} never came there; it was on {seen}")
