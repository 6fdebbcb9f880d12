"""`/v1/responses` behind a real server, with the real OpenAI client."""

import json
import re
import shutil
from collections.abc import Iterator
from importlib.resources import files
from typing import Any, Literal

import httpx
import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter
from tests.server.conftest import Server, serving

from canvaslm import LM, Params, load
from canvaslm.engine.serving.engine import Engine
from canvaslm.server.app import create_app
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings

DRAW = "Draw: a large red circle at the top left."
SEED: Any = {"seed": 3}
WEATHER: Any = {
    "type": "function",
    "name": "weather",
    "description": "The weather somewhere.",
    "parameters": {
        "type": "object",
        "properties": {"place": {"enum": ["Bern", "Rome"]}, "days": {"enum": [1, 2]}},
        "required": ["place", "days"],
        "additionalProperties": False,
    },
    "strict": True,
}
LONG: Any = {"mode": "ar", "regex": "a+"}
LOGPROBS: Any = ["message.output_text.logprobs"]
TEMPLATE = """{{ bos_token }}
{%- if tools or enable_thinking %}<|turn>system
{%- if enable_thinking %}<|think|>{% endif %}
{%- for tool in tools or [] %}{{ tool.function.name }}{% endfor %}<turn|>
{% endif %}
{%- for message in messages -%}
<|turn>{{ message.role }}
{% for call in message.tool_calls or [] %}<|tool_call>call:{{ call.function.name }}{
{%- for key, value in call.function.arguments | items %}{{ key }}:{{ value }},{% endfor -%}
}<tool_call|>{% endfor %}{{ message.content }}<turn|>
{% endfor -%}
{%- if add_generation_prompt %}<|turn>model
{% endif -%}
"""


class Person(BaseModel):
    name: Literal["Anna", "Ben"]
    age: Literal[12, 13]


@pytest.fixture(scope="module")
def ask(server: Server) -> Iterator[OpenAI]:
    with connected(server) as client:
        yield client


@pytest.fixture(scope="module")
def tooled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    """A client of the same weights with a template that knows tools and thoughts."""
    folder = tmp_path_factory.mktemp("tooled") / "model"
    shutil.copytree(files("canvaslm") / "pocket", folder)  # type: ignore[arg-type]
    (folder / "chat_template.jinja").write_text(TEMPLATE)
    with Engine(load(folder)) as engine:
        app = create_app(Service(settings=Settings(), engine=engine))
        with serving(app) as server, connected(server) as client:
            yield client


def connected(server: Server) -> OpenAI:
    return OpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0, timeout=60)


def create(ask: OpenAI, input: Any = DRAW, **options: Any) -> Any:
    options = {"model": "canvaslm-pocket", "max_output_tokens": 64, "extra_body": SEED} | options
    return ask.responses.create(input=input, **options)


def test_a_text_is_answered_as_the_library_answers_it(ask: OpenAI, lm: LM) -> None:
    got = create(ask, metadata={"a": "b"}, user="me", store=False, temperature=0)
    expected = lm.generate(DRAW, params=Params(seed=3, max_tokens=64, temperature=0))
    assert got.output_text == expected.text
    assert (got.status, got.incomplete_details, got.error) == ("completed", None, None)
    (message,) = got.output
    assert (message.type, message.status) == ("message", "completed")
    assert got.usage.input_tokens == expected.usage.prompt_tokens
    assert got.usage.output_tokens == expected.usage.completion_tokens
    assert got.usage.steps == expected.usage.steps
    assert (got.metadata, got.user, got.store, got.seed) == ({"a": "b"}, "me", False, 3)
    assert Response.model_validate(got.to_dict())


def test_a_stream_says_what_the_response_says(ask: OpenAI) -> None:
    strict: TypeAdapter[ResponseStreamEvent] = TypeAdapter(ResponseStreamEvent)
    whole = create(ask)
    events = list(create(ask, stream=True))
    for event in events:
        strict.validate_python(event.to_dict())
    assert [event.sequence_number for event in events] == list(range(len(events)))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
    assert "".join(deltas) == whole.output_text
    last = events[-1]
    assert last.type == "response.completed"
    assert last.response.output_text == whole.output_text
    assert last.response.usage.output_tokens == whole.usage.output_tokens


