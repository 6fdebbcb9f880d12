"""Pictures of the page for the documents: the server with the embedded model, each tab driven.

python tools/screens.py [FOLDER] [--tabs chat,sudoku] [--looks light,dark,phone]
"""

from __future__ import annotations

import argparse
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

import canvaslm
from canvaslm import CanvasError
from canvaslm.engine.serving.engine import Engine
from canvaslm.server.app import create_app
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings

PICTURES = Path(__file__).resolve().parent.parent / "docs" / "pictures"
CHROMIUM = "/usr/bin/chromium"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
LARGEST = 300_000
TABS = ("chat", "rewrite", "sudoku", "draw", "decide", "json")


@dataclass(frozen=True, kw_only=True)
class Look:
    """A screen: its size in pixels, and dark or light."""

    width: int
    height: int
    dark: bool


LOOKS = {
    "light": Look(width=1280, height=860, dark=False),
    "dark": Look(width=1280, height=860, dark=True),
    "phone": Look(width=360, height=780, dark=True),
}
KEPT = {
    *(("chat", "light"), ("sudoku", "dark"), ("draw", "light"), ("rewrite", "light")),
    *(("decide", "dark"), ("json", "light"), ("chat", "phone")),
}
"""The pictures that the documents show, unless others are asked for."""


@contextmanager
def serving() -> Iterator[str]:
    """The address of a server with the embedded model."""
    listener = socket.create_server(("127.0.0.1", 0))
    with Engine(canvaslm.load()) as engine:
        app = create_app(Service(settings=Settings(), engine=engine))
        server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(10)


def shoot(browser: Browser, address: str, *, tab: str, look: Look, path: Path) -> None:
    """Run what the tab offers, stop it while it condenses, and take its picture."""
    page = browser.new_page(
        viewport={"width": look.width, "height": look.height},
        color_scheme="dark" if look.dark else "light",
    )
    page.on("pageerror", lambda error: (_ for _ in ()).throw(CanvasError(str(error))))
    page.goto(f"{address}/#{tab}")
    panel = page.locator(f"#panel-{tab}")
    panel.locator("button.primary").click()
    if tab == "decide":
        panel.locator("[role=meter]").first.wait_for()
    else:
        panel.locator("button.primary:not([disabled])").wait_for()
        halfway(page, tab)
    page.evaluate("document.activeElement.blur()")
    top = f"document.querySelector('#panel-{tab} .stage').scrollIntoView()"
    page.evaluate(top if look.width < look.height else "scrollTo(0, 0)")
    page.wait_for_timeout(500)
    page.screenshot(path=path)
    page.close()
    if path.stat().st_size > LARGEST:
        raise CanvasError(f"{path} has {path.stat().st_size} bytes: at most {LARGEST} are meant")


def halfway(page: Page, tab: str) -> None:
    """Move the scrubber to a step where half is still noise: of most answers the second."""
    slider = page.locator(f"#panel-{tab} input[aria-label='Steps of the canvas']")
    page.wait_for_function(
        f"() => document.querySelector('#panel-{tab} .scrubber input').max > 1", timeout=20_000
    )
    last = int(slider.get_attribute("max") or 1)
    slider.fill(str(last * 7 // 8 if tab == "rewrite" else 1))


def main() -> None:
    """Take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=PICTURES)
    parser.add_argument("--tabs", default=",".join(TABS))
    parser.add_argument("--looks", help="which of light, dark, phone; default: those of the docs")
    parser.add_argument("--address", help="of a server that runs; default: one is started")
    given = parser.parse_args()
    looks = given.looks.split(",") if given.looks else list(LOOKS)
    pairs = [(tab, look) for tab in given.tabs.split(",") for look in looks]
    running = nullcontext(given.address) if given.address else serving()
    with running as address, sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for tab, look in pairs:
            if given.looks or (tab, look) in KEPT:
                path = given.folder / f"page-{tab}-{look}.png"
                shoot(browser, address, tab=tab, look=LOOKS[look], path=path)
                print(path)
        browser.close()


if __name__ == "__main__":
    main()
