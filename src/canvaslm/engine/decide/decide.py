"""The journey of a decision: questions laid out, read in few passes, debiased and calibrated."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from canvaslm.cache.pages import Pool
from canvaslm.engine.checks import check_integer
from canvaslm.engine.decide.answers import Decisions, answer_of
from canvaslm.engine.decide.calibration import METHODS, Calibration, Method, soften
from canvaslm.engine.decide.formats import Questions, read_questions
from canvaslm.engine.decide.layout import (
    Fork,
    Frame,
    Layout,
    Read,
    State,
    arrangements,
    forks,
    read_frame,
)
from canvaslm.engine.decide.questions import Question
from canvaslm.engine.decide.read import run, together
from canvaslm.engine.opening import encode_prompt
from canvaslm.errors import ContextLengthError, ParameterError
from canvaslm.model.network import Network


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How decisions are taken.

    method        "denoise" reads one denoising pass over a small canvas, "causal" the next token
    orders        orders of a question's options to average over; more cost in proportion
    divide_prior  divide by what the model answers without the state, which doubles the cost
    batch         questions that run together; None: as many as alone give the same bits

    Raises ParameterError.
    """

    method: Method = "denoise"
    orders: int = 1
    divide_prior: bool = False
    batch: int | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ParameterError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        if not isinstance(self.divide_prior, bool):
            raise ParameterError(f"divide_prior must be True or False, got {self.divide_prior!r}")
        check_integer("orders", self.orders, least=1)
        if self.batch is not None:
            check_integer("batch", self.batch, least=1)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One question laid out: its reads, `len(forks)` for each order of its options."""

    options: int
    own: int
    forks: Sequence[Fork]
    reads: Sequence[Read]

    def log_p(self, found: Sequence[Sequence[float]]) -> list[float]:
        """Log-probabilities of the options, averaged over the orders, from those of the reads."""
        total = [0.0] * self.options
        for i, values in enumerate(found):
            branches = self.forks[i % len(self.forks)].branches.values()
            for group, value in zip(branches, values, strict=True):
                for option in group:
                    total[option] += value
        orders = len(found) // len(self.forks)
        return normalised([value / orders for value in total])


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Questions laid out after each frame: the state, and an empty one to divide by its prior."""

    questions: Mapping[str | int, Question]
    rules: Rules
    frames: Sequence[Frame]
    asked: Sequence[Sequence[Asked]]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Uncalibrated log-probabilities of each question's options, and what they took."""

    log_p: Sequence[Sequence[float]]
    input_tokens: int
    passes: int
    cached_tokens: int = 0


class Decider:
    """Takes decisions with one network; `layout` knows its tokenizer and closing tokens."""

    def __init__(self, network: Network, pool: Pool, layout: Layout) -> None:
        self.network, self.pool, self.layout = network, pool, layout

    @cached_property
    def together(self) -> int:
        """How many questions this machine answers at once to the same bits as alone."""
        return together(self.network, self.pool)

    def decide(
        self,
        state: State,
        questions: Questions,
        *,
        rules: Rules,
        calibration: Calibration,
        clock: Callable[[], float],
    ) -> Decisions:
        """Answers by name. Raises before any work what `LM.decide` says."""
        started, plan = clock(), self.plan(state, questions, rules=rules)
        return self.answer(plan, calibration=calibration, clock=clock, started=started)

    def plan(self, state: State, questions: Questions, *, rules: Rules) -> Plan:
        """Lay the questions out, which takes about 50 us an option and no network: any thread may.

        Raises what `LM.decide` says.
        """
        named = read_questions(questions)
        frames = [self.frame(state)] + ([self.frame("")] if rules.divide_prior else [])
        asked = [[self.ask(q, frame, rules) for q in named.values()] for frame in frames]
        for frame, rows in zip(frames, asked, strict=True):
            self.check_context(frame, rows)
        return Plan(questions=named, rules=rules, frames=frames, asked=asked)

    def answer(
        self,
        plan: Plan,
        *,
        calibration: Calibration,
        clock: Callable[[], float],
        started: float | None = None,
    ) -> Decisions:
        """Answers by name to what this model's `plan` has laid out; `started` by the clock, now if
        None."""
        started = clock() if started is None else started
        found, answers = self.believe(plan), {}
        for (name, question), log_p in zip(plan.questions.items(), found.log_p, strict=True):
            temperature = calibration.temperature(plan.rules.method, question.kind)
            answers[name] = answer_of(question, soften(log_p, temperature))
        return Decisions(
            answers=answers,
            input_tokens=found.input_tokens,
            passes=found.passes,
            seconds=clock() - started,
            cached_tokens=found.cached_tokens,
        )

    def evidence(self, state: State, questions: Sequence[Question], *, rules: Rules) -> Evidence:
        """What the model believes, before calibration."""
        return self.believe(self.plan(state, questions, rules=rules))

    def believe(self, plan: Plan) -> Evidence:
        """The evidence of what has been laid out."""
        pairs = zip(plan.frames, plan.asked, strict=True)
        sides = [self.look(frame, rows, plan.rules) for frame, rows in pairs]
        if not plan.rules.divide_prior:
            return sides[0]
        log_p = [
            normalised([p - prior for p, prior in zip(with_state, without, strict=True)])
            for with_state, without in zip(sides[0].log_p, sides[1].log_p, strict=True)
        ]
        passes = sum(side.passes for side in sides)
        return replace(sides[0], log_p=log_p, passes=passes)

    def frame(self, state: State) -> Frame:
        return read_frame(state, tokenizer=self.layout.tokenizer, config=self.network.config)

    def ask(self, question: Question, frame: Frame, rules: Rules) -> Asked:
        options = self.layout.options(question, frame)
        parts = forks(options)
        reads: list[Read] = []
        for order in arrangements(question, rules.orders):
            own = self.layout.own(question, order, frame)
            if rules.method == "causal":
                reads += self.layout.causal_reads(own, parts)
            else:
                reads += self.layout.reads(own, parts, options)
        return Asked(options=len(options), own=len(own), forks=parts, reads=reads)

    def check_context(self, frame: Frame, asked: Sequence[Asked]) -> None:
        longest = max(
            len(read.own) + len(read.canvas) + len(read.said) for one in asked for read in one.reads
        )
        needed, limit = len(frame.shared) + longest, self.network.config.max_positions
        if needed > limit:
            raise ContextLengthError(
                f"the state takes {len(frame.shared)} tokens and the longest question {longest}, "
                f"together {needed}; the model's context is {limit}: shorten the state by "
                f"{needed - limit} tokens or more"
            )

    @torch.inference_mode()
    def look(self, frame: Frame, asked: Sequence[Asked], rules: Rules) -> Evidence:
        """Encode the shared tokens once, then run every read after them."""
        reads = [read for one in asked for read in one.reads]
        batch = self.together if rules.batch is None else rules.batch
        opening = encode_prompt(self.network, self.pool, frame.shared, top=None)
        with opening.prefix as prefix:
            found, passes = run(self.network, prefix, reads, batch=batch)
        values = iter(found)
        return Evidence(
            log_p=[one.log_p([next(values).tolist() for _ in one.reads]) for one in asked],
            input_tokens=len(frame.shared) + sum(one.own for one in asked),
            passes=passes,
            cached_tokens=opening.cached,
        )


def normalised(log_p: Sequence[float]) -> list[float]:
    top = max(log_p)
    total = top + math.log(math.fsum(math.exp(value - top) for value in log_p))
    return [value - total for value in log_p]
