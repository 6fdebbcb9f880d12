"""The page of a run: whole, harmless, and from nowhere else."""

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

from hypothesis import given
from hypothesis import strategies as st
from tests.eval.trials.small import record

from canvaslm.eval.asking import Asking
from canvaslm.eval.pages.bars import Bar, bars
from canvaslm.eval.pages.page import SHOWN, page
from canvaslm.eval.report import summarise
from canvaslm.eval.trials.record import Record

VOID = {"meta", "line", "rect", "path", "br"}


class Reader(HTMLParser):
    """Collects tags and text; every tag that is opened must be closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.tags, self.said = list[str](), list[tuple[str, dict[str, str | None]]](), ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data


def written(records: list[Record], **settings: object) -> Reader:
    reports = [summarise(records, task="sums", asking=Asking())]
    reader = Reader()
    reader.feed(page(reports, records, {"model": "m", **settings}))
    reader.close()
    assert reader.open == []
    return reader


@given(st.text(), st.text())
def test_whatever_a_model_says_is_text(prompt: str, answer: str) -> None:
    plain = written([record(0, prompt="a", answer="b")])
    found = written([record(0, prompt=prompt, answer=answer)], model=answer, bin=prompt)
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in plain.tags]


def test_nothing_is_run_or_fetched() -> None:
    evil = "</pre><script>alert(1)</script><img src=http://host/x onerror=alert(1)>"
    found = written([record(0, answer=evil, bin=evil), record(1, correct=False)], model=evil)
    assert not {"script", "img", "link", "iframe", "object"} & {tag for tag, _ in found.tags}
    names = {name for _, attributes in found.tags for name in attributes}
    assert not {name for name in names if name.startswith("on")} | {"src", "href"} & names
    assert evil in found.said
    policy = [a["content"] for tag, a in found.tags if a.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_cases_right_and_wrong_are_shown_with_what_was_expected() -> None:
    records = [record(i, correct=i % 2 == 0, answer=f"said {i}") for i in range(40)]
    said = written(records).said
    assert len(re.findall("wrong case", said)) == len(re.findall("right case", said)) == SHOWN
    for number in range(2 * SHOWN):
        assert f"said {number}" in said
        assert f"10 + {number}" in said
        assert str(10 + number) in said


def test_a_long_answer_is_cut_and_says_so() -> None:
    assert "1000 more characters" in written([record(0, answer="x" * 5000)]).said


def test_bars_lie_within_their_intervals_and_the_drawing_is_xml() -> None:
    drawn = bars(
        [
            Bar(name="<a & b>", share=0.5, interval=(0.25, 0.75), n=8),
            Bar(name="none", share=0.0, interval=(0.0, 0.3), n=8),
        ]
    )
    tree = ElementTree.fromstring(drawn)
    names = [part.text for part in tree.iter() if part.get("class") == "name"]
    assert names == ["<a & b>", "none"]
    rects = [part for part in tree.iter() if part.get("class") == "bar"]
    whiskers = [part.get("d") or "" for part in tree.iter() if part.get("class") == "whisker"]
    for rect, whisker in zip(rects, whiskers, strict=True):
        low, high = (float(x) for x in re.findall(r"[MH]([\d.]+)", whisker)[:2])
        end = float(rect.get("x") or 0) + float(rect.get("width") or 0)
        assert low <= end <= high
