"""What comes out under a constraint matches, always: with random weights, cut anywhere."""

import json
import random
import re
from dataclasses import replace
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from tests.control.language.schemas import SCHEMAS
from tests.engine.conftest import TINY, sharpen

from canvaslm import LM, Choice, Grammar, Json, JsonSchema, Params, Regex, ToolCall, load
from canvaslm.engine.loading import POCKET
from canvaslm.engine.settings import Settings
from canvaslm.errors import ConstraintError, ParameterError
from canvaslm.model.initialise import initialise
from canvaslm.model.transformer import Transformer
from canvaslm.tasks import get
from canvaslm.text.template import ChatTemplate
from canvaslm.text.tokenizer import Tokenizer

JUDGE = jsonschema.Draft202012Validator
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "tags": {"type": "array", "items": {"enum": ["red", "blue"]}, "maxItems": 3},
        "age": {"type": "integer", "minimum": 0, "maximum": 130},
    },
    "required": ["name", "tags", "age"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "maxLength": 9}, "days": {"enum": [1, 2]}},
            "required": ["city", "days"],
        },
    },
}


def babble() -> LM:
    """Random weights over the embedded model's vocabulary: garbage, were it not constrained."""
    tokenizer = Tokenizer.from_folder(POCKET)
    assert tokenizer is not None
    tokenizer.template = ChatTemplate("{{ messages[0].content }}{% if tools %}tools{% endif %}")
    config = replace(TINY, vocab_size=tokenizer.vocab_size, max_positions=2048)
    model = Transformer(config).eval()
    initialise(model, seed=3)
    ends = frozenset(tokenizer.token_id(name) for name in ("<eos>", "<turn|>"))
    return LM(sharpen(model), tokenizer=tokenizer, settings=Settings(eos_ids=ends, max_steps=4))


LM_OF_NOISE = babble()


def check_schema(schema: Any, seed: int, mode: str) -> None:
    try:
        constraint = JsonSchema(schema, depth=1)
        params = Params(constraint=constraint, seed=seed, max_tokens=90)
        result = LM_OF_NOISE.generate("go", params=params, mode=mode)
    except ConstraintError:  # nothing satisfies it, or nothing of 90 tokens does: draw another
        reject()
    JUDGE(schema, format_checker=JUDGE.FORMAT_CHECKER).validate(json.loads(result.text))


@given(schema=SCHEMAS, seed=st.integers(0, 2**32), mode=st.sampled_from(["diffusion", "ar"]))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_random_schemas_are_satisfied_by_random_weights(schema: Any, seed: int, mode: str) -> None:
    check_schema(schema, seed, mode)


@pytest.mark.slow
@given(schema=SCHEMAS, seed=st.integers(0, 2**32))
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
def test_a_thousand_random_schemas_are_satisfied(schema: Any, seed: int) -> None:
    """Some take longer to build than others; none hangs."""
    check_schema(schema, seed, "diffusion")


def test_every_kind_of_constraint_holds() -> None:
    row = r"[1-9]( [1-9]){8}"
    arithmetic = 'start: NUMBER (("+"|"-") NUMBER)*\nNUMBER: /[0-9]{1,3}/'
    cases = [
        (Regex(row), lambda text: re.fullmatch(row, text)),
        (Choice(["circle", "square", "a large circle"]), lambda text: text in _THREE),
        (Json(depth=2), lambda text: json.loads(text) or True),
        (Grammar(arithmetic), lambda text: re.fullmatch(r"\d{1,3}([+-]\d{1,3})*", text)),
    ]
    for seed in range(4):
        for constraint, holds in cases:
            params = Params(constraint=constraint, seed=seed, max_tokens=60)
            assert holds(LM_OF_NOISE.generate("go", params=params).text)


_THREE = ("circle", "square", "a large circle")


