"""Reads a grammar in Lark's notation into the language algebra, its recursion to a depth."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from canvaslm.control.language.nodes import NOTHING, Node, chain, either, repeat
from canvaslm.control.language.recursion import Trail, Visits, nesting
from canvaslm.control.language.regex import parse_regex
from canvaslm.errors import ConstraintError

# Lark's own ESCAPED_STRING looks behind; this says the same of one string at a time
_LOOKS_BEHIND = r".*?(?<!\\)(\\\\)*?"
_NO_LOOK = r"(?:[^\"\\\n]|\\.)*"

_FOREIGN_IMPORT = re.compile(
    r"^\s*%import\s+(?!(?:common|python|unicode|lark)\b)(\S+)", re.MULTILINE
)


def parse_grammar(text: str, *, start: str, depth: int) -> Node:
    """The texts that derive from `start`, read without a lexer, as Lark's "dynamic_complete" does.

    A rule that repeats itself at its beginning or its end becomes a loop and is not limited; any
    other rule may stand within itself `depth` times. Whatever the grammar ignores may stand before,
    between and after terminals. Raises ConstraintError naming the rule or terminal that cannot be
    read.
    """
    for name, value in (("a grammar", text), ("the start of a grammar", start)):
        if not isinstance(value, str):
            raise ConstraintError(f"{name} must be a string, got {value!r}")
    if foreign := _FOREIGN_IMPORT.search(text):
        raise ConstraintError(
            f"grammar: {foreign[1]} cannot be imported: write its definitions into the grammar, or"
            " import from Lark's common"
        )
    with nesting("the grammar"):
        return _Reader(_load(text, start), depth).read(start)


def _load(text: str, start: str) -> Any:
    try:
        import lark
    except ImportError:
        raise ConstraintError(
            "Grammar needs the package lark, which is not installed:"
            " pip install 'canvaslm[constraints]'"
        ) from None
    try:
        return lark.Lark(text, start=start, parser="earley", lexer="dynamic_complete")
    except (lark.exceptions.LarkError, OSError) as failure:
        raise ConstraintError(f"grammar: {str(failure).strip()}") from None


class _Reader:
    def __init__(self, loaded: Any, depth: int) -> None:
        self._depth = depth
        self._visits = Visits()
        self._rules: dict[str, list[list[tuple[str, bool]]]] = defaultdict(list)
        for rule in loaded.rules:
            symbols = [(symbol.name, symbol.is_term) for symbol in rule.expansion]
            self._rules[rule.origin.name].append(symbols)
        terminals = {t.name: _terminal(t.name, t.pattern.to_regexp()) for t in loaded.terminals}
        self._ignored = repeat(either(terminals[name] for name in loaded.ignore_tokens))
        self._terminals = {name: chain(node, self._ignored) for name, node in terminals.items()}

    def read(self, start: str) -> Node:
        return chain(self._ignored, self._rule(start, Trail()))

    def _rule(self, name: str, trail: Trail) -> Node:
        """The rule with loops for what repeats at its ends: from A: A x | y A | A z A | b comes
        u (z u)*, where u is y* b x*.
        """
        self._visits.add(f"rule {name}")
        inner = trail.enter(name, depth=self._depth)
        if inner is None:
            return NOTHING
        own = (name, False)
        kinds: dict[tuple[bool, bool], list[Node]] = defaultdict(list)
        for symbols in self._rules[name]:
            left, right = symbols[0:1] == [own], symbols[-1:] == [own] and len(symbols) > 1
            middle = symbols[left : len(symbols) - right]
            kinds[left, right].append(self._row(middle, inner, name))
        before, after = either(kinds[False, True]), either(kinds[True, False])
        unit = chain(repeat(before), either(kinds[False, False]), repeat(after))
        return chain(unit, repeat(chain(either(kinds[True, True]), unit)))

    def _row(self, symbols: Sequence[tuple[str, bool]], trail: Trail, rule: str) -> Node:
        parts: list[Node] = []
        for name, is_terminal in symbols:
            if not is_terminal:
                parts.append(self._rule(name, trail))
            elif name in self._terminals:
                parts.append(self._terminals[name])
            else:
                raise ConstraintError(
                    f"grammar: rule {rule} uses the terminal {name}, which has no pattern"
                )
        return chain(*parts)


def _terminal(name: str, pattern: str) -> Node:
    try:
        return parse_regex(pattern.replace(_LOOKS_BEHIND, _NO_LOOK))
    except ConstraintError as failure:
        raise ConstraintError(f"grammar: terminal {name}: {failure}") from None
