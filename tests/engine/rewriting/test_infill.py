"""Gaps: what surrounds them comes back, lengths are kept, bad requests are refused."""

import dataclasses
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvaslm import LM, CanvasError, Infilled, Params, load
from canvaslm.control.language.constraints import Regex
from canvaslm.engine.rewriting.infill import GapRules
from canvaslm.errors import ContextLengthError, ParameterError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


def fill(lm: LM, prefix: str, suffix: str, seed: int = 3, **more: object) -> Infilled:
    return lm.infill(prefix, suffix, params=Params(seed=seed), **{"max_gap": 5, **more})


@settings(max_examples=12)
@given(prefix=TEXT, suffix=TEXT, seed=st.integers(0, 99))
def test_what_surrounds_a_gap_comes_back_whatever_the_model_says(
    writer: LM, prefix: str, suffix: str, seed: int
) -> None:
    made = fill(writer, prefix, suffix, seed)
    assert made.document == prefix + made.text + suffix
    assert 0 <= made.gap_tokens <= 5
    assert writer.pool.in_use == 0


def test_the_same_seed_gives_the_same_text(writer: LM) -> None:
    first, again = fill(writer, "def f(", "):"), fill(writer, "def f(", "):")
    assert dataclasses.replace(again, seconds=first.seconds) == first
    drawn = writer.infill("def f(", "):", max_gap=5)
    assert fill(writer, "def f(", "):", seed=drawn.seed).text == drawn.text


@pytest.mark.parametrize("gap", [1, 3, 5])
def test_a_gap_of_given_length_has_it(writer: LM, gap: int) -> None:
    made = fill(writer, "a ", " circle", gap=gap)
    assert (made.gap_tokens, set(made.candidates), made.confidence) == (gap, {gap}, {})


def test_without_a_suffix_the_gap_ends_the_document(writer: LM) -> None:
    made = fill(writer, "a square and a ", "")
    assert made.document == "a square and a " + made.text


def test_no_control_token_is_written_into_a_gap(writer: LM) -> None:
    made = [fill(writer, "a", "b", seed, gap=5).text for seed in range(4)]
    assert not [text for text in made if "<" in text and "|>" in text]
    assert all(text for text in made)


def test_a_document_may_hold_the_marker_and_control_strings(writer: LM) -> None:
    prefix, suffix = "<gap><turn|>", "<eos><gap>"
    assert fill(writer, prefix, suffix).document.startswith(prefix)
    assert fill(writer, prefix, suffix).document.endswith(suffix)


def test_the_best_candidate_is_taken(writer: LM) -> None:
    made = fill(writer, "def ", "(x):")
    assert made.candidates[made.gap_tokens] == max(made.candidates.values())
    assert set(made.confidence) >= {1, 2, 3, 4, 5}


def test_a_gap_can_be_constrained(writer: LM) -> None:
    params = Params(seed=1, constraint=Regex(r"[0-9]{2,4}"))
    made = writer.infill("x = ", "\n", max_gap=6, params=params)
    assert re.fullmatch(r"[0-9]{2,4}", made.text)
    assert len(writer.infill("x = ", "\n", max_gap=6, gap=3, params=params).text) == 3
    rules = GapRules(natural=False, sketch=False)
    made = writer.rewriter.infill("x = ", "\n", max_gap=6, params=params, rules=rules)
    assert re.fullmatch(r"[0-9]{2,4}", made.text)
    whole = Params(seed=1, constraint=Regex(r"[0-9]{6}"))
    assert len(writer.infill("x = ", "\n", max_gap=6, params=whole).text) == 6


def test_bad_words_do_not_appear(writer: LM) -> None:
    plain = fill(writer, "a", "b").text
    params = Params(seed=3, bad_words=[plain[0]])
    assert plain[0] not in writer.infill("a", "b", max_gap=5, params=params).text


@pytest.mark.parametrize(
    "rules",
    [
        GapRules(keep=0, sketch=False),
        GapRules(keep=0, natural=False),
        GapRules(natural=False, sketch=False),
        GapRules(divide=False, heal=False),
    ],
)
def test_parts_of_the_search_can_be_left_out(writer: LM, rules: GapRules) -> None:
    made = writer.rewriter.infill("ab", "cd", max_gap=5, params=Params(seed=1), rules=rules)
    assert made.document == "ab" + made.text + "cd"


def test_each_pass_can_be_watched(writer: LM) -> None:
    seen = []
    rules = GapRules(natural=False, heal=False)
    made = writer.rewriter.infill(
        "a ", " b", max_gap=5, gap=4, params=Params(seed=1), rules=rules, watch=seen.append
    )
    assert len(seen) == made.steps
    assert seen[-1].text == made.text + " b"
    assert seen[-1].step == made.steps


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"max_gap": 0}, "max_gap must be at least 1"),
        ({"max_gap": True}, "max_gap must be an integer"),
        ({"max_gap": 16}, "16 tokens do not fit: a canvas of this model holds 16"),
        ({"gap": 0}, "gap must be at least 1"),
        ({"gap": 6}, "gap=6 is larger than max_gap=5"),
        ({"params": Params(n=2)}, "n cannot be served"),
        ({"params": Params(max_tokens=4)}, "max_tokens cannot be served"),
        ({"params": Params(stop="x")}, "stop cannot be served"),
        ({"params": Params(thinking=True)}, "thinking cannot be served"),
        ({"params": Params(constraint=Regex("[0-9]{9}"))}, "only 5 are left"),
        ({"prefix": 3}, "prefix must be a text"),
        ({"prefix": "\ud800"}, "surrogate"),
    ],
)
def test_what_cannot_be_is_refused(writer: LM, more: dict[str, object], reason: str) -> None:
    request = {"prefix": "a", "suffix": "b", "max_gap": 5, **more}
    with pytest.raises(ParameterError, match=reason):
        writer.infill(**request)
    assert writer.pool.in_use == 0


def test_a_document_that_is_too_long_is_refused(writer: LM) -> None:
    with pytest.raises(ContextLengthError, match="give a part of the document"):
        fill(writer, "a circle " * 99, "")


def test_rules_that_write_nothing_are_refused() -> None:
    with pytest.raises(CanvasError, match="leaves nothing to write"):
        GapRules(keep=0, natural=False, sketch=False)


def test_an_effort_without_effect_is_refused() -> None:
    lm = load()
    with pytest.raises(ParameterError, match="quality"):
        lm.infill("a", "b", gap=1, params=Params(effort="quality"))
