"""Each tab and each promise of the page, one after another in a browser."""

import json
import time

import httpx
import pytest
from tests.server.conftest import serving
from tests.server.web.conftest import watched
from tests.server.web.test_page import answer_of

from canvaslm.server.app import create_app
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings

pytestmark = pytest.mark.slow

TABS = ["chat", "rewrite", "sudoku", "draw", "decide", "json"]
SVG = (
    '<svg viewBox="0 0 96 96" onload="alert(1)"><script>alert(2)</script>'
    '<circle cx="48" cy="48" r="12" fill="red" onclick="alert(3)"/>'
    '<image href="https://example.com/x.png"/><foreignObject><iframe src="//example.com"/>'
    '</foreignObject><a href="javascript:alert(4)"><rect x="1" y="1" width="9" height="9" '
    'fill="url(https://example.com)"/></a></svg><meta http-equiv="refresh" content="0;url=/x">'
)


def bend(route, fields):
    """Send a request of the page with other fields, too."""
    route.continue_(post_data=json.dumps({**route.request.post_data_json, **fields}))


def says(visit, answer):
    """Bend each request so that the server can answer only this."""
    visit.page.route("**/v1/chat/completions", lambda route: bend(route, {"choice": [answer]}))


def until(page, met, seconds=10):
    """Wait for something of the server that the page does not show; the page goes on meanwhile."""
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline
        page.wait_for_timeout(50)


def test_a_gap_is_filled_and_nothing_else_changes(visit):
    panel = visit.open("rewrite")
    text = panel.locator("textarea")
    before = text.input_value()
    visit.run("rewrite")
    visit.finish(panel)
    canvas = panel.locator(".canvas").first
    start, end = canvas.locator(".around").all_text_contents()
    assert start + end == before
    written = canvas.text_content()
    assert written.startswith(start)
    assert written.endswith(end)
    filled = "    total = 0\n    for age in ages:\n        total += age"
    assert written == start + filled + end
    panel.get_by_role("button", name="Take it into the text").click()
    assert text.input_value() == written


def test_a_span_is_written_anew_and_nothing_else_changes(visit):
    panel = visit.open("rewrite")
    panel.get_by_role("button", name="a line that is wrong").click()
    before = panel.locator("textarea").input_value()
    assert panel.locator("button.primary").text_content() == "Rewrite the span"
    visit.run("rewrite")
    visit.finish(panel)
    start, end = panel.locator(".canvas .around").all_text_contents()
    assert start + "for age in prices" + end == before
    assert panel.locator(".canvas").first.text_content() == start + "for age in ages" + end
    panel.get_by_label("Steps of the canvas").press("Home")
    assert panel.locator(".canvas .around").all_text_contents() == [start, end]


def test_marking_with_the_keyboard_says_what_is_marked(visit):
    panel = visit.open("rewrite")
    text = panel.locator("textarea")
    text.focus()
    visit.page.keyboard.press("Control+Home")
    visit.page.keyboard.press("Shift+End")
    assert "def total_of_ages(ages):" in panel.locator(".mark").text_content()
    assert panel.locator("button.primary").text_content() == "Rewrite the span"


def test_a_drawing_stands_in_a_frame_that_can_do_nothing(visit):
    panel = visit.open("draw")
    visit.run("draw")
    visit.finish(panel)
    frames = panel.locator("iframe")
    assert {frame.get_attribute("sandbox") for frame in frames.all()} == {""}
    panel.locator("iframe.front").first.wait_for()
    front = panel.frame_locator("iframe.front").first
    front.locator("svg circle").wait_for()
    assert front.locator("svg polygon").count() == 2
    assert front.locator("svg rect").count() == 1
    assert front.locator("g[opacity]").count() == 0
    panel.get_by_label("Steps of the canvas").press("Home")
    front.locator("g[opacity]").first.wait_for()


def test_a_hostile_drawing_does_nothing(visit):
    says(visit, SVG)
    panel = visit.open("draw")
    visit.run("draw")
    visit.finish(panel)
    front = panel.frame_locator("iframe.front").first
    front.locator("svg circle").wait_for()
    visit.page.wait_for_timeout(300)
    assert front.locator("script, image, foreignObject, a, iframe").count() == 0
    assert front.locator("[onload], [onclick], [href]").count() == 0
    assert front.locator("rect").get_attribute("fill") is None
    assert all(not url.endswith("/x") for url in visit.requests)


def test_the_frame_itself_is_barred_from_everything(visit):
    """The second wall: markup that the first one let through could still not act."""
    visit.open("draw")
    visit.page.evaluate(
        """markup => {
            const frame = document.querySelector("#panel-draw iframe");
            return new Promise((loaded) => { frame.onload = loaded; frame.srcdoc = markup; });
        }""",
        SVG + "<img src=/v1/models onerror=alert(5)><form action=/x><button autofocus>",
    )
    visit.page.wait_for_timeout(300)
    assert visit.barred == ["https://example.com/x.png"]
    assert not any(url.endswith("/x") for url in visit.requests)
    # one for the page's own header
    assert sum(url.endswith("/v1/models") for url in visit.requests) == 1


