"""Reads a JSON Schema into the language of the values that it allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from canvaslm.control.language import numbers
from canvaslm.control.language.containers import Member, array_of, object_of
from canvaslm.control.language.keywords import (
    ANNOTATIONS,
    TYPES,
    check_keywords,
    escape,
    explicit_types,
    refuse,
    type_of,
    written_types,
)
from canvaslm.control.language.merge import Schema, disjoint, merge, same
from canvaslm.control.language.nodes import (
    NOTHING,
    Node,
    Text,
    Without,
    both,
    chain,
    either,
)
from canvaslm.control.language.notation import Notation, literal
from canvaslm.control.language.recursion import Trail, Visits
from canvaslm.control.language.strings import FORMATS, string_content
from canvaslm.errors import ConstraintError


class SchemaReader:
    """Turns the parts of one schema document into languages.

    `depth` is how often a definition may be entered within itself, and how deep values nest that
    nothing is said of. Each error names the keyword by its JSON pointer.
    """

    def __init__(self, root: Schema, notation: Notation, *, depth: int) -> None:
        self._root = root
        self._notation = notation
        self._depth = depth
        self._visits = Visits()

    def read(self) -> Node:
        return self._value(self._root, "#", Trail())

    def any_value(self, depth: int) -> Node:
        """Any value of at most `depth` levels of objects and arrays."""
        scalars = either(
            [
                self._notation.string(string_content()),
                numbers.number(numbers.Bounds()),
                *("true", "false", "null"),
            ]
        )
        if depth <= 0:
            return scalars
        inner = self.any_value(depth - 1)
        return either([scalars, self._free_object(inner), array_of([], inner, self._notation)])

    def _free_object(self, value: Node) -> Node:
        return object_of([], self._notation, free=self._member(self._notation.free_key, value))

    def _member(self, key: Node, value: Node) -> Node:
        return chain(self._notation.key(key), self._notation.colon, value)

    def _value(self, schema: Any, at: str, trail: Trail) -> Node:
        self._visits.add(at)
        if isinstance(schema, bool):
            return self.any_value(self._depth) if schema else NOTHING
        rest, trail = self._flatten(schema, at, trail)
        if isinstance(rest, bool):
            return self._value(rest, at, trail)
        if schema.keys() - ANNOTATIONS == {"$ref"}:
            at = schema["$ref"]
        for keyword in ("oneOf", "anyOf"):
            if keyword in rest:
                return self._union(rest, keyword, at, trail)
        if "enum" in rest or "const" in rest:
            return self._listed(rest, at, trail)
        return self._typed(rest, at, trail)

    def _flatten(self, schema: Any, at: str, trail: Trail) -> tuple[Schema, Trail]:
        """`schema` without annotations, references and allOf, these merged into it."""
        if isinstance(schema, bool):
            return schema, trail
        check_keywords(schema, at)
        rest: dict[str, Any] = {k: v for k, v in schema.items() if k not in ANNOTATIONS}
        parts: list[tuple[Any, str]] = []
        if "$ref" in rest:
            ref = rest.pop("$ref")
            target = self._resolve(ref, at)
            entered = trail.enter(ref, depth=self._depth)
            if entered is None:
                return False, trail
            trail = entered
            parts.append((target, ref))
        for n, part in enumerate(rest.pop("allOf", [])):
            parts.append((part, f"{at}/allOf/{n}"))
        merged: Schema = rest
        for part, place in parts:
            flat, trail = self._flatten(part, place, trail)
            merged = flat if merged == {} else merge(merged, flat, at)
        return merged, trail

    def _resolve(self, ref: object, at: str) -> Any:
        if not isinstance(ref, str) or not (ref == "#" or ref.startswith("#/")):
            raise refuse(at, "$ref", f"is {ref!r}, expected a place in this schema: #/...")
        found: Any = self._root
        for step in ref.split("/")[1:]:
            key = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, list) and key.isdecimal() and int(key) < len(found):
                found = found[int(key)]
            elif isinstance(found, dict) and key in found:
                found = found[key]
            else:
                raise refuse(at, "$ref", f"is {ref!r}, and there is no {key!r} in this schema")
        return found

    def _union(self, schema: Mapping[str, Any], keyword: str, at: str, trail: Trail) -> Node:
        options = schema[keyword]
        rest = {key: value for key, value in schema.items() if key != keyword}
        places = [f"{at}/{keyword}/{n}" for n in range(len(options))]
        flat = [
            self._flatten(option, place, trail)
            for option, place in zip(options, places, strict=True)
        ]
        if keyword == "oneOf":
            self._check_disjoint([option for option, _ in flat], trail, at)
        found = []
        for (option, inner), place in zip(flat, places, strict=True):
            whole = merge(rest, option, place) if rest else option
            found.append(self._value(whole, place, inner))
        return either(found)

    def _check_disjoint(self, options: Sequence[Schema], trail: Trail, at: str) -> None:
        def flatten(schema: Any) -> Schema:
            return self._flatten(schema, at, trail)[0]

        for n, one in enumerate(options):
            for m in range(n):
                if not disjoint(options[m], one, flatten):
                    raise refuse(
                        at,
                        "oneOf",
                        f"has the options {m} and {n}, which one value might satisfy together: give"
                        " them different types or a required property with different const, or"
                        " write anyOf",
                    )

    def _listed(self, schema: Mapping[str, Any], at: str, trail: Trail) -> Node:
        values = schema.get("enum", [schema.get("const")])
        types = explicit_types(schema)
        if "const" in schema:
            values = [v for v in values if same(v, schema["const"])]
        values = [v for v in values if types is None or type_of(v) & types]
        found = either(literal(value, self._notation) for value in values)
        rest = {key: value for key, value in schema.items() if key not in ("enum", "const")}
        if found == NOTHING or not rest.keys() - {"type"}:
            return found
        return both(found, self._typed(rest, at, trail))

    def _typed(self, schema: Mapping[str, Any], at: str, trail: Trail) -> Node:
        types = written_types(schema)
        if not types:
            return self.any_value(self._depth)
        read = {
            "object": self._object,
            "array": self._array,
            "string": self._string,
            "number": self._number,
            "integer": self._integer,
            "boolean": lambda *_: either(["true", "false"]),
            "null": lambda *_: Text("null"),
        }
        return either(read[name](schema, at, trail) for name in TYPES if name in types)

    def _object(self, schema: Mapping[str, Any], at: str, trail: Trail) -> Node:
        properties = schema.get("properties", {})
        required = schema.get("required", [])
        rest = schema.get("additionalProperties", "properties" not in schema)
        place = f"{at}/additionalProperties"
        values = {
            name: self._value(value, f"{at}/properties/{escape(name)}", trail)
            for name, value in properties.items()
        }
        unnamed = self._value(rest, place, trail)
        values |= {name: unnamed for name in required if name not in values}
        names = sorted(values, key=str.lower) if self._notation.sorts_keys else list(values)
        members = [
            Member(self._member(Text(name), values[name]), name in required) for name in names
        ]
        key = self._notation.free_key
        if names:
            key = Without(key, either(Text(name) for name in names))
        least, most = schema.get("minProperties", 0), schema.get("maxProperties")
        free = self._member(key, unnamed) if unnamed != NOTHING else NOTHING
        if free != NOTHING and least > max(1, len(required)):
            raise refuse(
                at,
                "minProperties",
                "cannot be kept with keys that are free, as one might stand twice: name the keys,"
                " or set additionalProperties to false",
            )
        return object_of(members, self._notation, free=free, least=least, most=most)

    def _array(self, schema: Mapping[str, Any], at: str, trail: Trail) -> Node:
        first = [
            self._value(item, f"{at}/prefixItems/{n}", trail)
            for n, item in enumerate(schema.get("prefixItems", []))
        ]
        rest = self._value(schema.get("items", not first), f"{at}/items", trail)
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        return array_of(first, rest, self._notation, least=least, most=most)

    def _string(self, schema: Mapping[str, Any], at: str, trail: Trail) -> Node:
        format = schema.get("format")
        if format is not None and format not in FORMATS:
            raise refuse(at, "format", f"is {format!r}, expected one of {', '.join(FORMATS)}")
        try:
            content = string_content(
                least=schema.get("minLength", 0),
                most=schema.get("maxLength"),
                pattern=schema.get("pattern"),
                format=format,
            )
        except ConstraintError as failure:
            raise ConstraintError(f"{at}/pattern: {failure}") from None
        return self._notation.string(content)

    def _number(self, schema: Mapping[str, Any], at: str, trail: Trail) -> Node:
        if "multipleOf" in schema:
            return self._integer(schema, at, trail)
        return numbers.number(_bounds(schema, at))

    def _integer(self, schema: Mapping[str, Any], at: str, trail: Trail) -> Node:
        return numbers.integer(_bounds(schema, at), multiple=int(schema.get("multipleOf", 1)))


def _bounds(schema: Mapping[str, Any], at: str) -> numbers.Bounds:
    least, above = _tightest(schema, "minimum", "exclusiveMinimum", sign=1)
    most, below = _tightest(schema, "maximum", "exclusiveMaximum", sign=-1)
    bounds = numbers.Bounds(least, most, above, below)
    if bounds.empty:
        keyword = next(k for k in ("minimum", "exclusiveMinimum") if k in schema)
        raise refuse(at, keyword, f"is {schema[keyword]}, which no number below the maximum keeps")
    return bounds


def _tightest(
    schema: Mapping[str, Any], plain: str, exclusive: str, *, sign: int
) -> tuple[Decimal | None, bool]:
    """The bound that forbids more, and whether it is itself left out."""
    known = [
        (sign * Decimal(str(schema[name])), name == exclusive)
        for name in (plain, exclusive)
        if name in schema
    ]
    if not known:
        return None, False
    bound, strict = max(known)
    return sign * bound, strict
