"""What may be read of an answer grows, and ends before a stop string."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from canvaslm import LM
from canvaslm.engine.reading import Reading
from canvaslm.text.spans import Answer, Thought


def answer(reading: Reading) -> str:
    return "".join(span.text for span in reading.spans if isinstance(span, Answer))


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text("ab é😀", min_size=1, max_size=20),
    st.lists(st.text("ab é😀", min_size=1, max_size=3), min_size=1, max_size=3),
    st.lists(st.integers(1, 5), max_size=8),
)
def test_any_split_of_the_tokens_reads_the_same(
    talker: LM, text: str, stops: list[str], sizes: list[int]
) -> None:
    ids = talker.tokenizer.encode(text, special=False)
    whole, split = Reading(talker.tokenizer, stops), Reading(talker.tokenizer, stops)
    whole.push(ids)
    rest = ids
    for size in [*sizes, len(ids)]:
        previewed = split.preview(rest)
        split.push(rest[:size])
        rest = rest[size:]
        if split.stop is None and rest:
            assert (split.preview(rest) is None) == (previewed is None)
    for reading in (whole, split):
        reading.finish()
    assert answer(whole) == answer(split)
    assert (whole.stop, whole.cut) == (split.stop, split.cut)
    if whole.cut is not None:
        kept = ids[: whole.cut.before]
        assert answer(whole).startswith(talker.tokenizer.decode(kept).rstrip("\ufffd"))
        assert not any(stop in talker.tokenizer.decode(kept) for stop in stops)
        assert any(stop in talker.tokenizer.decode(ids[: whole.cut.through]) for stop in stops)


def test_thoughts_are_not_searched_and_do_not_wait(talker: LM) -> None:
    reading = Reading(talker.tokenizer, ["XY"])
    reading.push(talker.tokenizer.encode("aX<|channel>thought\nXY<channel|>"))
    assert reading.spans == [Answer("a"), Thought("XY")]
    reading.push(talker.tokenizer.encode("Yb"))
    assert (answer(reading), reading.stop) == ("a", "XY")
    assert reading.cut is not None
    assert reading.cut.before == 1


def test_what_was_held_back_comes_at_the_end(talker: LM) -> None:
    reading = Reading(talker.tokenizer, ["XYZ"])
    reading.push(talker.tokenizer.encode("aXY"))
    assert answer(reading) == "a"
    reading.finish()
    assert (answer(reading), reading.stop) == ("aXY", None)
