import random
from typing import Any

import pytest
from tests.control.language.walks import Walker

from canvaslm import errors
from canvaslm.control.language import (
    Choice,
    Constraint,
    Grammar,
    Json,
    JsonSchema,
    Regex,
    ToolCall,
    Vocabulary,
    compile_constraint,
    matches,
)
from canvaslm.text import spans
from canvaslm.text.tokenizer import Tokenizer

WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {
                "unit": {"enum": ["C", "F"]},
                "city": {"type": "string", "minLength": 1, "maxLength": 12},
                "days": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
                "at": {"type": "object", "properties": {"lat,": {"type": "number"}}},
            },
            "required": ["city"],
        },
    },
}
CLOCK = {"type": "function", "function": {"name": "clock"}}


@pytest.mark.parametrize(
    "make",
    [
        lambda: Regex("a+"),
        lambda: Choice(["a", "b"]),
        lambda: Json(depth=1),
        lambda: JsonSchema({"type": "integer"}),
        lambda: ToolCall([WEATHER]),
        lambda: Grammar('start: "a"'),
    ],
)
def test_equal_constraints_are_built_once(make: Any, vocabulary: Vocabulary) -> None:
    one, other = make(), make()
    assert isinstance(one, Constraint)
    assert one == other
    assert hash(one) == hash(other)
    assert compile_constraint(one, vocabulary) is compile_constraint(other, vocabulary)


def test_the_order_of_keys_tells_schemas_apart() -> None:
    one = JsonSchema({"properties": {"a": {}, "b": {}}})
    assert one != JsonSchema({"properties": {"b": {}, "a": {}}})
    assert one != JsonSchema({"properties": {"a": {}, "b": {}}}, depth=1)
    assert Choice(["a"]) != Regex("a")


def test_a_schema_is_copied_and_may_be_text_or_a_model() -> None:
    schema: dict[str, Any] = {"type": "integer"}
    constraint = JsonSchema(schema)
    schema["type"] = "string"
    assert matches(constraint, "1")
    assert constraint == JsonSchema('{"type": "integer"}') == JsonSchema(_Model)


class _Model:
    @classmethod
    def model_json_schema(cls) -> dict[str, str]:
        return {"type": "integer"}


def test_a_choice_is_one_of_its_options() -> None:
    constraint = Choice(["yes", "no", "no way", 'é"', "yes"])
    for text in ("yes", "no", "no way", 'é"'):
        assert matches(constraint, text)
    for text in ("", "ye", "yes ", "noyes", "no wa", "\ud800"):
        assert not matches(constraint, text)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "options is empty"),
        ("yes", "must be a list of strings, got 'yes'"),
        (["a", 1], r"options\[1\] must be a string, got 1"),
        (["\ud800"], r"options\[0\] holds a lone surrogate"),
    ],
)
def test_a_choice_needs_options(options: Any, message: str) -> None:
    with pytest.raises(errors.ConstraintError, match=message):
        Choice(options)


@pytest.mark.parametrize(
    ("tools", "name"), [([WEATHER, CLOCK], None), ([WEATHER, CLOCK], "weather")]
)
def test_a_tool_call_can_be_read_back(
    tools: list[Any], name: str | None, tokenizer: Tokenizer, vocabulary: Vocabulary
) -> None:
    constraint = ToolCall(tools, name=name)
    automaton = compile_constraint(constraint, vocabulary)
    rng, walker, seen = random.Random(3), Walker(automaton), set()
    for _ in range(30):
        reader = spans.SpanReader(tokenizer)
        ids = walker.walk(rng, budget=int(automaton.distance_S[0]) + rng.randrange(60))
        (call,) = reader.push(ids) + reader.finish()
        assert isinstance(call, spans.ToolCall), call
        seen.add(call.name)
        if call.name == "weather":
            assert set(call.arguments) <= {"unit", "city", "days", "at"}
            assert 1 <= len(str(call.arguments["city"])) <= 12
    assert seen == ({"weather", "clock"} if name is None else {name})


def test_a_tool_call_is_written_as_the_template_writes_it() -> None:
    constraint = ToolCall([WEATHER, CLOCK])
    quote = '<|"|>'
    city = f"city:{quote}Rome{quote}"
    assert matches(constraint, "<|tool_call>call:clock{}<tool_call|>")
    for arguments in (
        city,
        f"at:{{{quote}lat,{quote}:1.5}},{city},days:[1,2],unit:{quote}C{quote}",
    ):
        assert matches(constraint, f"<|tool_call>call:weather{{{arguments}}}<tool_call|>")
    for arguments in ("", f"{city},at:{{}}", "city:Rome", f"{city}, unit:{quote}C{quote}"):
        assert not matches(constraint, f"<|tool_call>call:weather{{{arguments}}}<tool_call|>")


def test_a_free_key_of_a_tool_call_stands_once() -> None:
    free = {"properties": {"a": {"const": 1}}, "additionalProperties": {"const": 2}}
    constraint = ToolCall([{"name": "f", "parameters": free}])
    for arguments in ("", "a:1", "b:2", "a:1,b:2"):
        assert matches(constraint, f"<|tool_call>call:f{{{arguments}}}<tool_call|>")
    for arguments in ("a:2", "b:2,b:2", "b:2,c:2", "a:1,a:2"):
        assert not matches(constraint, f"<|tool_call>call:f{{{arguments}}}<tool_call|>")


@pytest.mark.parametrize(
    ("tools", "name", "message"),
    [
        ([], None, "tools is empty"),
        (WEATHER, None, "tools must be a list of declarations"),
        ([{"function": {}}], None, r"tools\[0\] names no function"),
        ([CLOCK, CLOCK], None, r"tools\[1\] names no function, or one that is named before"),
        ([{"name": "a b"}], None, r"tools\[0\] names no function"),
        ([CLOCK], "time", "no tool is named 'time': declared are clock"),
        ([{"name": "f", "parameters": {"type": "string"}}], None, "f: parameters are"),
        (
            [{"name": "f", "parameters": {"properties": {"x": {"not": {}}}}}],
            None,
            "f: #/properties/x/not",
        ),
    ],
)
def test_declarations_are_checked(tools: Any, name: str | None, message: str) -> None:
    with pytest.raises(errors.ConstraintError, match=message):
        ToolCall(tools, name=name)
