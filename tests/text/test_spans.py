"""Thoughts and tool calls are told from the answer, however the ids come."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvaslm.text.messages import Conversation
from canvaslm.text.spans import Answer, Broken, Span, SpanReader, Thought, ToolCall
from canvaslm.text.tokenizer import Tokenizer

CALL = '<|tool_call>call:look{place:<|"|>Bern<|"|>,days:2}<tool_call|>'
MARKS = ["<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", '<|"|>', "<|think|>"]
WORDS = ["thought\n", "call:f{", "a:1", "}", "the ", "中", "\n", CALL]
SCRIPT = st.lists(st.sampled_from([*MARKS, *WORDS]), max_size=14).map("".join)


def read(tokenizer: Tokenizer, text: str, *, size: int = 1000) -> list[Span]:
    """The spans of `text` given `size` ids at a time, pieces of one text joined."""
    ids = tokenizer.encode(text)
    reader = SpanReader(tokenizer)
    spans = [s for at in range(0, len(ids), size) for s in reader.push(ids[at : at + size])]
    return join([*spans, *reader.finish()])


def join(spans: list[Span]) -> list[Span]:
    joined: list[Span] = []
    for (kind, channel), group in groupby(
        spans, lambda span: (type(span), getattr(span, "channel", None))
    ):
        same = list(group)
        if kind is Answer:
            same = [Answer("".join(span.text for span in same))]
        elif kind is Thought:
            same = [Thought("".join(span.text for span in same), channel)]
        joined += same
    return joined


def test_an_answer_is_an_answer(tokenizer: Tokenizer):
    assert read(tokenizer, "the quick 中文 fox") == [Answer("the quick 中文 fox")]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_thought_call_and_answer(tokenizer: Tokenizer, size):
    text = f"<|channel>thought\nhm, 中\nyes<channel|>the fox{CALL}the dog<turn|><eos><eos>"
    assert read(tokenizer, text, size=size) == [
        Thought("hm, 中\nyes"),
        Answer("the fox"),
        ToolCall("look", {"place": "Bern", "days": 2}),
        Answer("the dog"),
    ]


@given(text=SCRIPT, size=st.integers(1, 9))
def test_pieces_make_no_difference(tokenizer: Tokenizer, text, size):
    assert read(tokenizer, text, size=size) == read(tokenizer, text)


@given(words=st.lists(st.sampled_from(["the", " fox", "<channel|>", "<|channel>thought\n", CALL])))
def test_no_word_is_lost(tokenizer: Tokenizer, words):
    spans = read(tokenizer, "".join(words))
    texts = "".join(span.text for span in spans if not isinstance(span, ToolCall))
    assert texts == "".join(word for word in words if word in ("the", " fox"))
    assert sum(isinstance(span, ToolCall) for span in spans) == words.count(CALL)


@given(data=st.data())
def test_any_ids_give_spans(tokenizer: Tokenizer, data):
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size), max_size=60))
    reader = SpanReader(tokenizer)
    for span in reader.push(ids) + reader.finish():
        assert isinstance(span, Span)


def test_texts_come_as_soon_as_they_are_known(tokenizer: Tokenizer):
    reader = SpanReader(tokenizer)
    assert reader.push(tokenizer.encode("the")) == [Answer("the")]
    assert reader.push(tokenizer.encode("<|channel>thou")) == []
    assert reader.push(tokenizer.encode("ght\nthe")) == [Thought("the")]
    assert reader.push(tokenizer.encode("x")) == [Thought("x")]
    assert reader.push(tokenizer.encode("<|tool_call>")) == [
        Broken("thought", "", "<|tool_call> comes before the thought is closed")
    ]


def test_an_empty_thought_is_no_span(tokenizer: Tokenizer):
    assert read(tokenizer, "<|channel>thought\n<channel|>the") == [Answer("the")]
    assert read(tokenizer, "<|channel>thought<channel|>the") == [Answer("the")]


def test_a_channel_has_its_name_or_none(tokenizer: Tokenizer):
    assert read(tokenizer, "<|channel>plan\nthe<channel|>") == [Thought("the", "plan")]
    assert read(tokenizer, "<|channel>so: the\n<channel|>") == [Thought("so: the\n", "")]


@pytest.mark.parametrize("end", ["", "<turn|>", "<eos>"])
def test_an_open_thought_is_reported(tokenizer: Tokenizer, end):
    reason = f"the {'turn' if end else 'text'} ends before the thought is closed"
    assert read(tokenizer, "<|channel>thought\nthe" + end) == [
        Thought("the"),
        Broken("thought", "", reason),
    ]
    assert read(tokenizer, "<|channel>thou" + end) == [Broken("thought", "thou", reason)]


@pytest.mark.parametrize("end", ["", "<turn|>", "<eos>"])
def test_an_open_call_is_reported(tokenizer: Tokenizer, end):
    reason = f"the {'turn' if end else 'text'} ends before the call is closed"
    assert read(tokenizer, '<|tool_call>call:look{a:<|"|>the' + end) == [
        Broken("tool_call", 'call:look{a:<|"|>the', reason)
    ]


def test_a_call_that_cannot_be_read_is_given_as_it_is(tokenizer: Tokenizer):
    for text, reason in [
        ("look{}", "begins with 'look', expected call:name"),
        ("call:look", "'{' must follow the name"),
        ("call:look{a}", "':' must follow the key 'a'"),
        ('call:look{a:<|"|>}', "no closing quote"),
    ]:
        [span] = read(tokenizer, f"<|tool_call>{text}<tool_call|>")
        assert isinstance(span, Broken)
        assert span.text == text
        assert reason in span.reason


def test_a_call_in_a_call_breaks_the_first(tokenizer: Tokenizer):
    broken, call = read(tokenizer, "<|tool_call>call:a" + CALL)
    assert broken == Broken("tool_call", "call:a", "<|tool_call> comes before the call is closed")
    assert call == ToolCall("look", {"place": "Bern", "days": 2})


def test_quotes_are_tokens_and_not_their_spelling(tokenizer: Tokenizer):
    ids = tokenizer.encode("<|tool_call>call:say{text:")
    quote = tokenizer.token_id('<|"|>')
    ids += [quote, *tokenizer.encode('a <|"|> b, {c}', special=False), quote]
    ids += tokenizer.encode("}<tool_call|>")
    assert SpanReader(tokenizer).push(ids) == [ToolCall("say", {"text": 'a <|"|> b, {c}'})]


def test_nothing_is_read_behind_the_turn(tokenizer: Tokenizer):
    reader = SpanReader(tokenizer)
    assert reader.push(tokenizer.encode("the<turn|>fox")) == [Answer("the")]
    assert reader.ended
    assert reader.push(tokenizer.encode("dog")) == []
    assert reader.finish() == []


def test_a_vocabulary_without_control_tokens_gives_answers(bare: Tokenizer):
    assert read(bare, "<|channel>thought\nthe<turn|>") == [Answer("<|channel>thought\nthe<turn|>")]


@given(
    arguments=st.dictionaries(
        st.text("abc_", min_size=1),
        st.recursive(
            st.booleans() | st.integers() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text("abc_", min_size=1), inner),
            max_leaves=6,
        ),
        max_size=3,
    )
)
def test_a_call_written_by_the_real_template_is_read_back(gemma: Tokenizer, arguments):
    function = {"name": "look", "arguments": arguments}
    call = {"role": "assistant", "tool_calls": [{"function": function}]}
    ids = gemma.render([{"role": "user", "content": "hi"}, call])
    start, end = (ids.index(gemma.token_id(mark)) for mark in ("<|tool_call>", "<tool_call|>"))
    assert SpanReader(gemma).push(ids[start : end + 1]) == [ToolCall("look", arguments)]
    assert Conversation.parse([call]).messages[0]["tool_calls"][0]["function"] == function
