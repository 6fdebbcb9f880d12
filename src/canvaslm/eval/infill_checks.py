"""Tests that a filled function can be put to, each run in the sandbox."""

from __future__ import annotations

import ast
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

from canvaslm.eval.infill_cases import InfillCase
from canvaslm.eval.sandbox import run
from canvaslm.tasks.code_calls import calls
from canvaslm.tasks.code_doctests import doctests


class Check(Protocol):
    """A test of one function."""

    def passes(self, source: str) -> bool:
        """Whether the function in `source` passes. Runs it; never raises."""
        ...


@dataclass(frozen=True, kw_only=True)
class SameResults:
    """Called as the original was, a function does what the original did: the same results or kinds
    of error, and the same changes to its arguments."""

    name: str
    calls: Sequence[Mapping[str, Any]]
    expected: Sequence[Sequence[str]]

    def passes(self, source: str) -> bool:
        outcome = run("calls", source=source, name=self.name, calls=self.calls)
        return outcome.error is None and outcome.value == self.expected


@dataclass(frozen=True, kw_only=True)
class Doctest:
    """In the place of the original in its module, a function passes the original's examples."""

    module: str
    name: str

    def passes(self, source: str) -> bool:
        return run("doctest", source=source, module=self.module, name=self.name).value is True


@dataclass(frozen=True, kw_only=True)
class UnitTest:
    """A program that ends with an error unless the function before it is right."""

    test: str

    def passes(self, source: str) -> bool:
        return run("program", program=f"{source}\n{self.test}").error is None


def check_of(case: InfillCase) -> Check | None:
    """The case's test; None where there is none, or the original does not pass it by itself."""
    source = case.gap.source
    if case.origin == "textbook":
        return _same_results(source)
    place = doctests().get(source)
    check = None if place is None else Doctest(module=place[0], name=place[1])
    return check if check is not None and check.passes(source) else None


def _same_results(source: str) -> SameResults | None:
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    made = [asdict(call) for call in calls(source, random.Random(source))]
    outcome = run("calls", source=source, name=function.name, calls=made)
    if outcome.error is not None or all(kind == "raised" for kind, *_ in outcome.value):
        return None
    return SameResults(name=function.name, calls=made, expected=outcome.value)
