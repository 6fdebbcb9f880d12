"""Canvases drafted until they are fit to commit: wider for a long answer, again after a loop."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace

from torch import Tensor

from canvaslm.cache.pages import Prefix
from canvaslm.control.loop_guard import GUARD, Discourage
from canvaslm.control.steering import Steering
from canvaslm.diffusion.draws import Draws
from canvaslm.diffusion.loop import Seat, State, settle
from canvaslm.diffusion.step import Sampler
from canvaslm.diffusion.stop import AnyOf, TooShort
from canvaslm.engine.job import Job
from canvaslm.engine.mending import Judged, judge
from canvaslm.engine.passes import CanvasModel, Pass
from canvaslm.model.network import Network

# L canvas

STRIDE = 1 << 16
"""Canvas numbers from the draws of one attempt to those of the next."""

PENALTY = 2.0
"""Nats that each further attempt takes off the tokens of a loop."""

SIZES = 8
"""Canvases have a whole number of eighths of the whole length."""


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One draft of a job's next canvas, `length` tokens long: `number` says with which draws,
    `avoided` which tokens are made less likely, `warm` where it starts from (-1: noise)."""

    length: int
    number: int = 0
    avoided: frozenset[int] = frozenset()
    warm: tuple[int, ...] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """What attempts must share to be drafted together."""
        return self.length, self.number


