import json
import random
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.control.language.schemas import SCHEMAS
from tests.control.language.walks import LETTERS, Walker

from canvaslm import errors
from canvaslm.control.language import Json, JsonSchema, Vocabulary, compile_constraint, matches

JUDGE = jsonschema.Draft202012Validator
BYTES = Vocabulary.from_bytes(LETTERS)

TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "integer"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["value"],
        }
    },
    "$ref": "#/$defs/node",
}
SHAPES = {
    "oneOf": [
        {
            "type": "object",
            "properties": {"kind": {"const": "circle"}, "r": {"type": "number"}},
            "required": ["kind", "r"],
        },
        {
            "type": "object",
            "properties": {"kind": {"const": "square"}, "a": {"type": "number"}},
            "required": ["kind", "a"],
        },
    ]
}


def _object(*, required: list[str], **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": required}


@pytest.mark.parametrize(
    ("schema", "valid", "invalid"),
    [
        ({"type": "string"}, ['""', '"a\\"b\\\\ é\\n"'], ['"a"b"', '"\\q"', "a", '"\n"']),
        (
            {"type": "string", "minLength": 2, "maxLength": 3},
            ['"ab"', '"\\n\\né"'],
            ['"a"', '"abcd"'],
        ),
        ({"type": "string", "pattern": "b+"}, ['"abc"', '"b"'], ['"ac"']),
        ({"type": "string", "pattern": '^["\\\\]$'}, ['"\\""', '"\\\\"'], ['"a"']),
        ({"pattern": "^a", "maxLength": 2}, ['"ab"'], ['"abc"', '"ba"', "1"]),
        ({"type": "string", "format": "date"}, ['"2024-02-29"'], ['"2023-02-29"', '"2024-13-01"']),
        ({"type": "string", "format": "time"}, ['"23:59:59Z"'], ['"24:00:00Z"', '"23:59:59"']),
        ({"type": "string", "format": "ipv4"}, ['"10.0.255.1"'], ['"10.0.256.1"', '"1.2.3"']),
        ({"type": "string", "format": "email"}, ['"a.b@c.org"'], ['"a@b"', '"@c.org"']),
        ({"type": "integer", "minimum": 3, "multipleOf": 5}, ["5", "100"], ["0", "3", "-5"]),
        ({"type": ["integer", "null"]}, ["1", "null"], ["1.5", '"1"']),
        (
            {"type": "number", "exclusiveMaximum": 1, "minimum": 0},
            ["0", "0.99"],
            ["1", "-0.1", "1.0"],
        ),
        (
            {"enum": ["a", 1, None, {"k": [1, 2]}]},
            ['"a"', "1", "null", '{"k": [1,2]}'],
            ['"b"', "true"],
        ),
        ({"enum": ["a", 1], "type": "string"}, ['"a"'], ["1"]),
        ({"enum": ["a", "abc"], "maxLength": 2}, ['"a"'], ['"abc"']),
        ({"const": True}, ["true"], ["1", "false"]),
        (
            _object(required=["a"], a={"type": "null"}),
            ['{"a": null}', '{"a":null}'],
            ["{}", '{"a" : null}'],
        ),
        (
            _object(required=["b"], a={"const": 1}, b={"const": 2}, c={"const": 3}),
            ['{"b": 2}', '{"a": 1, "b": 2}', '{"a":1,"b":2, "c": 3}', '{"b": 2, "c": 3}'],
            ["{}", '{"a": 1}', '{"b": 2, "a": 1}', '{"b": 2,}', '{, "b": 2}', '{"b": 2 "c": 3}'],
        ),
        (_object(required=[], a={"const": 1}, b={"const": 2}), ["{}", '{"b": 2}'], ['{"c": 1}']),
        (
            {**_object(required=["a"], a={"const": 1}), "additionalProperties": {"type": "null"}},
            ['{"a": 1}', '{"a": 1, "b": null}', '{"a": 1, "aa": null, "": null}'],
            ['{"a": 1, "a": null}', '{"a": 1, "b": 2}', '{"b": null}', '{"a": 1, "\\u0061": null}'],
        ),
        ({"type": "object", "maxProperties": 1}, ["{}", '{"x": 1}'], ['{"x": 1, "y": 2}']),
        (
            {**_object(required=[], a={"const": 1}, b={"const": 2}), "minProperties": 1},
            ['{"a": 1}', '{"b": 2}', '{"a": 1, "b": 2}'],
            ["{}"],
        ),
        (
            {"type": "array", "items": {"const": 1}},
            ["[]", "[1]", "[1, 1,1]"],
            ["[1,]", "[,1]", "[2]"],
        ),
        (
            {"items": {"const": 1}, "minItems": 1, "maxItems": 2},
            ["[1]", "[1, 1]"],
            ["[]", "[1, 1, 1]"],
        ),
        ({"items": {"const": 1}, "minItems": 2}, ["[1, 1]", "[1,1,1,1]"], ["[1]"]),
        (
            {"prefixItems": [{"const": 1}, {"const": 2}]},
            ["[]", "[1]", "[1, 2]"],
            ["[2]", "[1, 2, 3]"],
        ),
        (
            {"prefixItems": [{"const": 1}], "items": {"const": 2}},
            ["[]", "[1]", "[1, 2]", "[1, 2, 2]"],
            ["[2]", "[1, 1]"],
        ),
        ({"type": "array", "maxItems": 0}, ["[]"], ["[1]"]),
        ({"anyOf": [{"const": 1}, {"type": "null"}]}, ["1", "null"], ["2"]),
        ({"allOf": [{"minimum": 1}, {"maximum": 3}, {"type": "integer"}]}, ["1", "3"], ["0", "4"]),
        (
            {
                "allOf": [
                    _object(required=["a"], a={"const": 1}),
                    _object(required=[], b={"const": 2}),
                ]
            },
            ['{"a": 1}', '{"a": 1, "b": 2}'],
            ['{"b": 2}'],
        ),
        (
            {
                **_object(required=[], a={"const": 1}, b={"const": 2}),
                "anyOf": [{"required": ["a"]}, {"required": ["b"]}],
            },
            ['{"a": 1}', '{"b": 2}'],
            ["{}"],
        ),
        (SHAPES, ['{"kind": "circle", "r": 1.5}'], ['{"kind": "circle", "a": 1}']),
        (TREE, ['{"value": 1, "children": [{"value": 2}]}'], ['{"value": 1, "children": [2]}']),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 1}}}, ["1"], ["2"]),
        ({"title": "x", "default": 1, "type": "boolean"}, ["true", "false"], ["null"]),
        (True, ["1", "[]", '{"a": [null]}', '"x"'], ["", "[", "nul"]),
    ],
)
def test_allows_what_it_says(schema: Any, valid: list[str], invalid: list[str]) -> None:
    constraint = JsonSchema(schema)
    for text in valid:
        jsonschema.validate(json.loads(text), schema)
        assert matches(constraint, text), text
    for text in invalid:
        assert not matches(constraint, text), text


