"""Schemas taken together, and told apart: allOf into one schema, oneOf into separate cases."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from canvaslm.control.language.keywords import explicit_types, refuse, type_of, written_types

Schema = Mapping[str, Any] | bool

_MOST_OF = ("minLength", "minItems", "minProperties", "minimum", "exclusiveMinimum")
_LEAST_OF = ("maxLength", "maxItems", "maxProperties", "maximum", "exclusiveMaximum")


def merge(one: Schema, other: Schema, at: str) -> Schema:
    """One schema that allows what both do.

    Raises ConstraintError naming the keyword of `at` where two values cannot be made one.
    """
    if isinstance(one, bool) or isinstance(other, bool):
        return (other if one else False) if isinstance(one, bool) else (one if other else False)
    _check_closed(one, other, at)
    merged = dict(one)
    for keyword, value in other.items():
        if keyword in merged and not same(merged[keyword], value):
            merged[keyword] = _merge_values(keyword, merged[keyword], value, at)
        else:
            merged[keyword] = value
    return merged


def _merge_values(keyword: str, one: Any, other: Any, at: str) -> Any:
    if keyword in _MOST_OF:
        return max(one, other)
    if keyword in _LEAST_OF:
        return min(one, other)
    if keyword == "required":
        return [*one, *(name for name in other if name not in one)]
    if keyword == "properties":
        shared = {name: {"allOf": [one[name], other[name]]} for name in one if name in other}
        return {**one, **other, **shared}
    if keyword == "enum" and (common := [v for v in one if any(same(v, w) for w in other)]):
        return common
    if keyword == "type" and (types := _common_types(one, other)):
        return types
    raise refuse(
        at,
        keyword,
        f"stands in two schemas that hold together, as {json.dumps(one)} and {json.dumps(other)},"
        " which cannot be made one: write what both allow into one schema",
    )


def _common_types(one: Any, other: Any) -> list[str]:
    first, second = explicit_types({"type": one}), explicit_types({"type": other})
    assert first is not None
    assert second is not None
    common = first & second
    if "number" in first | second and "integer" in (first | second) - common:
        common |= {"integer"}
    return sorted(common)


def _check_closed(one: Schema, other: Schema, at: str) -> None:
    """A schema that closes its object forbids the keys that the other one adds."""
    for closed, adding in ((one, other), (other, one)):
        assert not isinstance(closed, bool)
        assert not isinstance(adding, bool)
        rest = closed.get("additionalProperties", True)
        added = adding.get("properties", {}).keys() - closed.get("properties", {}).keys()
        if rest is not True and added:
            raise refuse(
                at,
                "additionalProperties",
                f"holds for {', '.join(sorted(added))}, named in another schema that holds together"
                " with it: write the properties into one schema",
            )


def same(one: Any, other: Any) -> bool:
    """Equality of JSON values: true is not 1, but 1.0 is."""
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def disjoint(one: Schema, other: Schema, flatten: Callable[[Any], Schema]) -> bool:
    """Whether it is plain that no value written for one schema satisfies the other.

    It is plain by type, by listed values, and by a property that both require; `flatten` takes
    references out of the schema of a property.
    """
    if isinstance(one, bool) or isinstance(other, bool):
        return one is False or other is False
    if _apart_by_type(one, other) or _apart_by_values(one, other):
        return True
    return _apart_by_property(one, other, flatten)


def _apart_by_type(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    first, second = explicit_types(one), explicit_types(other)
    if first is None or second is None:
        return False
    numeric = {"number", "integer"}
    return not first & second and not (first & numeric and second & numeric)


def _values(schema: Mapping[str, Any]) -> list[Any] | None:
    if "const" in schema:
        return [schema["const"]]
    found = schema.get("enum")
    return None if found is None else list(found)


def _apart_by_values(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    first, second = _values(one), _values(other)
    if first is not None and second is not None:
        return not any(same(v, w) for v in first for w in second)
    for values, schema in ((first, other), (second, one)):
        types = explicit_types(schema)
        if values is not None and types is not None and not any(type_of(v) & types for v in values):
            return True
    return False


def _apart_by_property(
    one: Mapping[str, Any], other: Mapping[str, Any], flatten: Callable[[Any], Schema]
) -> bool:
    if written_types(one) != {"object"} or written_types(other) != {"object"}:
        return False
    for name in set(one.get("required", [])) & set(other.get("required", [])):
        first, second = one.get("properties", {}), other.get("properties", {})
        known = name in first and name in second
        if known and disjoint(flatten(first[name]), flatten(second[name]), flatten):
            return True
    return _lacks_required(one, other) and _lacks_required(other, one)


def _lacks_required(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether `one` requires a key that `other`, being closed, forbids."""
    closed = other.get("additionalProperties", True) is False
    return closed and bool(set(one.get("required", [])) - other.get("properties", {}).keys())
