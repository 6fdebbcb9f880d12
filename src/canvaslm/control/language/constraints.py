"""The constraints that a request may carry: frozen, hashable, and checked when they are made."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from typing import Any

from canvaslm.control.language.grammar import parse_grammar
from canvaslm.control.language.nodes import NOTHING, Control, Node, chain, either
from canvaslm.control.language.notation import CallNotation, JsonNotation, Notation, Whitespace
from canvaslm.control.language.recursion import check_depth, nesting
from canvaslm.control.language.regex import parse_regex
from canvaslm.control.language.schema import SchemaReader
from canvaslm.errors import ConstraintError
from canvaslm.text.controls import TOOL_CALL, TOOL_CALL_END

_TOOL_NAME = re.compile(r"[^\s{}]+")


@dataclass(frozen=True)
class Regex:
    r"""Texts that `pattern`, in Python's syntax, matches in full.

    \d, \w and \s take ASCII only, and \D, \W and \S leave out what any script has of them. Raises
    ConstraintError for what cannot be read, and for lookaround, backreferences, word boundaries,
    atomic groups and (?m), which no finite automaton has.
    """

    pattern: str
    _language: Node = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_language", parse_regex(self.pattern))

    def language(self) -> Node:
        return self._language


@dataclass(frozen=True)
class Choice:
    """One of `options`, letter by letter. Raises ConstraintError for none, or what is no text."""

    options: Sequence[str]

    def __post_init__(self) -> None:
        if isinstance(self.options, str) or not isinstance(self.options, Iterable):
            raise ConstraintError(f"options must be a list of strings, got {self.options!r}")
        options = tuple(self.options)
        if not options:
            raise ConstraintError("options is empty, so nothing could be chosen: give at least one")
        for n, option in enumerate(options):
            _check_text(option, f"options[{n}]")
        object.__setattr__(self, "options", options)

    def language(self) -> Node:
        return either(self.options)


@dataclass(frozen=True)
class Json:
    """Any JSON value whose objects and arrays nest to `depth` levels.

    Characters are written raw or with the shortest escape, numbers with at most 19 digits before
    the point and 17 behind it, and no key of an object is refused for standing twice. `whitespace`
    is "compact" for none, "optional" for one space after a comma or colon that may be there, or
    "free" for any between values and marks.
    """

    depth: int = 3
    whitespace: Whitespace = "optional"

    def __post_init__(self) -> None:
        check_depth(self.depth)
        JsonNotation(self.whitespace)

    def language(self) -> Node:
        return SchemaReader(True, JsonNotation(self.whitespace), depth=self.depth).read()


@dataclass(frozen=True)
class JsonSchema:
    """JSON values that `schema` allows, written as `Json` says, keys in the order of the schema.

    `schema` is a mapping, a boolean, JSON text, or a pydantic model. `depth` is how often a
    definition may stand within itself, and how deep values nest that the schema leaves open. What
    comes out satisfies the schema; not all that satisfies it can come out: without
    additionalProperties only the properties that are named are written, and without `type` only
    the types that the keywords speak of.

    Raises ConstraintError naming by its JSON pointer what is wrong, not supported or impossible.
    """

    schema: InitVar[Any]
    depth: int = field(default=3, kw_only=True)
    whitespace: Whitespace = field(default="optional", kw_only=True)
    text: str = field(init=False)
    _language: Node = field(init=False, repr=False, compare=False)

    def __post_init__(self, schema: Any) -> None:
        check_depth(self.depth)
        notation = JsonNotation(self.whitespace)
        parsed = _read_schema(schema, "schema")
        object.__setattr__(self, "text", json.dumps(parsed, ensure_ascii=False))
        language = _language_of(parsed, notation, self.depth, "schema")
        object.__setattr__(self, "_language", language)

    def language(self) -> Node:
        return self._language


@dataclass(frozen=True)
class Grammar:
    """Texts of a context-free grammar in Lark's notation, read without a lexer.

    Rules that repeat themselves at their beginning or end are not limited; any other rule may stand
    within itself `depth` times. Needs the extra `canvaslm[constraints]`. Raises ConstraintError for
    what Lark cannot read, naming it, and for terminals as Regex does.
    """

    text: str
    start: str = field(default="start", kw_only=True)
    depth: int = field(default=3, kw_only=True)
    _language: Node = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_depth(self.depth)
        language = parse_grammar(self.text, start=self.start, depth=self.depth)
        if language == NOTHING:
            raise ConstraintError(
                f"grammar: no text derives from {self.start}; look for rules that never end, or"
                f" need more than depth={self.depth}"
            )
        object.__setattr__(self, "_language", language)

    def language(self) -> Node:
        return self._language


@dataclass(frozen=True)
class ToolCall:
    """One call of a declared function, in Gemma's notation, with arguments that its schema allows.

    `tools` are declarations in OpenAI's shape; with `name` the call is of that one. Keys come in
    alphabetical order, as the chat template writes them, and at most one key of an object can be
    free, as a call with a key that stands twice cannot be read.

    Raises ConstraintError for what is no declaration, an unknown name, and as JsonSchema does.
    """

    tools: InitVar[Sequence[Mapping[str, Any]]]
    name: str | None = field(default=None, kw_only=True)
    depth: int = field(default=3, kw_only=True)
    text: str = field(init=False)
    _language: Node = field(init=False, repr=False, compare=False)

    def __post_init__(self, tools: Sequence[Mapping[str, Any]]) -> None:
        check_depth(self.depth)
        functions = _read_tools(tools)
        if self.name is not None and self.name not in functions:
            raise ConstraintError(
                f"no tool is named {self.name!r}: declared are {', '.join(functions)}"
            )
        names = list(functions) if self.name is None else [self.name]
        calls = [
            chain(f"call:{name}", _language_of(functions[name], CallNotation(), self.depth, name))
            for name in names
        ]
        object.__setattr__(self, "text", json.dumps(functions, ensure_ascii=False))
        language = chain(Control(TOOL_CALL), either(calls), Control(TOOL_CALL_END))
        object.__setattr__(self, "_language", language)

    def language(self) -> Node:
        return self._language


def _language_of(schema: Any, notation: Notation, depth: int, name: str) -> Node:
    try:
        with nesting("the schema"):
            found = SchemaReader(schema, notation, depth=depth).read()
    except ConstraintError as failure:
        raise ConstraintError(f"{name}: {failure}") from None
    if found == NOTHING:
        raise ConstraintError(
            f"{name}: no value satisfies it; look for false, for types and values that exclude each"
            f" other, and for definitions that need more than depth={depth}"
        )
    return found


def _read_schema(schema: Any, name: str) -> Any:
    """A copy of `schema` that is JSON and nothing else."""
    if isinstance(schema, type) and hasattr(schema, "model_json_schema"):
        schema = schema.model_json_schema()
    try:
        text = schema if isinstance(schema, str) else json.dumps(schema, allow_nan=False)
        parsed = json.loads(text)
    except (TypeError, ValueError, RecursionError) as failure:
        raise ConstraintError(
            f"{name} is no JSON: {failure}. Give a mapping, a boolean, JSON text or a pydantic"
            " model"
        ) from None
    if not isinstance(parsed, dict | bool):
        raise ConstraintError(f"{name} is {parsed!r}, expected an object or a boolean")
    return parsed


def _read_tools(tools: Any) -> dict[str, Any]:
    """The schema of each function's parameters, by its name."""
    if isinstance(tools, str | Mapping) or not isinstance(tools, Iterable):
        raise ConstraintError(f"tools must be a list of declarations, got {tools!r}")
    functions: dict[str, Any] = {}
    for n, tool in enumerate(tools):
        function = tool.get("function", tool) if isinstance(tool, Mapping) else {}
        name = function.get("name") if isinstance(function, Mapping) else None
        if not isinstance(name, str) or not _TOOL_NAME.fullmatch(name) or name in functions:
            raise ConstraintError(
                f"tools[{n}] names no function, or one that is named before, expected"
                ' {"type": "function", "function": {"name": ..., "parameters": {...}}}'
            )
        functions[name] = _read_parameters(function.get("parameters"), name)
    if not functions:
        raise ConstraintError("tools is empty, so nothing could be called: give at least one")
    return functions


def _read_parameters(parameters: Any, name: str) -> Any:
    if not parameters:
        return {"type": "object", "properties": {}}
    parsed = _read_schema(parameters, f"{name}: parameters")
    if isinstance(parsed, dict) and parsed.get("type", "object") == "object":
        return {"type": "object", **parsed}
    raise ConstraintError(f"{name}: parameters are {parsed!r}, expected the schema of an object")


def _check_text(text: object, name: str) -> None:
    if not isinstance(text, str):
        raise ConstraintError(f"{name} must be a string, got {text!r}")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConstraintError(f"{name} holds a lone surrogate, which is no Unicode text") from None
