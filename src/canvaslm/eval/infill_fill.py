"""What fills a gap: `LM.infill`, or the same weights left to right, with and without the suffix."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, get_args

from canvaslm.engine.params import Mode, Params
from canvaslm.engine.result import Result
from canvaslm.tasks.code import completion_prompt, fill_prompt

Method = Literal["infill", "completion", "prompt"]
"""`LM.infill`; left to right after the prefix alone; left to right, asked with both sides."""

METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, kw_only=True)
class Filling:
    """What was put into a gap, and what it took."""

    text: str
    tokens: int
    steps: int
    seconds: float


Fill: TypeAlias = Callable[[str, str, int], Filling]
"""`fill(prefix, suffix, max_gap)`: the text between, of at most `max_gap` tokens."""


class Infilled(Protocol):
    """What is read of the result of `LM.infill`."""

    @property
    def text(self) -> str: ...
    @property
    def gap_tokens(self) -> int: ...
    @property
    def steps(self) -> int: ...
    @property
    def seconds(self) -> float: ...


class Infiller(Protocol):
    """What is measured: an `LM`, or a fake."""

    def infill(
        self, prefix: str, suffix: str, *, max_gap: int, params: Params | None
    ) -> Infilled: ...

    def generate(self, prompt: str, *, params: Params | None, mode: Mode) -> Result: ...


def fills(
    lm: Infiller, methods: Sequence[Method] = METHODS, *, seed: int = 0
) -> dict[Method, Fill]:
    """The methods by name. Left to right answers are taken raw: nothing is cut off or mended."""

    def infill(prefix: str, suffix: str, max_gap: int) -> Filling:
        found = lm.infill(prefix, suffix, max_gap=max_gap, params=Params(seed=seed))
        return Filling(
            text=found.text, tokens=found.gap_tokens, steps=found.steps, seconds=found.seconds
        )

    def left_to_right(prompt: str, max_gap: int) -> Filling:
        # One token more, for the closing one.
        result = lm.generate(prompt, params=Params(max_tokens=max_gap + 1, seed=seed), mode="ar")
        usage = result.usage
        return Filling(
            text=result.text,
            tokens=usage.completion_tokens,
            steps=usage.steps,
            seconds=usage.seconds,
        )

    known: dict[Method, Fill] = {
        "infill": infill,
        "completion": lambda prefix, _, most: left_to_right(completion_prompt(prefix), most),
        "prompt": lambda prefix, suffix, most: left_to_right(fill_prompt(prefix, suffix), most),
    }
    return {method: known[method] for method in methods}