def test_event_lines_say_the_type(server: Server) -> None:
    body = {"input": DRAW, "stream": True, "seed": 3, "max_output_tokens": 64}
    with httpx.Client(base_url=server.base_url) as client:
        got = client.post("/v1/responses", json=body)
    assert got.headers["content-type"].startswith("text/event-stream")
    blocks = got.text.strip().split("\n\n")
    for block in blocks:
        name, data = block.split("\n")
        assert name == f"event: {json.loads(data.removeprefix('data: '))['type']}"


def test_the_streaming_helper_gathers_it(ask: OpenAI) -> None:
    with ask.responses.stream(
        model="canvaslm-pocket", input=DRAW, max_output_tokens=64, extra_body=SEED
    ) as stream:
        texts = [e.delta for e in stream if e.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(texts) == final.output_text == create(ask).output_text


def test_an_answer_that_is_cut_is_incomplete(ask: OpenAI) -> None:
    got = create(ask, max_output_tokens=3)
    assert got.status == "incomplete"
    assert got.incomplete_details.reason == "max_output_tokens"
    assert got.output[-1].status == "incomplete"
    assert got.usage.output_tokens == 3
    *_, last = create(ask, max_output_tokens=3, stream=True)
    assert last.type == "response.incomplete"


def test_structured_output_is_parsed(ask: OpenAI) -> None:
    got = ask.responses.parse(
        model="canvaslm-pocket",
        input="Extract as JSON with keys name, age: Anna is 12 years old.",
        text_format=Person,
        max_output_tokens=100,
        extra_body=SEED,
    )
    assert isinstance(got.output_parsed, Person)
    with ask.responses.stream(
        model="canvaslm-pocket", input="Anna is 12.", text_format=Person, extra_body=SEED
    ) as stream:
        assert isinstance(stream.get_final_response().output_parsed, Person)


def test_json_of_any_kind(ask: OpenAI) -> None:
    got = create(ask, "An object, please", text={"format": {"type": "json_object"}})
    assert got.status == "incomplete" or isinstance(json.loads(got.output_text), dict)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "weather"}])
@pytest.mark.parametrize("stream", [False, True])
def test_a_function_is_called(tooled: OpenAI, choice: Any, stream: bool) -> None:
    got = create(tooled, "Weather?", tools=[WEATHER], tool_choice=choice, stream=stream)
    if stream:
        events = list(got)
        deltas = [e.delta for e in events if e.type == "response.function_call_arguments.delta"]
        got = events[-1].response
        assert "".join(deltas) == got.output[0].arguments
    (call,) = got.output
    assert (call.type, call.name, call.status) == ("function_call", "weather", "completed")
    made = json.loads(call.arguments)
    assert made["place"] in ("Bern", "Rome")
    assert made["days"] in (1, 2)
    assert got.tools[0].name == "weather"


def test_a_conversation_with_a_call_goes_on(tooled: OpenAI) -> None:
    first = create(tooled, "Weather?", tools=[WEATHER], tool_choice="required")
    said = [{"role": "user", "content": "Weather?"}, *first.output]
    call = first.output[0]
    said.append({"type": "function_call_output", "call_id": call.call_id, "output": "sunny"})
    said.append({"role": "user", "content": [{"type": "input_text", "text": DRAW}]})
    second = create(tooled, said, tools=[WEATHER], tool_choice="none", instructions="Be brief.")
    assert second.status in ("completed", "incomplete")
    third = create(tooled, [*said, *second.output, {"role": "user", "content": "More"}])
    assert third.status in ("completed", "incomplete")


@pytest.mark.parametrize("effort", ["none", "low", "high"])
def test_thoughts_are_items_of_their_own(tooled: OpenAI, effort: str) -> None:
    got = create(tooled, reasoning={"effort": effort, "summary": "auto"}, stream=True)
    *_, last = got
    kinds = {item.type for item in last.response.output}
    assert kinds <= {"message", "reasoning"}
    assert last.response.reasoning.effort == effort


def test_a_model_without_tools_says_so(ask: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="neither thinking nor tools"):
        create(ask, tools=[WEATHER])


def test_tokens_come_with_their_logprobs(ask: OpenAI) -> None:
    got = create(ask, include=LOGPROBS, top_logprobs=2)
    (part,) = got.output[0].content
    read = b"".join(bytes(token.bytes) for token in part.logprobs)
    assert read.decode() == part.text
    assert all(len(token.top_logprobs) == 2 for token in part.logprobs)
    *_, last = create(ask, include=LOGPROBS, top_logprobs=2, stream=True)
    assert last.response.output[0].content[0].to_dict() == part.to_dict()


