"""Draft events say what the drafts say, whole or as changes."""

import math
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from canvaslm import LM, Draft, Params
from canvaslm.server.telling.drafts import VISIBLE, DraftWriter, TokenTexts, certainty, token_texts

LENGTH = 6
END = 9


class Letters:
    """A tokenizer of ten letters, of which the last closes an answer."""

    def decode(self, ids: Any) -> str:
        return "".join("abcdefghi"[id] if id < END else "" for id in ids)


def draft(canvas: int, step: int, ids: list[int], held: int = 0, doubt: float = 0.1) -> Draft:
    return Draft(
        canvas=canvas,
        step=step,
        token_ids=ids,
        entropy=[doubt] * len(ids),
        accepted=[id % 2 == 0 for id in ids],
        noisy_ids=ids,
        held=held,
    )


def writer(shown: Any) -> DraftWriter:
    return DraftWriter(
        TokenTexts(Letters()),  # type: ignore[arg-type]
        length=LENGTH,
        max_steps=48,
        ends=frozenset({END}),
        shown=shown,
        choice=1,
    )


def test_a_whole_draft_ends_before_the_closing_token() -> None:
    shown = writer("whole").write(draft(2, 3, [0, 1, END, 2, END, END], held=1))
    assert shown == {
        "choice": 1,
        "canvas": 2,
        "step": 3,
        "max_steps": 48,
        "offset": 1,
        "tokens": ["b"],
        "certainty": [round(math.exp(-0.1), 3)],
        "accepted": [0],
        "noise": ["b"],
    }


def test_offsets_count_what_is_settled() -> None:
    one = writer("whole")
    assert one.write(draft(0, 1, [0] * LENGTH))["offset"] == 0
    assert one.write(draft(0, 2, [0] * LENGTH, held=2))["offset"] == 2
    assert one.write(draft(1, 1, [0] * LENGTH))["offset"] == LENGTH
    one.rebase(20)
    assert one.write(draft(2, 1, [0] * LENGTH))["offset"] == 20
    assert one.write(draft(3, 1, [0] * LENGTH))["offset"] == 20 + LENGTH


PASS = st.tuples(
    st.lists(st.integers(0, END), min_size=LENGTH, max_size=LENGTH),
    st.integers(0, 2),
    st.floats(0, 3),
    st.integers(0, 1),
)


@given(passes=st.lists(PASS, min_size=1, max_size=8))
def test_changes_add_up_to_the_whole_draft(passes: Any) -> None:
    whole, few = writer("whole"), writer("changes")
    known: dict[str, Any] = {}
    canvas, steps = 0, 0
    for ids, held, doubt, turn in passes:
        canvas, steps = canvas + turn, 1 if turn else steps + 1
        one = draft(canvas, steps, ids, held, doubt)
        full, part = whole.write(one), few.write(one)
        if "changes" in part:
            assert part["since"] == known["step"]
            for name in ("tokens", "certainty", "accepted"):
                known[name] = (known[name] + [None] * LENGTH)[: part["length"]]
            for place, *values in part.pop("changes"):
                for name, value in zip(("tokens", "certainty", "accepted"), values, strict=True):
                    known[name][place] = value
        known |= part
        for name in ("choice", "canvas", "step", "offset", "tokens", "accepted"):
            assert known[name] == full[name], name
        for mine, theirs in zip(known["certainty"], full["certainty"], strict=True):
            assert abs(mine - theirs) < VISIBLE + 1e-9


def test_certainty_is_between_nothing_and_one() -> None:
    assert [certainty(x) for x in (0.0, -1e-9, 0.05, 100.0)] == [1.0, 1.0, 0.951, 0.0]


def test_the_model_s_own_drafts_are_shown(lm: LM) -> None:
    params = Params(seed=1)
    one = DraftWriter.of(lm, params, shown=True)
    events = list(lm.stream("Draw a red circle.", params=params))
    shown = [one.write(event) for event in events if isinstance(event, Draft)]
    assert [draft["step"] for draft in shown] == list(range(1, len(shown) + 1))
    assert {draft["max_steps"] for draft in shown} == {lm.settings.max_steps}
    lists = ("tokens", "certainty", "accepted", "noise")
    assert all(len({len(draft[name]) for name in lists}) == 1 for draft in shown)
    *_, done = events
    assert "".join(shown[-1]["tokens"]) == done.result.text


def test_token_texts_are_kept_and_hide_control_tokens(lm: LM) -> None:
    texts = token_texts(lm.tokenizer)
    assert texts is token_texts(lm.tokenizer)
    turn = lm.tokenizer.token_id("<turn|>")
    assert texts.of([turn, turn]) == ["", ""]
