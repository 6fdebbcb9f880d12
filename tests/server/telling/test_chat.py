"""Chat chunks add up to the answer, never with a control tag in them, never without a call."""

import json
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk

from canvaslm import Result, Usage
from canvaslm.engine.events import Done, Event, Text
from canvaslm.engine.loading import POCKET
from canvaslm.engine.requests import as_event
from canvaslm.server.telling import responses
from canvaslm.server.telling.chat import (
    ChoiceStream,
    Telling,
    choice_of,
    join_call,
    show_usage,
    without_controls,
)
from canvaslm.text.spans import Answer, Broken, SpanReader, Thought, ToolCall
from canvaslm.text.tokenizer import Tokenizer

Json = dict[str, Any]

HEAD = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}


def read_tokenizer() -> Tokenizer:
    tokenizer = Tokenizer.from_folder(POCKET)
    assert tokenizer is not None
    return tokenizer


TOKENIZER = read_tokenizer()
CONTROLS = [TOKENIZER.token_text(id) for id in TOKENIZER.special_ids]


def telling(**options: Any) -> Telling:
    numbers = count()
    return Telling(TOKENIZER, name=lambda: f"call_{next(numbers)}", **options)


def result_of(spans: Any, *, ids: Any = (), reason: str = "stop") -> Result:
    usage = Usage(prompt_tokens=3, completion_tokens=len(ids), canvases=1, steps=2, seconds=0.1)
    return Result(
        token_ids=tuple(ids), finish_reason=reason, usage=usage, seed=1, spans=tuple(spans)
    )


def chunks_of(events: list[Event], result: Result, **options: Any) -> list[Json]:
    stream = ChoiceStream(head=HEAD, index=0, telling=telling(**options))
    chunks = [stream.begin()]
    for event in [*events, Done(result=result)]:
        chunks += stream.take(event)
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    return chunks


def add_up(chunks: list[Json]) -> Json:
    """The choice that a client makes of chunks."""
    first, *rest = chunks
    assert first["choices"][0]["delta"]["role"] == "assistant"
    content, reasoning, calls = "", "", []
    for chunk in rest:
        delta = chunk["choices"][0]["delta"]
        content += delta.get("content", "")
        reasoning += delta.get("reasoning_content", "")
        for part in delta.get("tool_calls", ()):
            join_call(calls, part)
    last = rest[-1]["choices"][0]
    assert all(chunk["choices"][0]["finish_reason"] is None for chunk in chunks[:-1])
    message: Json = {"role": "assistant", "content": content or (None if calls else "")}
    message |= {"refusal": None} | ({"reasoning_content": reasoning} if reasoning else {})
    message |= {"tool_calls": calls} if calls else {}
    ending = {name: last[name] for name in ("logprobs", "finish_reason", "notes") if name in last}
    return {"index": 0, "message": message, **ending}


CALL = ToolCall("weather", {"city": "Ulm", "days": [1, None, {"a": True}]})
SPAN = st.one_of(
    st.builds(Answer, st.text(min_size=1, max_size=5)),
    st.builds(Thought, st.text(min_size=1, max_size=5)),
    st.just(CALL),
    st.builds(Broken, st.just("tool_call"), st.text(max_size=5), st.just("it broke")),
    st.builds(Broken, st.just("thought"), st.text(max_size=3), st.just("the text ends")),
)


@given(spans=st.lists(SPAN, max_size=8), parallel=st.booleans())
def test_a_stream_adds_up_to_the_whole_choice(spans: Any, parallel: bool) -> None:
    result = result_of(spans)
    chunks = chunks_of([as_event(span) for span in spans], result, parallel=parallel)
    whole = choice_of(result, index=0, telling=telling(parallel=parallel), logprobs=False)
    assert add_up(chunks) == whole


def test_a_call_comes_as_openai_streams_it() -> None:
    chunks = chunks_of([CALL], result_of([CALL]))
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks[1:]]
    first, then = (delta["tool_calls"][0] for delta in deltas[:2])
    assert first == {
        "index": 0,
        "id": "call_0",
        "type": "function",
        "function": {"name": "weather", "arguments": ""},
    }
    assert (then["index"], json.loads(then["function"]["arguments"])) == (0, CALL.arguments)
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_cut_answer_says_length_even_behind_a_call() -> None:
    whole = choice_of(
        result_of([CALL], reason="length"), index=0, telling=telling(), logprobs=False
    )
    assert whole["finish_reason"] == "length"