@pytest.mark.parametrize("shown", [True, "changes"])
def test_drafts_come_between(ask: OpenAI, shown: Any) -> None:
    events = list(create(ask, stream=True, extra_body=SEED | {"canvas_events": shown}))
    drafts = [e.to_dict() for e in events if e.type == "response.canvas.draft"]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert [draft["step"] for draft in drafts][:2] == [1, 2]
    assert len(drafts[0]["tokens"]) == len(drafts[0]["certainty"])
    assert drafts[0]["output_index"] == 0
    assert events[-1].response.output_text == create(ask).output_text


def test_leaving_a_stream_frees_its_pages(ask: OpenAI, server: Server) -> None:
    stream = create(ask, stream=True, max_output_tokens=5000, extra_body={"seed": 3, "mode": "ar"})
    assert next(iter(stream)).type == "response.created"
    stream.close()
    engine = server.app.state.service.engine
    for _ in range(200):
        if not engine.stats.active:
            break
        httpx.get(f"{server.base_url}/health")
    assert engine.stats.active == 0


def test_a_stream_that_takes_too_long_fails_in_its_own_words(engine: Engine) -> None:
    app = create_app(Service(settings=Settings(wait=0.3), engine=engine))
    with serving(app) as server, connected(server) as ask:
        events = list(
            create(
                ask, stream=True, max_output_tokens=7000, extra_body={"mode": "ar", "regex": "a+"}
            )
        )
    assert [event.sequence_number for event in events] == list(range(len(events)))
    last = events[-1]
    assert (last.type, last.response.status) == ("response.failed", "failed")
    assert last.response.error.code == "server_error"
    deltas = [e.delta for e in events if e.type == "response.output_text.delta"]
    assert last.response.output_text == "".join(deltas)


def test_extensions_are_honoured(ask: OpenAI, lm: LM) -> None:
    body = SEED | {"regex": "[a-c]{5,9}", "mode": "ar"}
    got = create(ask, "Letters", extra_body=body)
    assert re.fullmatch("[a-c]{5,9}", got.output_text)
    whole = create(ask).output_text
    got = create(ask, extra_body=SEED | {"stop": whole[5:9]})
    assert got.output_text == whole[:5]


