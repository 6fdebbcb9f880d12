"""Whatever the model writes and however it is cut: frames stay whole, calls are told, tags do not
leak."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai._streaming import SSEDecoder
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk

from canvaslm import LM
from canvaslm.engine.events import Done, Event
from canvaslm.engine.requests import as_event
from canvaslm.engine.result import Result, Usage
from canvaslm.server.schema.responses import ResponsesBody
from canvaslm.server.service import Caller
from canvaslm.server.sse import Event as Named
from canvaslm.server.sse import EventStream, encode
from canvaslm.server.telling.chat import ChoiceStream, Telling, choice_of
from canvaslm.server.telling.responses import Writer, opening
from canvaslm.text.spans import Span, SpanReader
from canvaslm.text.tokenizer import Tokenizer

Json = dict[str, Any]

STRANGE = st.sampled_from(
    [
        *("\n", "\r", "\r\n", "\n\n", "\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c", "\ufeff"),
        *("data: ", "event: x", ": ping", "[DONE]", '"', "'", "\\", "\\n", "\0", "\U0001f600", "é"),
    ]
)
LINES = st.lists(STRANGE | st.text(max_size=5), max_size=8).map("".join)
VALUES = st.recursive(
    LINES | st.integers() | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(LINES, inner, max_size=3),
    max_leaves=6,
)
SENT = st.lists(
    st.dictionaries(LINES, VALUES, max_size=3)
    | st.builds(
        lambda name, data: Named(name=name, data=data),
        st.sampled_from(["response.created", "response.output_text.delta"]),
        st.dictionaries(LINES, VALUES, max_size=3),
    ),
    max_size=5,
)
CUTS = st.lists(st.integers(1, 30), min_size=1, max_size=10)


def pieces(data: Sequence[Any], cuts: Sequence[int]) -> list[Any]:
    """The data in pieces of these sizes, again and again."""
    found, at, turn = [], 0, 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        found.append(data[at : at + size])
        at, turn = at + size, turn + 1
    return found


def read_events(data: bytes) -> list[tuple[str | None, str]]:
    """(name, data) of each event, read as the HTML standard says, and in no other way."""
    text = data.decode().removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    events: list[tuple[str | None, str]] = []
    name, lines = None, []
    for line in text.split("\n")[:-1]:
        if not line:
            if lines:
                events.append((name, "\n".join(lines)))
            name, lines = None, []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            lines.append(value)
        elif field == "event":
            name = value
    return events


def meant(sent: Json | Named) -> tuple[str | None, Any]:
    return (sent.name, sent.data) if isinstance(sent, Named) else (None, sent)


@settings(max_examples=150)
@given(sent=SENT, cuts=CUTS)
def test_frames_survive_any_text_and_any_cut(sent: list[Json | Named], cuts: list[int]) -> None:
    data = b"".join(map(encode, sent))
    assert data.isascii()
    expected = [meant(one) for one in sent]
    assert [(name, json.loads(text)) for name, text in read_events(data)] == expected
    found = list(SSEDecoder().iter_bytes(iter(pieces(data, cuts))))
    assert [(event.event, event.json()) for event in found] == expected


@given(sent=SENT, done=st.booleans(), fails=st.booleans())
def test_a_response_of_events_ends_as_it_should(
    sent: list[Json | Named], done: bool, fails: bool
) -> None:
    async def events() -> AsyncIterator[Json | Named]:
        for one in sent:
            yield one
        if fails:
            raise ValueError("secret")

    data = asyncio.run(body_of(EventStream(events(), done=done)))
    found = read_events(data)
    if fails:
        _, text = found.pop()
        assert "secret" not in text
        assert json.loads(text)["error"]["type"] == "server_error"
    elif done:
        assert found.pop() == (None, "[DONE]")
    assert [(name, json.loads(text)) for name, text in found] == [meant(one) for one in sent]


async def body_of(response: EventStream) -> bytes:
    """What is sent to a client that stays."""
    body = bytearray()
    left = asyncio.Event()

    async def receive() -> Json:
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Json) -> None:
        body.extend(message.get("body", b""))

    await response({"type": "http", "state": {"caller": Caller(id="r")}}, receive, send)
    return bytes(body)


MARKS = ["<|channel>", "<channel|>", "<|tool_call>", "<tool_call|>", '<|"|>']
WORDS = ["thought\n", "call:f{", "a:1", "}", "the ", "中", "\n", "{", ",", "x:", "é"]
CALL = '<|tool_call>call:look{place:<|"|>Bern "{x}", \'y\'<|"|>,days:2}<tool_call|>'
MADE = {"place": "Bern \"{x}\", 'y'", "days": 2}
SCRIPTS = st.lists(st.sampled_from([*MARKS, *WORDS, CALL, "<|turn>"]), max_size=14).map("".join)
WHOLE = st.lists(
    st.sampled_from([CALL, "<|channel>thought\nhm 中<channel|>", "so ", "中", "\n"]), max_size=8
)


def spans_of(ids: Sequence[int], cuts: Sequence[int], tokenizer: Tokenizer) -> list[Span]:
    reader = SpanReader(tokenizer)
    spans = [span for piece in pieces(ids, cuts) for span in reader.push(piece)]
    return [*spans, *reader.finish()]


def result_of(ids: Sequence[int], spans: Sequence[Span]) -> Result:
    return Result(
        token_ids=tuple(ids),
        finish_reason="stop",
        usage=Usage(prompt_tokens=1, completion_tokens=len(ids), canvases=1, steps=1, seconds=0.0),
        seed=0,
        spans=tuple(spans),
    )


def events_of(ids: Sequence[int], spans: Sequence[Span]) -> list[Event]:
    return [*map(as_event, spans), Done(result=result_of(ids, spans))]


def chat_of(ids: Sequence[int], spans: Sequence[Span], tokenizer: Tokenizer) -> Json:
    """The message that OpenAI's client gathers from the chunks."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    names = iter(range(1000))
    telling = Telling(tokenizer, name=lambda: f"call_{next(names)}")
    stream = ChoiceStream(head=head, index=0, telling=telling)
    state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
    chunks = [stream.begin(), *(c for e in events_of(ids, spans) for c in stream.take(e))]
    thoughts = ""
    for chunk in chunks:
        state.handle_chunk(ChatCompletionChunk.model_validate(chunk))
        thoughts += chunk["choices"][0]["delta"].get("reasoning_content", "")
    message = state.get_final_completion().choices[0].message
    calls = [
        (call.id, call.function.name, json.loads(call.function.arguments))
        for call in message.tool_calls or ()
    ]
    return {"content": message.content or "", "reasoning": thoughts, "calls": calls}


