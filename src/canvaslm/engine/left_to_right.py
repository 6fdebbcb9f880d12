"""The same weights, left to right: one token for each pass. The baseline."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from canvaslm.cache.pages import Pool, Prefix
from canvaslm.diffusion.candidate import blocks, inverse_cdf
from canvaslm.diffusion.rng import Stream, uniforms
from canvaslm.engine.encode import extend, extend_all
from canvaslm.engine.job import Job
from canvaslm.model.network import Network


@torch.inference_mode()
def left_to_right(model: Network, pool: Pool, job: Job) -> Iterator[list[int]]:
    """Bring the job to its end, yielding each token; closing gives the pages back."""
    with Prefix(pool) as prefix:
        hidden = list(extend_all(model, prefix, job.prompt))[-1]
        while True:
            job.steps += 1
            logits_V = model.unembed(hidden[:, -1:])[0, 0]
            yield job.take([choose(logits_V, job)])
            if job.finish_reason is not None:
                return
            last = torch.tensor([job.ids[-1:]], device=pool.device)
            hidden = extend(model, [prefix], last)


def choose(logits_V: Tensor, job: Job) -> int:
    """The likeliest token, or at a temperature one drawn with the job's own random numbers."""
    if not job.params.temperature:
        return int(logits_V.argmax())
    step = len(job.ids)
    numbers = uniforms(job.seed, canvas=0, step=step, stream=Stream.TOKEN, count=1)
    p_11V = (logits_V / job.params.temperature).softmax(dim=-1)[None, None]
    uniform_11 = torch.tensor([[numbers.item()]], dtype=torch.float64, device=p_11V.device)
    return int(inverse_cdf(p_11V, blocks(p_11V).sum(dim=-1), uniform_11))