def test_a_record_is_valid_and_says_so(visit):
    panel = visit.open("json")
    visit.run("json")
    visit.finish(panel)
    assert panel.locator(".verdict").first.text_content() == "Valid against the schema."
    panel.get_by_label("JSON schema").fill("{")
    assert "not JSON" in panel.locator(".error.small").text_content()


def test_questions_can_be_added_and_removed(visit):
    panel = visit.open("decide")
    panel.get_by_role("button", name="Add a question").click()
    panel.get_by_label("Question", exact=True).last.fill("Is the circle large?")
    panel.get_by_role("button", name="Remove this question").first.click()
    panel.locator("button.primary").click()
    panel.locator(".answers h3").nth(2).wait_for()
    assert panel.locator(".answers h3").last.text_content() == "Is the circle large?"


def test_tabs_are_moved_between_with_arrows(visit):
    visit.open("chat")
    page = visit.page
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.get_by_role("tab", name="Chat").focus()
    for name in [*TABS[1:], "chat"]:
        page.keyboard.press("ArrowRight")
        assert page.evaluate("document.activeElement.id") == f"tab-{name}"
        assert page.get_by_role("tab", selected=True).get_attribute("id") == f"tab-{name}"
        assert page.locator("[role=tabpanel]:visible").get_attribute("id") == f"panel-{name}"
    page.keyboard.press("End")
    assert page.locator("#panel-json").is_visible()


def test_cells_of_the_puzzle_are_moved_between_with_arrows(visit):
    panel = visit.open("sudoku")
    panel.get_by_role("button", name="Clear").click()
    panel.get_by_label("row 1, column 1").focus()
    for key in ("5", "ArrowDown", "x", "7", "ArrowRight", "ArrowUp", "0", "9"):
        visit.page.keyboard.press(key)
    filled = {
        box.get_attribute("aria-label"): box.input_value()
        for box in panel.locator("form .board input").all()
        if box.input_value()
    }
    assert filled == {"row 1, column 1": "5", "row 2, column 1": "7", "row 1, column 2": "9"}


def test_every_control_has_a_name(visit):
    for tab in TABS:
        visit.open(tab)
        unnamed = visit.page.evaluate(
            """() => [...document.querySelectorAll("input, textarea, select, button, iframe")]
                .filter((one) => !one.closest("[hidden]") && !one.labels?.length && !one.title
                    && !one.getAttribute("aria-label") && !one.textContent.trim())
                .map((one) => one.outerHTML)"""
        )
        assert unnamed == []


@pytest.mark.parametrize("width", [360, 820])
def test_nothing_is_wider_than_the_screen(visit, width):
    visit.page.set_viewport_size({"width": width, "height": 780})
    for tab in TABS:
        visit.open(tab)
        visit.run(tab)
        excess = visit.page.evaluate("document.documentElement.scrollWidth - innerWidth")
        assert excess <= 0, tab


def test_an_error_is_shown_readably(visit):
    panel = visit.open("chat")
    panel.locator("summary").click()
    panel.get_by_label("Most tokens").fill("99999999")
    visit.run("chat")
    message = panel.get_by_role("alert").text_content()
    assert "max_tokens" in message
    assert "{" not in message
    panel.get_by_label("Most tokens").fill("64")
    visit.run("chat")
    assert panel.locator(".error").first.is_hidden()


@pytest.mark.parametrize("how", ["button", "keys"])
def test_a_field_that_is_refused_is_unfolded(visit, how):
    sent = []
    visit.page.on("request", lambda request: sent.append(request.post_data_json))
    panel = visit.open("chat")
    panel.locator("summary").click()
    panel.get_by_label("Seed").fill("-3")
    panel.locator("summary").click()
    assert panel.get_by_label("Seed").is_hidden()
    if how == "button":
        panel.locator("button.primary").click()
    else:
        panel.get_by_label("Message").press("Control+Enter")
    panel.get_by_label("Seed").wait_for()
    assert not any(body and "messages" in body for body in sent)


def test_text_that_leaves_early_is_still_the_answer(visit, server):
    sent = []
    visit.page.on("request", lambda request: sent.append(request.post_data_json))
    panel = visit.open("chat")
    panel.locator("summary").click()
    panel.get_by_label("Show a settled beginning at once").check()
    visit.run("chat")
    visit.finish(panel)
    drawn = next(body for body in sent if body and "messages" in body)
    assert drawn["hold_settled"]
    assert panel.locator(".canvas").first.text_content() == answer_of(server, drawn)


