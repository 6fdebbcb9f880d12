"""The presets of `effort`: which rules each adds to the checkpoint's own sampler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from canvaslm.diffusion.accept import Accept, EntropyBound, Stable
from canvaslm.diffusion.account import Account, EndOfText, Everything
from canvaslm.diffusion.choose import Choose
from canvaslm.diffusion.correct import Correct
from canvaslm.diffusion.step import Sampler
from canvaslm.diffusion.stop import AnyOf, StableAndConfident, Stop, Sure, Unmoved
from canvaslm.diffusion.temperature import ByProgress, LinearTemperature, Temperature
from canvaslm.engine.mending import Mend
from canvaslm.engine.params import Effort


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """The thresholds of one request: its own, or the checkpoint's."""

    max_steps: int
    entropy_bound: float
    t_min: float
    t_max: float
    stability: int
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is done about a canvas beyond its steps. The default is nothing.

    first_share  the first canvas begins with this share of the whole length, and no canvas is
                 longer than the answer may be; None: all are whole
    redrafts     how often a canvas that repeats itself is drafted again
    mend         how a canvas that the causal mode doubts is mended; None: it is not read
    """

    first_share: float | None = None
    redrafts: int = 0
    mend: Mend | None = None


PLAIN = Plan()


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Rules and what they make of the checkpoint's thresholds. The defaults change nothing.

    scale      factors on thresholds of the checkpoint; one that a request sets is left alone
    ending     steps that the end of the text must have stood for until what follows it does not
               count; None: all counts always
    stable     likely and unchanging positions are accepted, too
    pace       the temperature falls over this share of the steps; None: over all
    cooling    it follows the share accepted instead
    sure       a canvas is done at once when its whole doubt is at most so many entropy bounds
    unmoved    it is done, too, when it has not changed for so many steps
    correct    what takes back accepted positions
    plan       what is done beyond a canvas's steps
    """

    scale: Mapping[str, float] = field(default_factory=dict)
    ending: int | None = None
    stable: bool = False
    pace: float | None = None
    cooling: bool = False
    sure: float | None = None
    unmoved: int | None = None
    correct: Correct | None = None
    plan: Plan = PLAIN

    def scaled(self, name: str, value: float) -> float:
        """One of the checkpoint's thresholds; steps stay whole, and at least one."""
        if name not in self.scale:
            return value
        product = value * self.scale[name]
        return max(round(product), 1) if isinstance(value, int) else product

    def without_shortcuts(self) -> Preset:
        """For a request that says itself when a canvas is done: it is not done before."""
        return replace(self, sure=None, unmoved=None)

    def sampler(self, numbers: Numbers, *, choose: Choose, end_ids: frozenset[int]) -> Sampler:
        """Raises ParameterError where the numbers contradict each other."""
        return Sampler(
            temperature=self.temperature(numbers),
            choose=choose,
            account=self.account(end_ids),
            accept=self.accept(numbers),
            correct=self.correct,
            stop=self.stop(numbers),
        )

    def temperature(self, numbers: Numbers) -> Temperature:
        t_min, t_max, steps = numbers.t_min, numbers.t_max, numbers.max_steps
        if self.cooling:
            return ByProgress(t_min=t_min, t_max=t_max, max_steps=steps)
        over = None if self.pace is None else max(round(self.pace * steps), 1)
        return LinearTemperature(t_min=t_min, t_max=t_max, max_steps=steps, over=over)

    def account(self, end_ids: frozenset[int]) -> Account:
        if self.ending is None or not end_ids:
            return Everything()
        return EndOfText(end_ids=end_ids, steps=self.ending)

    def accept(self, numbers: Numbers) -> Accept:
        bound = EntropyBound(bound=numbers.entropy_bound)
        return Stable(rule=bound) if self.stable else bound

    def stop(self, numbers: Numbers) -> Stop:
        rules: list[Stop] = [
            StableAndConfident(stability=numbers.stability, confidence=numbers.confidence)
        ]
        if self.sure is not None:
            rules.append(Sure(total=self.sure * numbers.entropy_bound))
        if self.unmoved is not None:
            rules.append(Unmoved(steps=self.unmoved))
        return rules[0] if len(rules) == 1 else AnyOf(rules=tuple(rules))


PRESETS: Mapping[Effort, Preset] = {
    "reference": Preset(),
    "balanced": Preset(
        pace=1 / 4,
        ending=1,
        sure=1,
        unmoved=1,
        plan=Plan(first_share=0.5, redrafts=2),
    ),
    "fast": Preset(
        scale={"max_steps": 1 / 6},
        pace=1 / 2,
        ending=0,
        sure=3,
        unmoved=1,
        plan=Plan(first_share=0.5, redrafts=1),
    ),
    "quality": Preset(plan=Plan(redrafts=3, mend=Mend(rounds=3))),
}