class Drafting:
    """The drafts of canvas number `canvas`. A row's is what it would be alone, whatever becomes of
    the others."""

    def __init__(
        self,
        model: Network,
        prefixes: Sequence[Prefix],
        jobs: Sequence[Job],
        draws: Draws,
        canvas: int,
    ) -> None:
        self.model, self.prefixes, self.jobs = model, prefixes, jobs
        self.draws, self.canvas = draws, canvas
        self.whole = model.config.canvas_length
        self.passes = 0

    def run(self, rows: Sequence[int]) -> Generator[Pass, None, dict[int, Tensor]]:
        """Yields every pass; returns the canvas [L] that each row is to commit."""
        done: dict[int, Tensor] = {}
        attempts = {row: Attempt(length=self.first_length(self.jobs[row])) for row in rows}
        while attempts:
            settled: dict[int, Tensor] = {}
            for shape in dict.fromkeys(attempt.shape for attempt in attempts.values()):
                group = {row: one for row, one in attempts.items() if one.shape == shape}
                settled |= yield from self.settle(group)
            again = {row: self.again(row, attempts[row], settled[row]) for row in attempts}
            for row in [row for row in attempts if again[row] is None]:
                done[row] = yield from self.mend(row, attempts[row], settled[row])
            attempts = {row: one for row, one in again.items() if one is not None}
        return done

    def mend(self, row: int, attempt: Attempt, canvas_L: Tensor) -> Generator[Pass, None, Tensor]:
        """The canvas, or a better one: see `mending.Mend`."""
        job, mend = self.jobs[row], self.jobs[row].plan.mend
        if mend is None or job.last is None:
            return canvas_L
        best, kept = self.judge(row, canvas_L), copy(job.ledger)
        for _ in range(mend.rounds):
            if best.trusted(mend.trust):
                break
            warm = None if mend.doubt is None else best.warm(mend.doubt)
            attempt = replace(attempt, number=attempt.number + 1, warm=warm)
            settled = yield from self.settle({row: attempt})
            other = self.judge(row, settled[row])
            if other.score > best.score and self.loop(row, settled[row]) is None:
                best, kept = other, copy(job.ledger)
        job.ledger = kept
        return best.canvas

    def judge(self, row: int, canvas_L: Tensor) -> Judged:
        job = self.jobs[row]
        assert job.last is not None
        ids = job.cut(canvas_L.tolist())
        return judge(self.model, self.prefixes[row], job.last, canvas_L, ids)

    def settle(self, group: Mapping[int, Attempt]) -> Generator[Pass, None, dict[int, Tensor]]:
        """Denoise one attempt for each row; all are of one shape."""
        best: dict[int, Tensor] = {}
        length, number = next(iter(group.values())).shape
        draws = self.draws if length == self.whole else self.draws.narrowed(length)
        seats = [self.seat(row, attempt) for row, attempt in group.items()]
        model, earlier = CanvasModel(self.model, self.prefixes), self.passes
        for state in settle(model, seats, draws, canvas=self.canvas + number * STRIDE):
            best |= self.count(state)
            self.passes = earlier + state.step
            yield Pass(canvas=self.canvas, state=replace(state, step=self.passes))
        return best

    def count(self, state: State) -> dict[int, Tensor]:
        """Note the pass for every row that took part; the canvases of those it finished."""
        for row in state.rows:
            self.jobs[row].steps += 1
        finished = [place for place, done in enumerate(state.finished) if done]
        return {state.rows[place]: state.best[place] for place in finished}

    def seat(self, row: int, attempt: Attempt) -> Seat:
        """How a row is denoised in this attempt."""
        job = self.jobs[row]
        steering, guide = steer(job, attempt), None
        if steering is not None:
            device = self.model.device
            guide = steering.on_canvas(attempt.length, device, draft=attempt.warm)
            if job.held:
                guide.pin(job.held)
        watch = None if job.ledger is None else job.ledger.watch()
        sampler = self.hurried(job) if self.narrow(job, attempt.length) else job.sampler
        return Seat(
            row=row,
            sampler=sampler,
            guide=guide,
            watch=watch,
            held=len(job.held),
            keep=job.hold,
        )

    def first_length(self, job: Job) -> int:
        """The canvas to begin with: what is left of the answer, where that is less than a canvas,
        and for a first canvas no more than the job's plan says."""
        steering = job.steering
        placed = steering is not None and (steering.pins is not None or steering.draft is not None)
        share = job.plan.first_share
        if share is None or placed:
            return self.whole
        wanted = self.needed(job)
        if job.eos_ids and not job.ids:
            wanted = min(wanted, round(self.whole * share))
        unit = max(self.whole // SIZES, 1)
        return min(-(-wanted // unit) * unit, self.whole)

    def needed(self, job: Job) -> int:
        """Tokens of a canvas that the answer may still take."""
        return min(job.params.max_tokens - len(job.ids), self.whole)

    def narrow(self, job: Job, length: int) -> bool:
        """Whether an answer may turn out too long for a canvas of this length."""
        return length < self.needed(job)

    def hurried(self, job: Job) -> Sampler:
        """The job's rules for a narrow canvas, which is left as soon as it shows no end."""
        rules = (job.sampler.stop, TooShort(end_ids=job.eos_ids))
        return replace(job.sampler, stop=AnyOf(rules=rules))

    def again(self, row: int, attempt: Attempt, canvas_L: Tensor) -> Attempt | None:
        """The next attempt at a canvas that is not fit to commit; None: it is."""
        job, ids = self.jobs[row], canvas_L.tolist()
        if job.held and job.ends_ahead:
            return None
        if self.narrow(job, attempt.length) and job.eos_ids.isdisjoint(ids):
            return replace(attempt, length=self.whole)
        if attempt.number == job.plan.redrafts or len(job.held) == len(ids):
            return None
        tokens = self.loop(row, canvas_L)
        if tokens is None:
            return None
        job.redrafts += 1
        return replace(attempt, number=attempt.number + 1, avoided=attempt.avoided | tokens)

    def loop(self, row: int, canvas_L: Tensor) -> frozenset[int] | None:
        """The tokens that a canvas says again and again, behind what is said; None: it does not."""
        job = self.jobs[row]
        said, new = job.ids[-GUARD.reach :], job.cut(canvas_L.tolist())
        found = GUARD.find([*said, *new])
        if found is None or found.stop < len(said) + found.period:
            return None
        return frozenset([*said, *new][found.start : found.start + found.period])


def steer(job: Job, attempt: Attempt) -> Steering | None:
    """The job's steering for one attempt, with what it repeated made less likely; None where it
    takes none."""
    if not attempt.avoided and attempt.warm is None and job.sampler.hold is None:
        return job.steering
    steering = job.steering or Steering(said=list(job.ids))
    if not attempt.avoided:
        return steering
    rule = Discourage(ids=sorted(attempt.avoided - job.eos_ids), nats=PENALTY * attempt.number)
    return replace(steering, rules=(*steering.rules, rule))
