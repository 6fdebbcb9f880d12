"""Answers by diffusion: encode, denoise a canvas, commit it, and again until every job is done."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch
from torch import Tensor

from canvaslm.cache.pages import Pool, Prefix
from canvaslm.diffusion.draws import CounterDraws, Draws
from canvaslm.diffusion.noise import UniformNoise
from canvaslm.engine.drafting import Drafting
from canvaslm.engine.encode import extend
from canvaslm.engine.job import Job
from canvaslm.engine.passes import CanvasModel as CanvasModel
from canvaslm.engine.passes import Pass as Pass
from canvaslm.model.network import Network

# B rows at work, L canvas, D hidden


@dataclass(frozen=True, kw_only=True)
class Commit:
    """Tokens that the job in this row has now said for good."""

    row: int
    ids: list[int]


def counter_draws(model: Network, jobs: Sequence[Job]) -> CounterDraws:
    """Each job's own random numbers, keyed by its seed."""
    return CounterDraws(
        seeds=[job.seed for job in jobs],
        length=model.config.canvas_length,
        rule=UniformNoise(vocab_size=model.config.vocab_size),
        device=model.device,
    )


@torch.inference_mode()
def diffuse(
    model: Network, pool: Pool, jobs: Sequence[Job], *, draws: Draws
) -> Iterator[Pass | Commit]:
    """Bring all jobs to their end in step with each other, one row each.

    The last canvas of a job is not encoded, as nobody would read it, unless its log-probabilities
    need that. Closing the generator gives the pages back.
    """
    with ExitStack() as stack:
        prefixes = [stack.enter_context(job.open(model, pool).prefix) for job in jobs]
        rows, canvas = list(range(len(jobs))), 0
        while rows:
            best = yield from Drafting(model, prefixes, jobs, draws, canvas).run(rows)
            taken = {}
            for row in rows:
                taken[row] = commit(model, jobs[row], prefixes[row], best[row])
                yield Commit(row=row, ids=taken[row])
            encode(model, jobs, prefixes, best, taken)
            rows = [row for row in rows if jobs[row].finish_reason is None]
            canvas += 1


def commit(model: Network, job: Job, prefix: Prefix, canvas_L: Tensor) -> list[int]:
    """Let the job say a settled canvas, as much of it as it has room for."""
    ids = job.take(canvas_L.tolist())
    if job.ledger is not None:
        job.ledger.settled(model, prefix, canvas_L, ids, job.canvases)
    job.canvases += 1
    return ids


def encode(
    model: Network,
    jobs: Sequence[Job],
    prefixes: Sequence[Prefix],
    best: Mapping[int, Tensor],
    taken: Mapping[int, list[int]],
) -> None:
    """Append the settled canvases to the prefixes of the rows that anything follows in."""
    read = [row for row in taken if needs_encoding(jobs[row])]
    for length in dict.fromkeys(len(best[row]) for row in read):
        rows = [row for row in read if len(best[row]) == length]
        ids_BL = torch.stack([best[row] for row in rows])
        hidden_BLD = extend(model, [prefixes[row] for row in rows], ids_BL)
        for row, hidden_LD in zip(rows, hidden_BLD, strict=True):
            jobs[row].last, ledger = hidden_LD[-1], jobs[row].ledger
            if ledger is not None:
                ledger.encoded(model, hidden_LD, taken[row])


def needs_encoding(job: Job) -> bool:
    return job.finish_reason is None or (job.ledger is not None and job.ledger.encodes)
