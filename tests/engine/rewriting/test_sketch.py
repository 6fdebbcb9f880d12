"""Left to right: the sketch is what `generate` would say, up to where the document goes on."""

from contextlib import ExitStack

import pytest

from canvaslm import LM, Params
from canvaslm.engine.rewriting.around import look_around
from canvaslm.engine.rewriting.attempt import Raw, read_open
from canvaslm.engine.rewriting.desk import Order, question
from canvaslm.engine.rewriting.sketch import MATCH, sketch


def test_a_sketch_is_the_answer_left_to_right(writer: LM) -> None:
    order = Order.of(writer.rewriter, Params(seed=1))
    with ExitStack() as stack:
        around = look_around(writer.rewriter, stack, "a", "", most=7)
        ids, passes = sketch(writer.rewriter, around, order=order)
    plain = Params(max_tokens=7, bad_words=[[id] for id in writer.tokenizer.special_ids - {1, 6}])
    answer = writer.generate(question("a", ""), params=plain, mode="ar")
    assert ids == list(answer.token_ids)
    assert passes == len(ids)
    assert writer.pool.in_use == 0


def test_a_sketch_stops_where_the_document_goes_on(
    writer: LM, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = Order.of(writer.rewriter, Params(seed=1))
    with ExitStack() as stack:
        around = look_around(writer.rewriter, stack, "a", "0123456789abcd", most=4)
        shown = around.shown
        assert len(shown) >= MATCH

        def say(network: object, pool: object, job: object) -> object:
            for id in (40, 41, *shown):
                job.ids.append(id)
                job.steps += 1
                yield [id]
                if job.finish_reason:
                    return

        monkeypatch.setattr("canvaslm.engine.rewriting.sketch.left_to_right", say)
        assert sketch(writer.rewriter, around, order=order) == ([40, 41], 2 + MATCH)


def test_what_a_model_writes_of_the_suffix_is_taken_off(writer: LM) -> None:
    desk, spell = writer.rewriter, writer.tokenizer.text_bytes
    with ExitStack() as stack:
        around = look_around(desk, stack, "a", "xyz", most=4)
        shown, close = list(around.shown), around.ending.close
        assert read_open(desk, around, [40, 41, *shown, close, 50]) == Raw(spell([40, 41]), 2)
        assert read_open(desk, around, [40, 41, close, *shown]) == Raw(spell([40, 41]), 2)
        assert read_open(desk, around, [close]) == Raw(b"", 0)
        assert read_open(desk, around, [40] * 9) == Raw(spell([40] * 4), 4)
