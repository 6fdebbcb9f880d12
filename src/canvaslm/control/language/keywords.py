"""The keywords of JSON Schema: which are kept, which are ignored, and what each may hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from canvaslm.control.language.numbers import MAX_MULTIPLE
from canvaslm.errors import ConstraintError

ANNOTATIONS = frozenset(
    [
        *("$comment", "$defs", "$id", "$schema", "default", "definitions", "deprecated"),
        *("description", "discriminator", "example", "examples", "readOnly", "title", "writeOnly"),
    ]
)
"""Keywords that allow and forbid nothing; `discriminator` only repeats what oneOf says."""

_OBJECT = ("properties", "required", "additionalProperties", "minProperties", "maxProperties")
_NUMBER = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf")

KEYWORDS_OF: Mapping[str, frozenset[str]] = {
    "object": frozenset(_OBJECT),
    "array": frozenset(("items", "prefixItems", "minItems", "maxItems")),
    "string": frozenset(("minLength", "maxLength", "pattern", "format")),
    "number": frozenset(_NUMBER),
}
"""The keywords that speak of one type only."""

TYPES = ("object", "array", "string", "number", "integer", "boolean", "null")

_PAIRS = (
    ("minLength", "maxLength"),
    ("minItems", "maxItems"),
    ("minProperties", "maxProperties"),
)


def escape(name: str) -> str:
    """`name` as a step of a JSON pointer."""
    return name.replace("~", "~0").replace("/", "~1")


def refuse(at: str, keyword: str, problem: str) -> ConstraintError:
    return ConstraintError(f"{at}/{escape(keyword)} {problem}")


def type_of(value: object) -> frozenset[str]:
    """The types that a JSON value has; whole numbers are integers and numbers."""
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, int | float):
        whole = float(value).is_integer()
        return frozenset({"number", "integer"} if whole else {"number"})
    names: dict[type, str] = {str: "string", list: "array", dict: "object"}
    return frozenset({names.get(type(value), "null")})


def explicit_types(schema: Mapping[str, Any]) -> frozenset[str] | None:
    """What `type` says, None where it is absent."""
    types = schema.get("type")
    return None if types is None else frozenset([types] if isinstance(types, str) else types)


def written_types(schema: Mapping[str, Any]) -> frozenset[str]:
    """The types of the values that are written: those named, else those that keywords speak of."""
    types = explicit_types(schema)
    if types is None:
        types = frozenset(name for name, words in KEYWORDS_OF.items() if words & schema.keys())
    return types - {"integer"} if "number" in types else types


def check_keywords(schema: object, at: str) -> None:
    """Raise ConstraintError for an unknown keyword, or a value that its keyword may not hold."""
    if not isinstance(schema, Mapping):
        raise ConstraintError(f"{at} is {schema!r}, expected an object or a boolean as schema")
    for keyword, value in schema.items():
        if keyword in ANNOTATIONS or (keyword == "uniqueItems" and value is False):
            continue
        if keyword not in _CHECKS:
            raise refuse(
                at,
                keyword,
                "is not supported: leave it out and check it on the result. Supported are "
                + ", ".join(sorted(_CHECKS)),
            )
        fits, expected = _CHECKS[keyword]
        if not fits(value):
            raise refuse(at, keyword, f"is {value!r}, expected {expected}")
    for low, high in _PAIRS:
        if schema.get(low, 0) > schema.get(high, math.inf):
            raise refuse(at, low, f"is {schema[low]}, more than {high}, {schema[high]}")


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_step(value: object) -> bool:
    return _is_number(value) and value in range(1, MAX_MULTIPLE + 1)


def _is_schema(value: object) -> bool:
    return isinstance(value, dict | bool)


def _are_schemas(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_schema, value))


def _are_properties(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_schema, value.values()))


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_types(value: object) -> bool:
    names = value if isinstance(value, list) else [value]
    return bool(names) and all(name in TYPES for name in names)


_COUNT = (_is_count, "an integer of at least 0")
_BOUND = (_is_number, "a finite number; exclusive bounds are numbers, too")
_OPTIONS = (_are_schemas, "a list of schemas, at least one")

_CHECKS: Mapping[str, tuple[Callable[[object], bool], str]] = {
    "$ref": (lambda value: isinstance(value, str), "a string"),
    "additionalProperties": (_is_schema, "a schema or a boolean"),
    "allOf": _OPTIONS,
    "anyOf": _OPTIONS,
    "const": (lambda _: True, "a value"),
    "enum": (lambda value: isinstance(value, list) and bool(value), "a list, not empty"),
    "exclusiveMaximum": _BOUND,
    "exclusiveMinimum": _BOUND,
    "format": (lambda value: isinstance(value, str), "a string"),
    "items": (_is_schema, "one schema; a list of them belongs into prefixItems"),
    "maxItems": _COUNT,
    "maxLength": _COUNT,
    "maxProperties": _COUNT,
    "maximum": _BOUND,
    "minItems": _COUNT,
    "minLength": _COUNT,
    "minProperties": _COUNT,
    "minimum": _BOUND,
    "multipleOf": (_is_step, f"a whole number from 1 to {MAX_MULTIPLE}"),
    "oneOf": _OPTIONS,
    "pattern": (lambda value: isinstance(value, str), "a string"),
    "prefixItems": _OPTIONS,
    "properties": (_are_properties, "an object of schemas"),
    "required": (_are_names, "a list of names"),
    "type": (_are_types, f"one or a list of {', '.join(TYPES)}"),
}
