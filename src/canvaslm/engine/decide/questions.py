"""Typed questions: yes or no, one of several options, a place on a scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal

from canvaslm.errors import ParameterError

Kind = Literal["yes_no", "pick", "rate"]
Value = str | bool

PICK_OPTIONS = range(2, 256)
RATE_LEVELS = range(2, 11)


@dataclass(frozen=True)
class Option:
    """One possible answer, and what it stands for where the value alone does not say it."""

    value: Value
    description: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.value, str | bool):
            raise ParameterError(
                f"an option must be a text or a boolean, got {self.value!r} of type "
                f"{type(self.value).__name__}"
            )
        if not self.text.strip():
            raise ParameterError(f"an option must have a text, got {self.value!r}")
        if self.description is not None:
            check_text("the description of an option", self.description)

    @property
    def text(self) -> str:
        """What the model reads and is asked about."""
        return str(self.value).lower() if isinstance(self.value, bool) else self.value


Options = Sequence[Value | Option] | Mapping[str, str | None]


@dataclass(frozen=True)
class YesNo:
    """Is it so? `yes` and `no` may say what counts as which."""

    kind: ClassVar[Kind] = "yes_no"
    instructions: str
    yes: str | None = field(default=None, kw_only=True)
    no: str | None = field(default=None, kw_only=True)
    listed: tuple[Option, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_text("the instructions of a question", self.instructions)
        object.__setattr__(self, "listed", (Option("yes", self.yes), Option("no", self.no)))


@dataclass(frozen=True)
class Pick:
    """Which of 2 to 255 options? Each is a value, an `Option`, or a key with its description.

    Their order carries no meaning: the answer does not depend on it.
    """

    kind: ClassVar[Kind] = "pick"
    instructions: str
    options: Options
    listed: tuple[Option, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_text("the instructions of a question", self.instructions)
        listed = read_options(self.options, name="options", allowed=PICK_OPTIONS)
        object.__setattr__(self, "listed", listed)


@dataclass(frozen=True)
class Rate:
    """Where on a scale of 2 to 10 levels, the lowest first?"""

    kind: ClassVar[Kind] = "rate"
    instructions: str
    levels: Options
    listed: tuple[Option, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_text("the instructions of a question", self.instructions)
        listed = read_options(self.levels, name="levels", allowed=RATE_LEVELS)
        object.__setattr__(self, "listed", listed)


Question = YesNo | Pick | Rate


def check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise ParameterError(f"{name} must be a text, got {value!r} of type {type(value).__name__}")
    if not value.strip():
        raise ParameterError(f"{name} must not be empty")


def read_options(given: object, *, name: str, allowed: range) -> tuple[Option, ...]:
    """Values, options or a mapping to descriptions, as options; raises where they cannot be."""
    if isinstance(given, str | bytes) or not isinstance(given, Sequence | Mapping):
        raise ParameterError(
            f"{name} must be a list, or a mapping to descriptions, got {type(given).__name__}"
        )
    pairs = given.items() if isinstance(given, Mapping) else ((value, None) for value in given)
    listed = tuple(v if isinstance(v, Option) else Option(v, text) for v, text in pairs)
    if len(listed) not in allowed:
        raise ParameterError(
            f"a question needs {allowed.start} to {allowed.stop - 1} {name}, got {len(listed)}"
        )
    seen: set[str] = set()
    for option in listed:
        if option.text in seen:
            raise ParameterError(f"{name} must differ from each other, got {option.text!r} twice")
        seen.add(option.text)
    return listed