def test_one_call_where_calls_are_not_parallel() -> None:
    whole = choice_of(
        result_of([CALL, CALL]), index=0, telling=telling(parallel=False), logprobs=False
    )
    assert len(whole["message"]["tool_calls"]) == 1
    assert "parallel_tool_calls" in whole["notes"][0]


def test_a_broken_call_is_content_and_noted() -> None:
    broken = Broken("tool_call", 'call:f{a:<|"|>x', "the text ends before the call is closed")
    whole = choice_of(result_of([broken]), index=0, telling=telling(), logprobs=False)
    assert whole["message"]["content"] == 'call:f{a:"x'
    assert "could not be read" in whole["notes"][0]


def test_what_is_left_of_control_strings_makes_no_new_one() -> None:
    assert without_controls("a<|tur<turn|>n>b", TOKENIZER) == "ab"


def control(name: str) -> int:
    id = TOKENIZER.token_id(name)
    assert id is not None
    return id


def call_ids(name: str, city: str) -> list[int]:
    quote = control('<|"|>')
    return [
        control("<|tool_call>"),
        *TOKENIZER.encode(f"call:{name}{{city:", special=False),
        quote,
        *TOKENIZER.encode(city, special=False),
        quote,
        *TOKENIZER.encode("}", special=False),
        control("<tool_call|>"),
    ]


WORDS = st.text(alphabet='ab <|>{}:"\\é中\n', max_size=6)
PIECE = st.one_of(
    WORDS.map(lambda text: ("answer", text, TOKENIZER.encode(text, special=False))),
    WORDS.map(
        lambda text: (
            "thought",
            text,
            [
                control("<|channel>"),
                *TOKENIZER.encode("thought\n" + text, special=False),
                control("<channel|>"),
            ],
        )
    ),
    WORDS.map(lambda text: ("call", text, call_ids("weather", text))),
)


@given(pieces=st.lists(PIECE, max_size=5), data=st.data())
def test_however_tokens_are_split_nothing_leaks_and_nothing_is_lost(
    pieces: list[tuple[str, str, list[int]]], data: st.DataObject
) -> None:
    ids = [id for _, _, piece in pieces for id in piece] + [control("<turn|>")]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(ids)), max_size=6)))
    reader, spans = SpanReader(TOKENIZER), []
    for start, end in zip([0, *cuts], [*cuts, len(ids)], strict=True):
        spans += reader.push(ids[start:end])
    spans += reader.finish()
    made = add_up(chunks_of([as_event(span) for span in spans], result_of(spans, ids=ids)))
    message = made["message"]
    said = {kind: [text for one, text, _ in pieces if one == kind] for kind in ("answer", "call")}
    assert (message["content"] or "") == "".join(said["answer"])
    assert message.get("reasoning_content", "") == "".join(
        text for kind, text, _ in pieces if kind == "thought"
    )
    calls = message.get("tool_calls", [])
    assert [json.loads(call["function"]["arguments"]) for call in calls] == [
        {"city": text} for text in said["call"]
    ]
    assert made["finish_reason"] == ("tool_calls" if calls else "stop")


@given(ids=st.lists(st.integers(0, 60) | st.sampled_from(sorted(TOKENIZER.special_ids))))
def test_no_control_token_ever_shows(ids: list[int]) -> None:
    reader = SpanReader(TOKENIZER)
    spans = [*reader.push(ids), *reader.finish()]
    for span in spans:
        if isinstance(span, Broken) and span.kind == "tool_call":
            for delta in telling().take(span):
                assert not any(name in delta["content"] for name in CONTROLS)
    chunks_of([as_event(span) for span in spans], result_of(spans, ids=ids))


def test_usage_counts_thoughts_and_every_answer() -> None:
    ids = [control("<|channel>"), 70, 71, 72, control("<channel|>"), 73]
    usage = show_usage([result_of([], ids=ids)] * 2, TOKENIZER)
    assert usage["prompt_tokens"] == 3
    assert usage["completion_tokens"] == 12
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 6}
    assert usage["tokens_per_forward"] == pytest.approx(3)


def test_empty_texts_make_no_chunk() -> None:
    assert telling().take(Text(delta="")) == []


def test_a_response_has_the_usage_of_a_chat_under_other_names() -> None:
    ids = [control("<|channel>"), 70, 71, control("<channel|>"), 73]
    result = result_of([], ids=ids)
    chat, response = show_usage([result], TOKENIZER), responses.show_usage(result, TOKENIZER)
    names = {"prompt": "input", "completion": "output"}
    for name, value in chat.items():
        before, _, after = name.partition("_")
        there = response[f"{names[before]}_{after}" if before in names else name]
        assert there == value or value.items() <= there.items()