def test_an_answer_of_several_canvases_is_shown_whole(visit, server, lm):
    endless = {"logit_bias": {str(id): -100 for id in lm.settings.eos_ids}, "max_steps": 6}
    sent = []
    visit.page.on("request", lambda request: sent.append(request.post_data_json))
    panel = visit.open("chat")
    panel.get_by_label("Compare with left to right").uncheck()
    panel.get_by_label("Message").fill("Complete this function:\ndef f(x):")
    panel.locator("summary").click()
    panel.get_by_label("Most tokens").fill("300")
    visit.page.route("**/v1/chat/completions", lambda route: bend(route, endless))
    visit.run("chat")
    visit.finish(panel)
    drawn = next(body for body in sent if body and "messages" in body)
    expected = answer_of(server, {**drawn, **endless})
    assert panel.locator(".canvas").first.text_content() == expected
    figures = panel.locator(".counters").first.locator("dd").all_text_contents()
    assert figures[1:3] == ["2", "300"]


def test_stop_ends_the_request(visit, engine):
    """Of an answer that cannot be short."""
    before = engine.stats.cancelled
    panel = visit.open("chat")
    long = {"regex": "([a-z]+\n){300}"}
    visit.page.route("**/v1/chat/completions", lambda route: bend(route, long))
    panel.get_by_label("Message").fill("Complete this function:\ndef f(x):")
    panel.locator("summary").click()
    panel.get_by_label("Most tokens").fill("7000")
    panel.locator("button.primary").click()
    until(visit.page, lambda: engine.stats.active)
    panel.get_by_role("button", name="Stop").click()
    panel.locator("button.primary:enabled").wait_for()
    assert panel.locator(".error").first.is_hidden()
    assert panel.locator(".stage > [role=status]").text_content() == "Stopped."
    until(visit.page, lambda: not engine.stats.active)
    assert engine.stats.cancelled > before


def test_less_motion_shows_the_end_at_once(browser, server):
    page = browser.new_page(reduced_motion="reduce")
    visit = watched(page, server.base_url)
    panel = visit.open("chat")
    visit.run("chat")
    page.wait_for_timeout(100)
    assert panel.locator(".said").text_content() == "settled"
    page.close()


def test_a_key_is_asked_for_and_kept_in_memory_only(browser, engine):
    service = Service(settings=Settings(keys=("right-key-0123456789",)), engine=engine)
    with serving(create_app(service)) as server:
        page = browser.new_page()
        visit = watched(page, server.base_url)
        visit.open("chat")
        page.get_by_label("API key", exact=True).fill("wrong")
        page.get_by_role("button", name="Use it").click()
        page.get_by_role("heading", name="That key is not known here").wait_for()
        page.get_by_label("API key", exact=True).fill("right-key-0123456789")
        page.keyboard.press("Enter")
        page.get_by_text("canvaslm-pocket").wait_for()
        panel = visit.run("chat")
        visit.finish(panel)
        assert "svg" in panel.locator(".canvas").first.text_content()
        kept = page.evaluate("JSON.stringify([{...localStorage}, {...sessionStorage}])")
        assert kept == "[{},{}]"
        assert page.context.cookies() == []
        page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser, server, theme):
    """4.5 to 1 for what is to be read; 3 to 1 for the least certain token."""
    page = browser.new_page(color_scheme=theme)
    watched(page, server.base_url).open("chat")
    names = {"--ink": 7, "--soft": 4.5, "--faint": 4.5, "--accent": 4.5, "--bad": 4.5}
    names |= {f"--q{n}": 3 for n in range(10)} | {"--q8": 7, "--q9": 7}
    lightness = {}
    for name, least in names.items():
        ratios = [contrast(*page.evaluate(PIXELS, [name, ground])) for ground in GROUNDS]
        assert min(ratios) >= least, name
        lightness[name] = ratios[0]
    ramp = [lightness[f"--q{n}"] for n in range(10)]
    assert ramp == sorted(ramp)
    page.close()


GROUNDS = ["--paper", "--card"]
PIXELS = """names => names.map((name) => {
    const probe = document.body.appendChild(document.createElement("i"));
    probe.style.color = `var(${name})`;
    const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
    pen.fillStyle = getComputedStyle(probe).color;
    pen.fillRect(0, 0, 1, 1);
    probe.remove();
    return [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)];
})"""


def contrast(one, other):
    """WCAG's ratio of two colours."""

    def luminance(rgb):
        linear = [
            part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
            for part in (value / 255 for value in rgb)
        ]
        return sum(a * b for a, b in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_the_server_stays_whole(server):
    assert httpx.get(f"{server.base_url}/health").status_code == 200


def test_the_person_chooses_dark_or_light(visit):
    panel = visit.open("chat")
    grounds = []
    for name in ("Light", "Dark", "Auto"):
        visit.page.locator("#theme").click()
        assert visit.page.locator("#theme").text_content() == name
        grounds.append(visit.page.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] != grounds[1]
    panel.get_by_label("Message").press("Control+Enter")
    panel.locator(".lane.ended").first.wait_for()
