"""The presets of `effort`: which rules each adds to the checkpoint's own sampler."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
    """Rules beside the checkpoint's thresholds. The defaults change nothing.

    most       a canvas has so many steps at most, or the checkpoint's if those are fewer; what a
               request sets goes before both
    ending     steps that the end of the text must have stood for until what follows it does not
               count; None: all counts always
    stable     likely and unchanging positions are accepted, too
    over       the temperature falls over so many steps, or over all if those are fewer; None: over
               all
    cooling    it follows the share accepted instead
    sure       a canvas is done at once when its whole doubt is at most so many entropy bounds
    unmoved    it is done, too, when it has not changed for so many steps
    correct    what takes back accepted positions
    plan       what is done beyond a canvas's steps
    """

    most: int | None = None
    ending: int | None = None
    stable: bool = False
    over: int | None = None
    cooling: bool = False
    sure: float | None = None
    unmoved: int | None = None
    correct: Correct | None = None
    plan: Plan = PLAIN

    def steps(self, allowed: int) -> int:
        """Most steps of a canvas, of those that the checkpoint allows."""
        return allowed if self.most is None else min(allowed, self.most)

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
        over = None if self.over is None else min(self.over, steps)
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
        over=12,
        ending=1,
        sure=1,
        unmoved=1,
        plan=Plan(first_share=0.5, redrafts=2),
    ),
    "fast": Preset(
        most=8,
        over=4,
        ending=0,
        sure=3,
        unmoved=1,
        plan=Plan(first_share=0.5, redrafts=1),
    ),
    "quality": Preset(plan=Plan(redrafts=3, mend=Mend(rounds=3))),
}