def test_depth_is_how_often_a_definition_stands_within_itself() -> None:
    for depth in range(3):
        constraint = JsonSchema(TREE, depth=depth)
        text = '{"value": 1}'
        for _ in range(depth):
            text = f'{{"value": 1, "children": [{text}]}}'
        assert matches(constraint, text)
        assert not matches(constraint, f'{{"value": 1, "children": [{text}]}}')


@pytest.mark.parametrize("depth", range(4))
def test_json_nests_to_its_depth(depth: int) -> None:
    for inner in ("[]", "{}"):
        text = inner
        for n in range(1, 6):
            assert matches(Json(depth=depth), text) == (n <= depth)
            text = f'{{"k": {text}}}' if n % 2 else f"[1, {text}]"


def test_whitespace_is_as_asked() -> None:
    schema = _object(required=["a", "b"], a={"const": 1}, b={"const": [1, 2]})
    tight, spaced = '{"a":1,"b":[1,2]}', '{"a": 1, "b": [1, 2]}'
    lines = '{\n  "a" : 1,\n  "b": [ 1, 2 ]\n}'
    for whitespace, allowed in (
        ("compact", [tight]),
        ("optional", [tight, spaced]),
        ("free", [tight, spaced, lines]),
    ):
        constraint = JsonSchema(schema, whitespace=whitespace)  # type: ignore[arg-type]
        assert [t for t in (tight, spaced, lines) if matches(constraint, t)] == allowed


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"properties": {"a/b": {"not": {}}}}, "#/properties/a~1b/not is not supported"),
        ({"type": "array", "uniqueItems": True}, "#/uniqueItems is not supported"),
        ({"patternProperties": {}}, "#/patternProperties is not supported"),
        ({"type": "text"}, "#/type is 'text', expected one or a list of object"),
        ({"items": [{}]}, "#/items is .*prefixItems"),
        ({"enum": []}, "#/enum is .*not empty"),
        ({"minLength": 3, "maxLength": 2}, "#/minLength is 3, more than maxLength, 2"),
        ({"minLength": -1}, "#/minLength is -1, expected an integer of at least 0"),
        (
            {"type": "integer", "minimum": 3, "exclusiveMaximum": 3},
            "#/minimum is 3, which no number",
        ),
        ({"exclusiveMinimum": True}, "#/exclusiveMinimum is True, expected a finite number"),
        ({"multipleOf": 0.1}, "#/multipleOf is 0.1, expected a whole number"),
        ({"type": "string", "format": "hostname"}, "#/format is 'hostname', expected one of date"),
        ({"type": "string", "pattern": "(?=a)"}, "#/pattern: regex '\\(\\?=a\\)': lookaround"),
        ({"anyOf": [{"$ref": "#/$defs/x"}]}, r"#/anyOf/0/\$ref is '#/\$defs/x', and there is no"),
        ({"$ref": "http://x"}, r"#/\$ref is 'http://x', expected a place in this schema"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "#/oneOf has the options 0 and 1"),
        ({"allOf": [{"const": 1}, {"const": 2}]}, "#/const stands in two schemas"),
        (
            {
                "allOf": [
                    {"properties": {"a": {}}, "additionalProperties": False},
                    _object(required=[], b={}),
                ]
            },
            "#/additionalProperties holds for b",
        ),
        ({"type": "object", "minProperties": 3}, "#/minProperties cannot be kept"),
        (False, "no value satisfies it"),
        ({"$ref": "#"}, "no value satisfies it.*depth=3"),
        ({"type": "integer", "enum": ["a"]}, "no value satisfies it"),
        (_object(required=["a"], a=False), "no value satisfies it"),
        ({"properties": {"a": 3}}, "#/properties is .*expected an object of schemas"),
        ("{", "is no JSON"),
        ('{"items":' * 400 + "{}" + "}" * 400, "nests too deep"),
        (3, "is 3, expected an object or a boolean"),
        ({"const": float("nan")}, "is no JSON"),
    ],
)
def test_what_is_wrong_is_named_by_its_place(schema: Any, message: str) -> None:
    with pytest.raises(errors.ConstraintError, match=message):
        JsonSchema(schema)


