"""A gap written left to right: a first idea of its text and of its length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from canvaslm.cache.pages import Pool
from canvaslm.engine.job import Job
from canvaslm.engine.left_to_right import left_to_right
from canvaslm.engine.opening import Opening, SharedPrompt
from canvaslm.engine.rewriting.around import Around
from canvaslm.engine.rewriting.desk import Desk, Order
from canvaslm.model.network import Network

MATCH = 8
"""Tokens of what follows a gap after which it is clear that the gap is over."""


class Lent(SharedPrompt):
    """A prompt that was encoded before, and is lent out as often as anybody asks."""

    def __init__(self, opening: Opening) -> None:
        super().__init__(1)
        self._lent = opening

    def open(self, model: Network, pool: Pool, ids: Sequence[int], *, top: int | None) -> Opening:
        return self._lent.fork()


def sketch(desk: Desk, around: Around, *, order: Order) -> tuple[list[int], int]:
    """The likeliest tokens, each after those before it, at most `around.most` of them, and how many
    passes that took. It ends where the model ends it, or goes on with the suffix."""
    sign = list(around.shown[:MATCH])
    room = around.most + len(sign)
    job = Job(
        prompt=(),
        params=replace(order.params, temperature=0.0, max_tokens=room),
        seed=order.seed,
        eos_ids=desk.settings.eos_ids,
        steering=order.steering(desk, room=room, ends=True),
        shared=Lent(around.opening),
    )
    for _ in left_to_right(desk.network, desk.pool, job):
        if len(sign) == MATCH and job.ids[-MATCH:] == sign:
            del job.ids[-MATCH:]
            job.finish_reason = "stop"
    return job.ids, job.steps
