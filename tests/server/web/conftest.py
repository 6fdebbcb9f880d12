"""A browser, and pages in it that notice every error and every request."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Locator, Page, Request

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@dataclass(kw_only=True)
class Visit:
    """A page of one server, and what went on in it; `barred` never left the browser."""

    page: Page
    address: str
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    barred: list[str] = field(default_factory=list)

    def open(self, tab: str = "chat") -> Locator:
        """Load the page afresh with this tab open; returns its panel."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.address}/#{tab}")
        return self.page.locator(f"#panel-{tab}")

    def run(self, tab: str) -> Locator:
        """Press the tab's button and wait for the end of what it begins."""
        panel = self.page.locator(f"#panel-{tab}")
        panel.locator("button.primary").click()
        panel.locator("button.primary:enabled").wait_for()
        return panel

    def finish(self, panel: Locator) -> None:
        """Go to the last step."""
        slider = panel.get_by_label("Steps of the canvas")
        slider.press("Home")
        slider.press("End")

    def bar(self, request: Request) -> None:
        """Note a request that the page's own policy stopped."""
        if request.failure == "csp":
            self.barred.append(request.url)

    @property
    def foreign(self) -> list[str]:
        """Requests that went anywhere but to the server."""
        local = (self.address, "data:", "blob:", "about:")
        gone = [url for url in self.requests if url not in self.barred]
        return [url for url in gone if not url.startswith(local)]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of one module only: while it is open, no other event loop runs on this thread."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no browser: {CHROMIUM} does not exist")
    with playwright.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def watched(page: Page, address: str) -> Visit:
    visit = Visit(page=page, address=address)
    page.set_default_timeout(15_000)
    page.on("pageerror", lambda error: visit.errors.append(str(error)))
    page.on("request", lambda request: visit.requests.append(request.url))
    page.on("requestfailed", lambda request: visit.bar(request))
    page.on("dialog", lambda dialog: (visit.errors.append(dialog.message), dialog.dismiss()))
    return visit


@pytest.fixture
def visit(browser: Browser, server) -> Iterator[Visit]:
    """A fresh page of the server; no script of it may fail, no request leave the server."""
    page = browser.new_page(viewport={"width": 1280, "height": 860})
    visit = watched(page, server.base_url)
    yield visit
    page.close()
    assert visit.errors == []
    assert visit.foreign == []