def test_a_contradiction_that_shows_late_is_refused_before_any_work() -> None:
    with pytest.raises(errors.ConstraintError, match="nothing satisfies JsonSchema"):
        compile_constraint(
            JsonSchema({"type": "string", "pattern": "^a{4}$", "maxLength": 3}), BYTES
        )


@pytest.mark.parametrize(("depth", "whitespace"), [(17, "optional"), (-1, "optional"), (3, "none")])
def test_other_parameters_are_checked(depth: int, whitespace: Any) -> None:
    with pytest.raises(errors.ConstraintError, match=r"depth must|whitespace must"):
        JsonSchema(True, depth=depth, whitespace=whitespace)


@given(schema=SCHEMAS, seed=st.integers(0, 2**32))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_comes_out_satisfies_the_schema(schema: Any, seed: int) -> None:
    judge = JUDGE(schema, format_checker=JUDGE.FORMAT_CHECKER)
    try:
        constraint = JsonSchema(schema, depth=1)
        automaton = compile_constraint(constraint, BYTES)
    except errors.ConstraintError:  # minItems beyond prefixItems, and the like
        return
    rng, walker = random.Random(seed), Walker(automaton)
    for _ in range(5):
        least = int(automaton.distance_S[0])
        text = bytes(walker.walk(rng, budget=least + rng.randrange(120))).decode()
        judge.validate(json.loads(text))
        assert matches(constraint, text)
