"""Typed events of a response: in order, complete, and the same answer whichever way it is read."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import construct_type_unchecked
from openai._types import omit
from openai.lib.streaming.responses._responses import ResponseStreamState
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from canvaslm import LM
from canvaslm.engine.events import Done, Event, Text
from canvaslm.engine.result import Result, Usage
from canvaslm.server.errors import ApiError
from canvaslm.server.schema.responses import ResponseReply, ResponsesBody
from canvaslm.server.telling.responses import Writer, opening
from canvaslm.text.spans import Answer, Broken, Span, Thought, ToolCall

Json = dict[str, Any]
TEXTS = st.text(max_size=6)
CALLS = st.builds(
    ToolCall,
    st.sampled_from(["look", "f"]),
    st.dictionaries(st.text(max_size=3), st.none() | st.integers() | st.text(max_size=3)),
)
REASON = st.just("the text ends")
BROKEN = st.builds(  # of a thought at most its name is left, of a call all that was said
    Broken, st.just("thought"), st.sampled_from(["", "tho"]), REASON
) | st.builds(
    Broken,
    st.just("tool_call"),
    st.sampled_from(["", "call:f{", '<|tool_call>call:f{a:<|"|>']),
    REASON,
)
SPANS = st.lists(st.builds(Answer, TEXTS) | st.builds(Thought, TEXTS) | CALLS | BROKEN, max_size=8)
REASONS = st.sampled_from(["stop", "length"])
BODY = ResponsesBody(input="Hi")


def result_of(spans: Sequence[Span], *, reason: str) -> Result:
    return Result(
        token_ids=(),
        finish_reason=reason,
        usage=Usage(prompt_tokens=3, completion_tokens=0, canvases=1, steps=2, seconds=0.1),
        seed=7,
        spans=tuple(spans),
    )


def events_of(spans: Sequence[Span], result: Result) -> list[Event]:
    told: list[Event] = [Text(delta=s.text) if isinstance(s, Answer) else s for s in spans]
    return [*told, Done(result=result)]


def writer_of(lm: LM, **options: Any) -> Writer:
    names = Counter[str]()

    def name(kind: str) -> str:
        names[kind] += 1
        return f"{kind}_{names[kind]}"

    start = opening(BODY, id="resp_1", model="m", created=5, seed=7)
    return Writer(start, tokenizer=lm.tokenizer, name=name, now=lambda: 6, **options)


def write(writer: Writer, events: Sequence[Event]) -> list[Json]:
    return [*writer.begin(), *(told for event in events for told in writer.take(event))]


@given(spans=SPANS, reason=REASONS, logprobs=st.booleans(), parallel=st.booleans())
def test_deltas_add_up_to_the_response(
    lm: LM, spans: list[Span], reason: str, logprobs: bool, parallel: bool
) -> None:
    result = result_of(spans, reason=reason)
    writer = writer_of(lm, logprobs=logprobs, parallel=parallel)
    told = write(writer, events_of(spans, result))
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    final = told[-1]["response"]
    assert told[-1]["type"] == f"response.{final['status']}"
    assert rebuilt(told) == final["output"]
    assert final == writer_of(lm, logprobs=logprobs, parallel=parallel).replay(result)
    ResponseReply.model_validate(final)


def rebuilt(told: Sequence[Json]) -> list[Json]:
    """The output by a reader that trusts deltas, and checks everything else against them."""
    items: dict[int, Json] = {}
    texts: dict[int, str] = {}
    for event in told:
        kind, at = event["type"], event.get("output_index")
        if kind == "response.output_item.added":
            assert at == len(items)
            items[at], texts[at] = event["item"], ""
            assert event["item"]["status"] == "in_progress"
        elif kind.endswith(".delta"):
            assert (event["item_id"], event["delta"]) == (items[at]["id"], event["delta"])
            texts[at] += event["delta"]
        elif kind.endswith("text.done"):
            assert (event["item_id"], event["text"]) == (items[at]["id"], texts[at])
        elif kind.endswith("arguments.done"):
            assert event["arguments"] == texts[at]
            json.loads(event["arguments"])
        elif kind == "response.content_part.done":
            assert event["part"]["text"] == texts[at]
        elif kind == "response.output_item.done":
            assert event["item"]["id"] == items[at]["id"]
            items[at] = event["item"]
    for at, item in items.items():
        content = item.get("content")
        assert texts[at] == (item["arguments"] if content is None else content[0]["text"])
        assert item["status"] in ("completed", "incomplete")
    return [items[at] for at in range(len(items))]


@given(spans=SPANS, reason=REASONS, logprobs=st.booleans())
def test_the_openai_client_reads_every_event(
    lm: LM, spans: list[Span], reason: str, logprobs: bool
) -> None:
    told = write(
        writer_of(lm, logprobs=logprobs), events_of(spans, result_of(spans, reason=reason))
    )
    strict: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
    state: ResponseStreamState[None] = ResponseStreamState(input_tools=omit, text_format=omit)
    for event in told:
        strict.validate_python(event)
        read = construct_type_unchecked(type_=ResponseStreamEvent, value=event)
        assert [e.type for e in state.handle_event(read)] == [event["type"]]
    whole = Response.model_validate(told[-1]["response"])
    texts = [s.text for s in spans if isinstance(s, Answer)]
    if not any(isinstance(s, Broken) for s in spans):
        assert whole.output_text == "".join(texts)


@given(spans=SPANS, reason=REASONS)
def test_no_call_is_swallowed_and_no_control_string_leaks(
    lm: LM, spans: list[Span], reason: str
) -> None:
    result = result_of(spans, reason=reason)
    final = writer_of(lm).replay(result)
    calls = [item for item in final["output"] if item["type"] == "function_call"]
    made = [(call["name"], json.loads(call["arguments"])) for call in calls]
    assert made == [(s.name, s.arguments) for s in spans if isinstance(s, ToolCall)]
    assert len(final["notes"]) == sum(isinstance(s, Broken) for s in spans)
    shown = [item["content"][0]["text"] for item in final["output"] if "content" in item]
    said = "".join(s.text for s in spans if isinstance(s, Answer | Thought))
    for control in ("<|tool_call>", '<|"|>'):
        assert "".join(shown).count(control) == said.count(control)


@given(spans=SPANS, at=st.integers(0, 8))
def test_a_failure_ends_the_stream(lm: LM, spans: list[Span], at: int) -> None:
    writer = writer_of(lm)
    told = write(writer, events_of(spans, result_of(spans, reason="stop"))[: min(at, len(spans))])
    told.append(writer.fail(ApiError("too late", status=504, code="deadline_exceeded")))
    assert told[-1]["type"] == "response.failed"
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    failed = Response.model_validate(told[-1]["response"])
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.message == "too late"


@pytest.mark.parametrize("cut", [1, 2, 5])
def test_logprobs_go_to_the_message_of_their_token(lm: LM, cut: int) -> None:
    """Answer, a call, answer: two messages, and the tokens of each."""
    from canvaslm.engine.scoring.token import TokenLogprob
    from canvaslm.text.spans import SpanReader

    tokenizer = lm.tokenizer
    ids = tokenizer.encode("one 中<|tool_call>call:f{a:1}<tool_call|>two<turn|>")
    reader, spans = SpanReader(tokenizer), []
    for at in range(0, len(ids), cut):
        spans += reader.push(ids[at : at + cut])
    entries = tuple(TokenLogprob(token_id=id, logprob=-1.0, tokenizer=tokenizer) for id in ids)
    usage = Usage(prompt_tokens=3, completion_tokens=len(ids), canvases=1, steps=2, seconds=0.1)
    result = Result(
        token_ids=tuple(ids),
        finish_reason="stop",
        usage=usage,
        seed=7,
        spans=tuple(spans),
        logprobs=entries,
    )
    told = write(writer_of(lm, logprobs=True), events_of(spans, result))
    parts = [item["content"][0] for item in told[-1]["response"]["output"] if "content" in item]
    assert [part["text"] for part in parts] == ["one 中", "two"]
    for part in parts:
        read = b"".join(bytes(token["bytes"]) for token in part["logprobs"])
        assert read.decode() == part["text"]
