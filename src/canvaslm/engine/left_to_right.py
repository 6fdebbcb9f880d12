"""The same weights, left to right: one token for each pass. The baseline."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from canvaslm.cache.pages import Pool
from canvaslm.control.steering import RULED_OUT
from canvaslm.diffusion.candidate import blocks, inverse_cdf
from canvaslm.diffusion.rng import Stream, uniforms
from canvaslm.diffusion.statistics import likeliest
from canvaslm.engine.encode import extend
from canvaslm.engine.job import Job
from canvaslm.engine.scoring.token import pick_logits
from canvaslm.engine.settings import read_filters
from canvaslm.model.network import Network


@torch.inference_mode()
def left_to_right(model: Network, pool: Pool, job: Job) -> Iterator[list[int]]:
    """Bring the job to its end, yielding each token; closing gives the pages back."""
    opening = job.open(model, pool)
    with opening.prefix as prefix:
        last_D = opening.last
        assert last_D is not None, "left to right needs a prompt"
        while True:
            job.steps += 1
            logits_1V = model.unembed(last_D[None, None])[0]
            own_1V = logits_1V if job.ledger is None else logits_1V.clone()
            ids = job.take([choose(logits_1V, job)])
            if job.ledger is not None and ids:
                ids_N = torch.tensor(ids, device=own_1V.device)
                job.ledger.add(pick_logits(own_1V, ids_N, top=job.ledger.top), ids)
            yield ids
            if job.finish_reason is not None:
                return
            last = torch.tensor([job.ids[-1:]], device=pool.device)
            last_D = extend(model, [prefix], last)[0, -1]


def choose(logits_1V: Tensor, job: Job) -> int:
    """The likeliest token, or at a temperature one drawn with the job's own random numbers.

    What steers the job bends the logits first, in place, as on a canvas of one position.
    """
    guide = None if job.steering is None else job.steering.on_canvas(1, logits_1V.device)
    temperature = job.params.temperature
    if guide is not None:
        guide.bend_logits(logits_1V)
    z_1V = logits_1V / temperature if temperature else logits_1V
    if guide is not None:
        guide.bend(z_1V)
    if not temperature or job.params.greedy:
        return int(likeliest(z_1V[None])[1])
    tries = 0
    while True:
        id = draw(z_1V, job, tries)
        if guide is None or not guide.refuses(id):
            return id
        # The next draw is from what is left, with numbers of its own: as if the token had had
        # probability 0 from the start. The likeliest token is never refused.
        z_1V[0, id] = RULED_OUT
        tries += 1


def draw(z_1V: Tensor, job: Job, tries: int) -> int:
    """A token from softmax(z), or what the filters let through of it."""
    step = len(job.ids)
    numbers = uniforms(job.seed, canvas=tries, step=step, stream=Stream.TOKEN, count=1)
    p_11V = z_1V.softmax(dim=-1)[None]
    filters = read_filters(job.params)
    if filters is None:
        share_11K = blocks(p_11V).sum(dim=-1)
    else:
        p_11V, share_11K = filters.keep(p_11V)
    uniform_11 = torch.tensor([[numbers.item()]], dtype=torch.float64, device=p_11V.device)
    return int(inverse_cdf(p_11V, share_11K, uniform_11))
