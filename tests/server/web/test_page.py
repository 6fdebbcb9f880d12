"""The page in a browser, in front of the real server with the embedded model."""

import json

import httpx

HOSTILE = (
    '<img src=x onerror="alert(1)"></script><script>alert(2)</script>'
    '<a href="javascript:alert(3)">a</a><iframe src="https://example.com">'
)


def answer_of(server, body):
    body = {**body, "stream": False}
    for name in ("canvas_events", "stream_options"):
        body.pop(name, None)
    reply = httpx.post(f"{server.base_url}/v1/chat/completions", json=body, timeout=60)
    return reply.json()["choices"][0]["message"]["content"]


def test_chat_shows_the_answer_and_every_step_before_it(visit, server):
    sent = []
    visit.page.on("request", lambda request: sent.append(request.post_data_json))
    panel = visit.open("chat")
    visit.run("chat")
    visit.finish(panel)
    drawn, typed = (body for body in sent if body and "messages" in body)
    lanes = panel.locator(".canvas").all_text_contents()
    assert lanes[0] == answer_of(server, drawn)
    assert typed["mode"] == "ar"
    assert panel.locator(".said").text_content() == "settled"

    slider = panel.get_by_label("Steps of the canvas")
    slider.press("Home")
    assert panel.locator(".said").text_content() == "canvas 1, step 1"
    first = panel.locator(".canvas").first
    assert first.locator(".noise").count() > 10
    assert first.text_content() != lanes[0]
    visit.page.keyboard.press("ArrowRight")
    assert panel.locator(".said").text_content() == "canvas 1, step 2"
    slider.press("End")
    counters = panel.locator(".counters").first
    figures = counters.locator("dd").all_text_contents()
    assert len(figures) == 7
    assert "–" not in figures


def test_a_sudoku_fills_and_is_checked(visit):
    panel = visit.open("sudoku")
    visit.run("sudoku")
    visit.finish(panel)
    board = panel.locator(".lane .board").first
    digits = board.locator("span").all_text_contents()
    puzzle = [box.input_value() for box in panel.locator("form .board input").all()]
    assert all(clue in ("", digit) for clue, digit in zip(puzzle, digits, strict=True))
    for row in range(9):
        assert sorted(digits[9 * row : 9 * row + 9]) == list("123456789")
    assert panel.locator(".verdict").first.text_content() == "Solved: every row, column and box."


def test_hostile_text_of_a_model_stays_text(visit):
    """The server itself says it: each request is bent to allow this one answer."""

    def bend(route):
        body = {**route.request.post_data_json, "choice": [HOSTILE]}
        route.continue_(post_data=json.dumps(body))

    visit.page.route("**/v1/chat/completions", bend)
    panel = visit.open("chat")
    panel.get_by_label("Compare with left to right").uncheck()
    visit.run("chat")
    visit.finish(panel)
    canvas = panel.locator(".canvas").first
    assert canvas.text_content() == HOSTILE
    assert canvas.locator("img, script, a, iframe").count() == 0


def test_decisions_are_bars(visit):
    panel = visit.open("decide")
    panel.locator("button.primary").click()
    panel.locator(".answers li h3").first.wait_for()
    for answer in panel.locator(".answers > li").all():
        shares = [
            float(bar.get_attribute("aria-valuenow")) for bar in answer.get_by_role("meter").all()
        ]
        assert abs(sum(shares) - 1) < 0.01
        assert answer.locator(".bar.chosen").count() == 1
