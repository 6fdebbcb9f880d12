"""Calls to try a textbook function with: what it takes is guessed from its parameters' names."""

import ast
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from canvaslm.tasks.code_words import NUMBERS, TEXTS

Value: TypeAlias = int | str | list[int] | list[str] | dict[str, int] | dict[str, str]

_KEYS = ("key", "name", "label", "code")
_ONE_TEXT = frozenset((*TEXTS.values(), *_KEYS, "text", "message", "sentence"))
_LONGEST_LIST = 6


@dataclass(frozen=True, kw_only=True)
class Call:
    """Arguments of one call; for a method, also the attributes that `self` has (else None)."""

    arguments: Sequence[Value]
    attributes: dict[str, Value] | None = None


def calls(source: str, rng: random.Random, *, count: int = 64) -> list[Call]:
    """`count` calls of the one textbook function in `source`.

    Numbers and texts are drawn around the constants that the function compares with, so that both
    sides of a test are met.
    """
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    names = [argument.arg for argument in function.args.args]
    values = _Values(function, rng)
    if names[0] != "self":
        return [Call(arguments=values.take(names)) for _ in range(count)]
    attributes = sorted(_attributes(function))
    return [
        Call(
            arguments=values.take(names[1:]),
            attributes=dict(zip(attributes, values.take(attributes), strict=True)),
        )
        for _ in range(count)
    ]


def _attributes(function: ast.FunctionDef) -> set[str]:
    return {
        node.attr
        for node in ast.walk(function)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    }


@dataclass
class _Values:
    function: ast.FunctionDef
    rng: random.Random
    numbers: list[int] = field(init=False)
    texts: list[str] = field(init=False)
    counted: set[str] = field(init=False)  # attributes that are increased, and so no texts

    def __post_init__(self) -> None:
        nodes = list(ast.walk(self.function))
        found = [node.value for node in nodes if isinstance(node, ast.Constant)]
        changed = [node.target for node in nodes if isinstance(node, ast.AugAssign)]
        self.counted = {target.attr for target in changed if isinstance(target, ast.Attribute)}
        self.numbers = [v for v in found if isinstance(v, int) and not isinstance(v, bool)]
        # A sentence is a message, not something that a value is compared with.
        self.texts = [v for v in found if isinstance(v, str) and v and " " not in v.strip()]

    def take(self, names: Sequence[str]) -> list[Value]:
        """A value for each name. Names in the plural are lists, or looked up by a key, mappings."""
        taken = [self.one(name) for name in names]
        if len(names) > 1 and names[0] in NUMBERS | TEXTS and names[1] in _KEYS:
            pick = self.number if names[0] in NUMBERS else self.text
            keys = [self.text() for _ in range(3)]
            taken[0] = {key: pick() for key in keys}  # type: ignore[assignment]
            taken[1] = self.rng.choice([*keys, self.text()])
        return taken

    def one(self, name: str) -> Value:
        if name in self.counted:
            return self.number()
        if name in NUMBERS:
            return self.list_of(self.number)
        if name in TEXTS:
            return self.list_of(self.text)
        return self.text() if name in _ONE_TEXT else self.number()

    def list_of(self, draw: Callable[[], Value]) -> Value:
        drawn = [draw() for _ in range(self.rng.randint(0, _LONGEST_LIST))]
        again = self.rng.sample(drawn, min(len(drawn), 2))
        return drawn + again if self.rng.random() < 0.5 else drawn  # type: ignore[return-value]

    def number(self) -> int:
        rng = self.rng
        if not self.numbers or rng.random() < 0.4:
            return rng.randint(-4, 30)
        return rng.choice(self.numbers) * rng.choice((1, 1, 2)) + rng.choice((-1, 0, 1))

    def text(self) -> str:
        rng = self.rng
        letters = "aeiou" + "".join(self.texts) + "bcdnrst"
        length = rng.randint(0, 9) % 7
        if self.numbers and rng.random() < 0.5:
            length = max(0, rng.choice(self.numbers) + rng.choice((-1, 0, 1)))
        drawn = "".join(rng.choice(letters) for _ in range(min(length, 200)))
        mark = rng.choice((*self.texts, ""))
        return rng.choice(
            (
                drawn,
                mark + drawn,
                drawn + mark,
                drawn + drawn[::-1],
                drawn.upper(),
                drawn.capitalize(),
                f" {drawn} {rng.choice(letters)}{drawn}",
                str(rng.randint(0, 99)),
            )
        )