@pytest.mark.parametrize("room", [17, 24, 33, 80])
def test_it_holds_wherever_the_answer_is_cut(room: int) -> None:
    """A canvas is 16 tokens here, so the constraint is carried from canvas to canvas."""
    for seed in range(6):
        params = Params(constraint=JsonSchema(SCHEMA), seed=seed, max_tokens=room)
        result = LM_OF_NOISE.generate("go", params=params)
        assert len(result.token_ids) <= room
        JUDGE(SCHEMA).validate(json.loads(result.text))


def test_the_least_room_is_said_before_any_work() -> None:
    params = Params(constraint=JsonSchema(SCHEMA), max_tokens=5)
    with pytest.raises(ConstraintError, match=r"\d+ tokens"):
        LM_OF_NOISE.generate("go", params=params)
    assert LM_OF_NOISE.pool.in_use == 0


def test_everything_else_can_stand_beside_it() -> None:
    for seed in range(3):
        params = Params(
            constraint=JsonSchema(SCHEMA),
            seed=seed,
            max_tokens=70,
            temperature=0.7,
            top_p=0.8,
            top_k=50,
            logit_bias={"blue": 3.0},
            bad_words=["red"],
            frequency_penalty=0.4,
            logprobs=True,
            effort="fast",
            n=2,
        )
        result = LM_OF_NOISE.generate("go", params=params)
        for choice in result.choices:
            assert "red" not in choice.text
            JUDGE(SCHEMA).validate(json.loads(choice.text))
            assert choice.logprobs is not None
            assert len(choice.logprobs) == len(choice.token_ids)
        again = LM_OF_NOISE.generate("go", params=params)
        assert [c.token_ids for c in again.choices] == [c.token_ids for c in result.choices]


def test_rows_in_company_are_as_alone() -> None:
    params = Params(constraint=JsonSchema(SCHEMA), seed=5, max_tokens=60)
    prompts = ["go", "a longer prompt", "third"]
    alone = [LM_OF_NOISE.generate(prompt, params=params).token_ids for prompt in prompts]
    together = LM_OF_NOISE.generate_many(prompts, params=params)
    assert [result.token_ids for result in together] == alone
    for result in LM_OF_NOISE.generate_many(prompts, params=params, batch=3):
        JUDGE(SCHEMA).validate(json.loads(result.text))


@pytest.mark.parametrize("choice", ["required", "weather"])
def test_a_required_tool_is_called_with_arguments_of_its_schema(choice: str) -> None:
    for seed in range(4):
        params = Params(tools=[WEATHER], tool_choice=choice, seed=seed, max_tokens=60)
        result = LM_OF_NOISE.generate("go", params=params)
        (call,) = result.tool_calls
        assert isinstance(call, ToolCall)
        assert call.name == "weather"
        JUDGE(WEATHER["function"]["parameters"]).validate(dict(call.arguments))
        assert result.text == ""


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"tool_choice": "required"}, "without tools"),
        ({"tool_choice": 3, "tools": [WEATHER]}, "tool_choice must be"),
        ({"tool_choice": "weather", "tools": [WEATHER], "constraint": Json()}, "leave one out"),
        ({"constraint": "[a-z]+"}, "must be a Regex"),
        ({"constraint": Json(), "thinking": True}, "thinking"),
    ],
)
def test_what_cannot_be_a_constraint_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ParameterError, match=message):
        Params(**wrong)


def test_an_unknown_tool_is_named() -> None:
    with pytest.raises(ConstraintError, match="'wind'"):
        LM_OF_NOISE.generate("go", params=Params(tools=[WEATHER], tool_choice="wind"))


def test_the_embedded_model_answers_under_its_constraint() -> None:
    lm, task, rng = load(), get("ask"), random.Random(2)
    for _ in range(3):
        example = task.sample(rng, split="test", bin="yes/no")
        params = Params(constraint=Choice(["yes", "no"]), seed=1, max_tokens=8)
        assert lm.generate(example.prompt, params=params).text in ("yes", "no")