def plain_chat_of(ids: Sequence[int], spans: Sequence[Span], tokenizer: Tokenizer) -> Json:
    """The message of a response that comes at once, in the same form."""
    names = iter(range(1000))
    telling = Telling(tokenizer, name=lambda: f"call_{next(names)}")
    made = choice_of(result_of(ids, spans), index=0, telling=telling, logprobs=False)["message"]
    calls = [
        (c["id"], c["function"]["name"], json.loads(c["function"]["arguments"]))
        for c in made.get("tool_calls", ())
    ]
    return {
        "content": made["content"] or "",
        "reasoning": made.get("reasoning_content", ""),
        "calls": calls,
    }


def response_of(ids: Sequence[int], spans: Sequence[Span], tokenizer: Tokenizer) -> Json:
    """What the last event of a stream of typed events holds."""
    names = iter(range(10_000))
    start = opening(ResponsesBody(input="Hi"), id="r", model="m", created=1, seed=0)
    writer = Writer(
        start, tokenizer=tokenizer, name=lambda kind: f"{kind}_{next(names)}", now=lambda: 2
    )
    told = [*writer.begin(), *(t for event in events_of(ids, spans) for t in writer.take(event))]
    response: Json = told[-1]["response"]
    return response


def check(ids: Sequence[int], cuts: Sequence[int], tokenizer: Tokenizer) -> tuple[Json, Json]:
    """However the tokens come, chat and response say the same; what they say."""
    whole, cut = (spans_of(ids, sizes, tokenizer) for sizes in ([len(ids) + 1], cuts))
    single = spans_of(ids, [1], tokenizer)
    chats = [chat_of(ids, spans, tokenizer) for spans in (whole, cut, single)]
    assert chats[0] == chats[1] == chats[2] == plain_chat_of(ids, single, tokenizer)
    responses = [response_of(ids, spans, tokenizer) for spans in (whole, cut, single)]
    assert responses[0] == responses[1] == responses[2]
    chat, response = chats[0], responses[0]
    made = [
        (item["name"], json.loads(item["arguments"]))
        for item in response["output"]
        if item["type"] == "function_call"
    ]
    assert [(name, arguments) for _, name, arguments in chat["calls"]] == made
    assert chat["content"] == joined(response, "message")
    assert chat["reasoning"] == joined(response, "reasoning")
    return chat, response


def joined(response: Json, kind: str) -> str:
    items = [item for item in response["output"] if item["type"] == kind]
    return "".join(item["content"][0]["text"] for item in items)


@settings(max_examples=150)
@given(script=SCRIPTS, cuts=CUTS)
def test_any_script_is_told_the_same_however_it_comes(lm: LM, script: str, cuts: list[int]) -> None:
    tokenizer = lm.tokenizer
    chat, response = check(tokenizer.encode(script), cuts, tokenizer)
    for mark in (*MARKS, "<|turn>"):
        assert mark not in chat["content"]
        assert mark not in chat["reasoning"]
    told = len(chat["calls"]) + sum("tool call" in note for note in response["notes"])
    if "<turn|>" not in script:
        assert told == script.count("<|tool_call>")


@settings(max_examples=150)
@given(script=WHOLE, cuts=CUTS)
def test_whole_calls_are_told_and_nothing_beside_them(
    lm: LM, script: list[str], cuts: list[int]
) -> None:
    chat, response = check(lm.tokenizer.encode("".join(script)), cuts, lm.tokenizer)
    assert [(name, made) for _, name, made in chat["calls"]] == [("look", MADE)] * script.count(
        CALL
    )
    assert chat["content"] == "".join(s for s in script if not s.startswith("<"))
    assert chat["reasoning"] == "hm 中" * sum("channel" in s for s in script)
    assert response["notes"] == []


@given(data=st.data(), cuts=CUTS)
def test_any_tokens_at_all(lm: LM, data: st.DataObject, cuts: list[int]) -> None:
    tokenizer = lm.tokenizer
    marks = [tokenizer.token_id(mark) for mark in MARKS]
    ids = st.sampled_from(marks) | st.integers(0, lm.config.vocab_size - 1)
    check(data.draw(st.lists(ids, max_size=40)), cuts, tokenizer)


@pytest.mark.slow
@settings(max_examples=2000)
@given(data=st.data(), cuts=CUTS)
def test_any_tokens_at_all_more_often(lm: LM, data: st.DataObject, cuts: list[int]) -> None:
    tokenizer = lm.tokenizer
    marks = [tokenizer.token_id(mark) for mark in MARKS]
    pieces = [tokenizer.encode(word, special=False) for word in WORDS]
    ids = st.sampled_from([[mark] for mark in marks] + pieces)
    ids |= st.lists(st.integers(0, lm.config.vocab_size - 1), max_size=3)
    check([id for piece in data.draw(st.lists(ids, max_size=60)) for id in piece], cuts, tokenizer)
