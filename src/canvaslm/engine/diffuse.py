"""Answers by diffusion: encode, denoise a canvas, commit it, and again until every job is done."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.cache.attend import Bidirectional
from canvaslm.cache.pages import Pool, Prefix
from canvaslm.diffusion.draws import CounterDraws, Draws
from canvaslm.diffusion.loop import Seat, State, settle
from canvaslm.diffusion.noise import UniformNoise
from canvaslm.engine.encode import extend, extend_all
from canvaslm.engine.job import Job
from canvaslm.model.network import Network

# B rows at work, L canvas, D hidden, V vocabulary


@dataclass(frozen=True, kw_only=True)
class Pass:
    """A denoising pass of canvas number `canvas`."""

    canvas: int
    state: State


@dataclass(frozen=True, kw_only=True)
class Commit:
    """Tokens that the job in this row has now said for good."""

    row: int
    ids: list[int]


class CanvasModel:
    """The network as the loop sees it: one canvas after each prefix. What a canvas keeps from pass
    to pass (positions, the prefixes in sight) is made once."""

    def __init__(self, model: Network, prefixes: Sequence[Prefix]) -> None:
        self.model, self.prefixes = model, prefixes
        self._rows: Sequence[int] | None = None

    def logits(self, rows: Sequence[int], ids_BL: Tensor, soft_BLD: Tensor | None) -> Tensor:
        if rows != self._rows:
            self._rows, prefixes = rows, [self.prefixes[row] for row in rows]
            starts = torch.tensor([[prefix.length] for prefix in prefixes], device=ids_BL.device)
            self._positions = starts + torch.arange(ids_BL.shape[1], device=ids_BL.device)
            self._attend = Bidirectional(prefixes)
        hidden_BLD = self.model.denoise(ids_BL, soft_BLD, self._positions, self._attend)
        return self.model.unembed(hidden_BLD)

    def soften(self, p_BLV: Tensor) -> Tensor:
        return self.model.blend(p_BLV)


def counter_draws(model: Network, jobs: Sequence[Job]) -> CounterDraws:
    """Each job's own random numbers, keyed by its seed."""
    return CounterDraws(
        seeds=[job.seed for job in jobs],
        length=model.config.canvas_length,
        rule=UniformNoise(vocab_size=model.config.vocab_size),
        device=model.embedding.device,
    )


@torch.inference_mode()
def diffuse(
    model: Network, pool: Pool, jobs: Sequence[Job], *, draws: Draws
) -> Iterator[Pass | Commit]:
    """Bring all jobs to their end in step with each other, one row each.

    The last canvas of a job is not encoded: nobody would read it. Closing the generator gives the
    pages back.
    """
    with ExitStack() as stack:
        prefixes = [stack.enter_context(Prefix(pool)) for _ in jobs]
        for job, prefix in zip(jobs, prefixes, strict=True):
            for _ in extend_all(model, prefix, job.prompt):
                pass
        rows, canvas = list(range(len(jobs))), 0
        while rows:
            best: dict[int, Tensor] = {}
            model_rows = CanvasModel(model, prefixes)
            seats = [seat(model, row, jobs[row]) for row in rows]
            for state in settle(model_rows, seats, draws, canvas=canvas):
                best |= count(jobs, state)
                yield Pass(canvas=canvas, state=state)
            for row in rows:
                jobs[row].canvases += 1
                yield Commit(row=row, ids=jobs[row].take(best[row].tolist()))
            rows = [row for row in rows if jobs[row].finish_reason is None]
            if rows:
                ids_BL = torch.stack([best[row] for row in rows])
                extend(model, [prefixes[row] for row in rows], ids_BL)
            canvas += 1


def count(jobs: Sequence[Job], state: State) -> dict[int, Tensor]:
    """Note the pass for every row that took part; the canvases [L] of those it finished."""
    for row in state.rows:
        jobs[row].steps += 1
    return {row: state.best[place] for place, row in enumerate(state.rows) if state.finished[place]}


def seat(model: Network, row: int, job: Job) -> Seat:
    """How the next canvas of a job is denoised."""
    guide = None
    if job.steering is not None:
        guide = job.steering.on_canvas(model.config.canvas_length, model.embedding.device)
    return Seat(row=row, sampler=job.sampler, guide=guide)
