"""The Jinja environment of chat templates: what `transformers` offers them, within limits."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from typing import Any, Never

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

MAX_SOURCE = 1_000_000  # characters of a template
MAX_TURNS = 2_000_000  # turns of all its loops together
MAX_TEXT = 32_000_000  # characters of any string it makes

TURNS = "turns left"  # holds an iterator with one item a turn; no template can name this variable


def compile_template(source: str, *, now: Callable[[], datetime]) -> jinja2.Template:
    """Compile `source`; `now` is the clock behind `strftime_now`. Raises jinja2.TemplateError.

    Rendering needs the variable `TURNS`. The limits stop loops and strings that run away; they
    are no wall against a template written to do harm, which is what the sandbox is for.
    """
    if len(source) > MAX_SOURCE:
        raise jinja2.TemplateError(f"it has {len(source)} characters, expected <= {MAX_SOURCE}")
    environment = _Sandbox(
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=[_Generation, "jinja2.ext.loopcontrols"],
    )
    environment.filters |= {"tojson": _to_json, _COUNTED: _count_turns, _SIZED: _check_size}
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["strftime_now"] = lambda form: now().strftime(form)
    code = environment.compile(_limit(environment.parse(source)))
    return environment.template_class.from_code(environment, code, environment.globals)


class _Sandbox(ImmutableSandboxedEnvironment):
    """Refuses Python's insides and changes to its arguments, and arithmetic that makes giants."""

    intercepted_binops = frozenset({"+", "*", "**"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        if _result_size(operator, left, right) > MAX_TEXT:
            raise jinja2.TemplateError(f"its operator {operator} would make a giant value")
        return super().call_binop(context, operator, left, right)


def _result_size(operator: str, left: Any, right: Any) -> float:
    if operator == "**":
        return 0 if isinstance(right, int | float) and abs(right) <= 64 else float("inf")
    lengths = [len(side) for side in (left, right) if isinstance(side, str | list | tuple)]
    factors = [side for side in (left, right) if isinstance(side, int)]
    return sum(lengths) * (factors[0] if operator == "*" and factors else 1)


class _Generation(Extension):
    """`{% generation %}...{% endgeneration %}` marks what the model wrote; it prints its body."""

    tags = {"generation"}  # noqa: RUF012 (declared so by jinja2)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


_COUNTED = "count turns"
_SIZED = "check size"


def _limit(tree: nodes.Template) -> nodes.Template:
    """Count the turns of every loop, and look at the size of what every `~` joins."""
    for loop in tree.find_all(nodes.For):
        loop.iter = _filtered(loop.iter, _COUNTED)
    for join in list(tree.find_all(nodes.Concat)):
        join.nodes = [_filtered(nodes.Concat(join.nodes, lineno=join.lineno), _SIZED)]
    return tree


def _filtered(expression: nodes.Node, name: str) -> nodes.Filter:
    return nodes.Filter(expression, name, [], [], None, None, lineno=expression.lineno)


@jinja2.pass_context
def _count_turns(context: Context, items: Iterable[Any]) -> Iterator[Any]:
    turns: Iterator[int] = context.resolve(TURNS)
    for item in items:
        if next(turns, None) is None:
            raise jinja2.TemplateError(f"its loops took more than {MAX_TURNS} turns")
        yield item


def _check_size(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise jinja2.TemplateError(f"it made a text of more than {MAX_TEXT} characters")
    return text


def _raise_exception(message: str) -> Never:
    raise jinja2.TemplateError(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """`tojson` without the HTML escapes of jinja2's own, which no model was trained on."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )
