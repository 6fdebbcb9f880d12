"""The `openai` client as programs use it: chat, streams, tools, schemas, errors, leaving early."""

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel
from tests.engine.conftest import TINY, sharpen

from canvaslm import LM
from canvaslm.engine.loading import POCKET
from canvaslm.engine.serving.engine import Engine
from canvaslm.engine.settings import Settings as Generation
from canvaslm.model.initialise import initialise
from canvaslm.model.transformer import Transformer
from canvaslm.server.app import create_app
from canvaslm.server.service import Service
from canvaslm.server.settings import Settings
from canvaslm.text.template import ChatTemplate
from canvaslm.text.tokenizer import Tokenizer

from .conftest import Server, serving

MODEL = "canvaslm-pocket"
DRAW: Any = [{"role": "user", "content": "Draw a small red circle at the top left."}]
TEMPLATE = """{% for m in messages %}{{ m.role }}: {{ m.content }}
{% for call in m.tool_calls or () %}{{ call.function.name }}({{ call.function.arguments }})
{% endfor %}{% endfor %}
{%- if tools %}{{ tools | tojson }}{% endif %}{% if enable_thinking %}think{% endif %}"""
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 9}, "days": {"enum": [1, 2]}},
            "required": ["city", "days"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
TIME: Any = {"type": "function", "function": {"name": "time"}}


def babble() -> LM:
    """Random weights over the embedded model's vocabulary, and a template that knows tools."""
    tokenizer = Tokenizer.from_folder(POCKET)
    assert tokenizer is not None
    tokenizer.template = ChatTemplate(TEMPLATE)
    config = replace(TINY, vocab_size=tokenizer.vocab_size, max_positions=2048)
    model = Transformer(config).eval()
    initialise(model, seed=3)
    ends = frozenset(tokenizer.token_id(name) or 0 for name in ("<eos>", "<turn|>"))
    return LM(sharpen(model), tokenizer=tokenizer, settings=Generation(eos_ids=ends, max_steps=4))


@pytest.fixture(scope="module")
def noise() -> Iterator[Server]:
    """A server of a model that knows tools and thoughts, and says garbage otherwise."""
    with Engine(babble()) as engine:
        service = Service(settings=Settings(name="noise"), engine=engine)
        with serving(create_app(service)) as server:
            yield server


def connect(server: Server) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{server.base_url}/v1", api_key="none", max_retries=0)


@pytest.fixture
def talk(server: Server) -> Iterator[openai.OpenAI]:
    with connect(server) as client:
        yield client


@pytest.fixture
def babbler(noise: Server) -> Iterator[openai.OpenAI]:
    with connect(noise) as client:
        yield client


def test_a_chat_and_its_stream(talk: openai.OpenAI) -> None:
    whole = talk.chat.completions.create(model=MODEL, messages=DRAW, seed=1, temperature=0)
    content = whole.choices[0].message.content
    assert content
    with talk.chat.completions.stream(
        model=MODEL,
        messages=DRAW,
        seed=1,
        temperature=0,
        stream_options={"include_usage": True},
        extra_body={"canvas_events": "changes"},
    ) as stream:
        for _ in stream:
            pass
        final = stream.get_final_completion()
    assert final.choices[0].message.content == content
    assert final.choices[0].finish_reason == whole.choices[0].finish_reason
    assert final.usage is not None
    assert whole.usage is not None
    assert final.usage.completion_tokens == whole.usage.completion_tokens


def test_a_pydantic_schema_is_met(babbler: openai.OpenAI) -> None:
    class Person(BaseModel):
        name: str
        age: int

    got = babbler.chat.completions.parse(
        model="noise", messages=DRAW, seed=2, max_tokens=80, response_format=Person
    )
    assert isinstance(got.choices[0].message.parsed, Person)


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "weather"}}]
)
def test_a_tool_is_called_with_arguments_of_its_schema(babbler: openai.OpenAI, choice: Any) -> None:
    asked: Any = {"model": "noise", "messages": DRAW, "seed": 5, "max_tokens": 60}
    tools: Any = [WEATHER] if choice == "required" else [WEATHER, TIME]
    got = babbler.chat.completions.create(**asked, tools=tools, tool_choice=choice)
    (answer,) = got.choices
    assert answer.finish_reason == "tool_calls"
    (call,) = answer.message.tool_calls or ()
    assert call.type == "function"
    assert call.id.startswith("call_")
    arguments = json.loads(call.function.arguments)
    assert set(arguments) == {"city", "days"}
    assert arguments["days"] in (1, 2)
    assert answer.message.content is None
    with babbler.chat.completions.stream(**asked, tools=tools, tool_choice=choice) as stream:
        names = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in names
    (streamed,) = final.choices[0].message.tool_calls or ()
    assert json.loads(streamed.function.arguments) == arguments
    again = [
        *DRAW,
        answer.message,
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    babbler.chat.completions.create(model="noise", messages=again, max_tokens=5, tools=tools)


def test_tools_may_be_left_to_the_model(babbler: openai.OpenAI) -> None:
    asked: Any = {"model": "noise", "messages": DRAW, "seed": 5, "max_tokens": 12}
    free = babbler.chat.completions.create(**asked, tools=[WEATHER], tool_choice="auto")
    assert free.choices[0].finish_reason in ("stop", "length")
    hidden = babbler.chat.completions.create(**asked, tools=[WEATHER], tool_choice="none")
    without = babbler.chat.completions.create(**asked)
    assert hidden.choices[0].message == without.choices[0].message
    assert (
        hidden.usage == without.usage or hidden.usage.prompt_tokens == without.usage.prompt_tokens
    )


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"tools": [WEATHER], "tool_choice": "required"}, "tool_choice"),
        ({"response_format": {"type": "json_object"}}, "constraint"),
    ],
)
def test_thinking_beside_a_constraint_is_refused(
    babbler: openai.OpenAI, wrong: Any, words: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=words):
        babbler.chat.completions.create(
            model="noise", messages=DRAW, reasoning_effort="low", **wrong
        )


