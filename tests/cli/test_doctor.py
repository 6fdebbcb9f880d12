"""`canvaslm doctor`."""

import json

from tests.cli.conftest import Run


def test_says_what_is_there_and_what_was_chosen(run: Run) -> None:
    document = json.loads(run("doctor", "--json").out)
    assert {"canvaslm", "python", "torch"} <= set(document["versions"])
    assert "GiB" in document["processor"]["memory"]
    assert "state" in document["embedded model"]


def test_the_plain_page_says_the_same(run: Run) -> None:
    document, page = json.loads(run("doctor", "--json").out), run("doctor").out
    assert document["versions"]["torch"] in page
    assert document["processor"]["name"] in page
