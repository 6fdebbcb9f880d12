"""Builds, keeps and asks the automata of constraints."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Protocol, runtime_checkable

from canvaslm.control.automaton import TokenAutomaton
from canvaslm.control.language.dfa import Dfa
from canvaslm.control.language.nfa import build_dfa
from canvaslm.control.language.nodes import Node
from canvaslm.control.language.recursion import nesting
from canvaslm.control.language.symbols import Symbols
from canvaslm.control.language.tokens import to_tokens
from canvaslm.control.language.vocabulary import Vocabulary
from canvaslm.errors import ConstraintError


@runtime_checkable
class Constraint(Protocol):
    """Whatever says which texts are allowed; hashable, as automata are kept by it."""

    def language(self) -> Node:
        """The allowed texts in the language algebra."""

    def __hash__(self) -> int: ...


@lru_cache(maxsize=64)
def compile_constraint(constraint: Constraint, vocabulary: Vocabulary) -> TokenAutomaton:
    """The token strings that `constraint` allows; the last 64 are kept.

    Raises ConstraintError where nothing is allowed, the vocabulary cannot spell it, or the
    automaton would be too large.
    """
    dfa, symbols = _byte_automaton(constraint)
    return to_tokens(dfa, symbols, vocabulary)


def matches(constraint: Constraint, text: str) -> bool:
    """Whether `constraint` allows `text`; control tokens that it uses stand in it by name."""
    dfa, symbols = _byte_automaton(constraint)
    names = "|".join(re.escape(name) for name in symbols.controls)
    try:
        classes = symbols.of_text(re.split(f"({names})", text) if names else [text])
    except UnicodeEncodeError:  # a lone surrogate, which no text of tokens holds
        return False
    return classes is not None and dfa.accepts(classes)


@lru_cache(maxsize=64)
def _byte_automaton(constraint: Constraint) -> tuple[Dfa, Symbols]:
    with nesting(_shown(constraint)):
        node = constraint.language()
        symbols = Symbols.of(node)
        dfa = build_dfa(node, symbols)
    if dfa is None:
        raise ConstraintError(f"nothing satisfies {_shown(constraint)}: no text at all is allowed")
    return dfa, symbols


def _shown(constraint: Constraint) -> str:
    text = repr(constraint)
    return text if len(text) <= 200 else f"{text[:200]}..."