REFUSED: list[tuple[dict[str, Any], str | None]] = [
    ({}, "input"),
    ({"input": ""}, None),
    ({"input": []}, "input"),
    ({"input": 3}, "input"),
    ({"input": DRAW, "nix": 1}, "nix"),
    ({"input": DRAW, "store": True}, "store"),
    ({"input": DRAW, "background": True}, "background"),
    ({"input": DRAW, "previous_response_id": "resp_1"}, "previous_response_id"),
    ({"input": DRAW, "conversation": "conv_1"}, "conversation"),
    ({"input": DRAW, "prompt": {"id": "p"}}, "prompt"),
    ({"input": DRAW, "truncation": "auto"}, "truncation"),
    ({"input": DRAW, "n": 2}, "n"),
    ({"input": DRAW, "max_tool_calls": 2}, "max_tool_calls"),
    ({"input": DRAW, "include": ["web_search_call.action.sources"]}, "include.0"),
    ({"input": DRAW, "top_logprobs": 3}, "top_logprobs"),
    ({"input": DRAW, "top_logprobs": 21, "include": LOGPROBS}, "top_logprobs"),
    ({"input": DRAW, "max_output_tokens": 0}, "max_output_tokens"),
    ({"input": DRAW, "max_output_tokens": 10**9}, "max_output_tokens"),
    ({"input": DRAW, "max_output_tokens": 10**30}, None),
    ({"input": DRAW, "temperature": -1}, "temperature"),
    ({"input": DRAW, "temperature": "warm"}, "temperature"),
    ({"input": DRAW, "top_p": 2}, "top_p"),
    ({"input": DRAW, "seed": -1}, "seed"),
    ({"input": DRAW, "stream_options": {"include_obfuscation": False}}, "stream_options"),
    ({"input": DRAW, "canvas_events": True}, "canvas_events"),
    ({"input": DRAW, "tools": [{"type": "web_search"}]}, "tools.0.type"),
    ({"input": DRAW, "tool_choice": "required"}, "tool_choice"),
    ({"input": DRAW, "tool_choice": "maybe"}, "tool_choice"),
    ({"input": DRAW, "tool_choice": {"type": "function"}}, "tool_choice.name"),
    ({"input": DRAW, "stop": ["a", 1]}, "stop.1"),
    ({"input": DRAW, "bad_words": [["a"]]}, "bad_words.0.0"),
    (
        {"input": DRAW, "tools": [WEATHER], "tool_choice": {"type": "function", "name": "x"}},
        "tool_choice",
    ),
    ({"input": DRAW, "text": {"format": {"type": "xml"}}}, "text.format"),
    (
        {
            "input": DRAW,
            "text": {"format": {"type": "json_schema", "name": "a", "schema": {"$ref": "#/x"}}},
        },
        "text.format",
    ),
    ({"input": DRAW, "reasoning": {"effort": "huge"}}, "reasoning.effort"),
    ({"input": DRAW, "reasoning": {"effort": "low"}, "thinking": False}, "thinking"),
    ({"input": DRAW, "reasoning": {"context": "auto"}}, "reasoning.context"),
    ({"input": DRAW, "metadata": {"a": 1}}, "metadata.a"),
    ({"input": DRAW, "service_tier": "flex"}, "service_tier"),
    ({"input": [{"type": "item_reference", "id": "x"}]}, "input.0"),
    ({"input": [{"role": "robot", "content": "Hi"}]}, "input.0.role"),
    ({"input": [{"role": "user"}]}, "input.0.content"),
    ({"input": [{"role": "user", "content": "Hi", "x": 1}]}, "input.0.x"),
    (
        {
            "input": [
                {"role": "user", "content": [{"type": "input_image", "image_url": "http://a"}]}
            ]
        },
        "input.0.content.0",
    ),
    (
        {"input": [{"type": "function_call_output", "call_id": "c", "output": "x"}]},
        "input.0.call_id",
    ),
    (
        {"input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "[NaN]"}]},
        "input.0.arguments",
    ),
    ({"input": [{"type": "reasoning", "summary": []}]}, "input"),
    ({"input": [3]}, "input.0"),
]


@pytest.mark.parametrize(("body", "param"), REFUSED, ids=lambda value: str(value)[:60])
def test_what_cannot_be_served_is_refused_by_name(
    server: Server, body: dict[str, Any], param: str | None
) -> None:
    got = httpx.post(f"{server.base_url}/v1/responses", json=body)
    if "input" in body and body["input"] == "":
        assert got.status_code == 200  # nothing said is a conversation, too
        return
    assert got.status_code == 400, got.text
    error = got.json()["error"]
    assert error["type"] == "invalid_request_error"
    if param is not None:
        assert error["param"] == param, error
    for word in ("response_format", "max_completion_tokens", "messages[", "<"):
        assert word not in error["message"], error


@pytest.mark.parametrize(
    "text",
    [
        '{"input": "Hi", "temperature": NaN}',
        '{"input": "Hi", "temperature": 1e999}',
        '{"input": "Hi", "seed": ' + "9" * 5000 + "}",
        '{"input": "\\ud800"}',
        '{"input": "a\\u0000b"}',
        '{"input": ' + "[" * 5000 + "]" * 5000 + "}",
        '{"input": [{"role": "user", "content": "\\udfff"}]}',
        '{"input": "Hi", "text": {"format": {"type": "json_schema", "name": "a", "schema": '
        + '{"items":' * 200
        + "{}"
        + "}" * 200
        + "}}}",
        "[]",
        "null",
        "",
        "{",
    ],
    ids=range(12),
)
def test_no_json_is_too_strange(server: Server, text: str) -> None:
    got = httpx.post(
        f"{server.base_url}/v1/responses",
        content=text.encode(),
        headers={"Content-Type": "application/json"},
    )
    assert got.status_code == 400
    assert set(got.json()["error"]) == {"message", "type", "param", "code"}


def test_the_client_raises_what_it_should(ask: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="nothing is kept") as caught:
        create(ask, store=True)
    assert caught.value.param == "store"
    with pytest.raises(openai.NotFoundError):
        create(ask, model="gpt-6.2-astra")
    with pytest.raises(openai.BadRequestError) as caught:
        create(ask, stream=True, max_output_tokens=10**6)
    assert caught.value.code == "context_length_exceeded"