def test_thinking_within_a_budget_is_served(babbler: openai.OpenAI) -> None:
    for extra in ({"thinking": True, "thinking_budget": 3}, {"reasoning_effort": "low"}):
        got = babbler.chat.completions.create(
            model="noise", messages=DRAW, max_tokens=20, seed=1, extra_body=extra
        )
        assert got.choices[0].finish_reason in ("stop", "length")


def test_errors_are_the_client_s_own(talk: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        talk.chat.completions.create(model=MODEL, messages=DRAW, temperature=-1)
    assert caught.value.param == "temperature"
    with pytest.raises(openai.NotFoundError):
        talk.chat.completions.create(model="gpt-5", messages=DRAW)
    with pytest.raises(openai.BadRequestError):
        talk.chat.completions.create(model=MODEL, messages=DRAW, extra_body={"nix": 1}, stream=True)


def test_leaving_a_stream_cancels_the_request(talk: openai.OpenAI, service: Service) -> None:
    before = service.engine.stats.cancelled
    stream = talk.chat.completions.create(
        model=MODEL,
        messages=DRAW,
        stream=True,
        n=2,
        max_tokens=4096,
        temperature=2,
        extra_body={"canvas_events": True, "bad_words": ["</svg>"]},
    )
    for seen, chunk in enumerate(stream):
        assert isinstance(chunk, ChatCompletionChunk)
        if seen > 3:
            break
    stream.close()
    ends = time.monotonic() + 20
    while service.engine.stats.active and time.monotonic() < ends:
        time.sleep(0.02)
    assert service.engine.stats.active == 0
    assert service.engine.stats.cancelled >= before + 1


@pytest.mark.parametrize(
    "extra",
    [
        {"stop": ["\n\n", "Q:"], "temperature": 0, "seed": 1234, "max_tokens": 8},  # lm-eval
        {"temperature": 0.0, "max_tokens": 8, "stream": False, "n": 1},  # litellm
        {"max_completion_tokens": 8, "top_p": 1.0, "frequency_penalty": 0, "user": "u"},
    ],
)
def test_what_harnesses_and_proxies_send_is_served(talk: openai.OpenAI, extra: Any) -> None:
    got = talk.chat.completions.create(model=MODEL, messages=DRAW, **extra)
    assert isinstance(got.choices[0].message.content, str)
