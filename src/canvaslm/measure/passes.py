"""The passes that are measured, as the engine runs them: a step, a commit, a prefill, a token."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from canvaslm.cache.pages import Prefix
from canvaslm.diffusion.draws import CounterDraws
from canvaslm.diffusion.loop import Seat, settle
from canvaslm.diffusion.noise import UniformNoise
from canvaslm.diffusion.statistics import likeliest
from canvaslm.diffusion.view import View
from canvaslm.engine.encode import extend, extend_all
from canvaslm.engine.lm import LM
from canvaslm.engine.params import Params
from canvaslm.engine.passes import CanvasModel
from canvaslm.errors import ContextLengthError

# B rows, N tokens, G kv heads, d head

Pass = Literal["step", "commit", "prefill", "token"]
Fill = Literal["auto", "encode", "random"]
ENCODED = 2048  # the longest prefix that `auto` encodes
Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is measured: `rows` canvases of `canvas` tokens, each after `prefix` tokens.

    `warmup` passes come first and do not count. `fill` says where the prefix's K/V come from.
    """

    prefix: int = 1024
    canvas: int = 256
    rows: int = 1
    repeat: int = 5
    warmup: int = 1
    fill: Fill = "auto"
    seed: int = 0

    @property
    def random_prefix(self) -> bool:
        """Whether the prefix is made of random K/V, which cost no time to encode."""
        return self.fill == "random" or (self.fill == "auto" and self.prefix > ENCODED)


@dataclass(frozen=True, kw_only=True)
class Never:
    """A stop rule that lets a canvas go on, so that every step is a whole one."""

    looks_back: ClassVar[int] = 0

    def settled(self, view: View) -> Tensor:
        return torch.zeros(len(view.known.entropy), dtype=torch.bool)


@torch.inference_mode()
def time_passes(
    lm: LM, what: Pass, setting: Setting, *, clock: Clock = time.perf_counter
) -> Iterator[float]:
    """Seconds of one pass after another, those that warm up among them.

    Raises ContextLengthError where prefix and canvas do not fit the model's context.
    """
    check(lm, setting)
    if what == "prefill":
        return (yield from time_prefills(lm, setting, clock))
    with make_prefix(lm, setting) as prefix:
        if what == "step":
            return (yield from time_steps(lm, prefix, setting, clock))
        run = commit if what == "commit" else token
        for turn in range(setting.warmup + setting.repeat):
            ids_BN = random_ids(lm, setting.rows, setting.canvas, seed=setting.seed + turn)
            begun = clock()
            run(lm, prefix, ids_BN)
            yield clock() - begun
    return None


def check(lm: LM, setting: Setting) -> None:
    if setting.prefix + setting.canvas > lm.config.max_positions:
        raise ContextLengthError(
            f"a prefix of {setting.prefix} and a canvas of {setting.canvas} tokens do not fit the "
            f"model's context of {lm.config.max_positions}: measure shorter ones"
        )


def time_steps(lm: LM, prefix: Prefix, setting: Setting, clock: Clock) -> Iterator[float]:
    """Denoising steps of one canvas that never settles.

    A step is all between two drafts: the soft embedding of the one before, the network, the
    vocabulary head and the rules. The very first has no soft embedding, so it never counts.
    """
    steps = setting.warmup + setting.repeat + 1
    sampler = lm.settings.sampler(Params(max_steps=max(steps, 2)))
    sampler = replace(sampler, stop=Never())
    draws = CounterDraws(
        seeds=[setting.seed + row for row in range(setting.rows)],
        length=setting.canvas,
        rule=UniformNoise(vocab_size=lm.config.vocab_size),
        device=lm.placement.device,
    )
    seats = [Seat(row=row, sampler=sampler) for row in range(setting.rows)]
    model, begun = CanvasModel(lm.network, [prefix] * setting.rows), None
    for state in settle(model, seats, draws, canvas=0):
        ended = clock()
        if begun is not None:
            yield ended - begun
        if state.step == steps:
            return
        begun = clock()


def time_prefills(lm: LM, setting: Setting, clock: Clock) -> Iterator[float]:
    for turn in range(setting.warmup + setting.repeat):
        ids = random_ids(lm, 1, setting.prefix, seed=setting.seed + turn)[0].tolist()
        with Prefix(lm.pool) as prefix:
            begun = clock()
            for _ in extend_all(lm.network, prefix, ids):
                pass
            yield clock() - begun


def commit(lm: LM, prefix: Prefix, ids_BN: Tensor) -> None:
    """One causal pass that appends a canvas to every row."""
    with forks(prefix, len(ids_BN)) as rows:
        extend(lm.network, rows, ids_BN)


def token(lm: LM, prefix: Prefix, ids_BN: Tensor) -> None:
    """One token more from left to right: a causal pass, the head, the likeliest token."""
    with forks(prefix, len(ids_BN)) as rows:
        hidden_B1D = extend(lm.network, rows, ids_BN[:, :1])
        likeliest(lm.network.unembed(hidden_B1D))


@contextmanager
def forks(prefix: Prefix, count: int) -> Iterator[Sequence[Prefix]]:
    with ExitStack() as stack:
        yield [stack.enter_context(prefix.fork()) for _ in range(count)]


@contextmanager
def make_prefix(lm: LM, setting: Setting) -> Iterator[Prefix]:
    """A prefix of random ids, or of random K/V with the statistics of such."""
    with Prefix(lm.pool) as prefix:
        if setting.random_prefix:
            fill(prefix, setting.prefix, seed=setting.seed)
        elif setting.prefix:
            ids = random_ids(lm, 1, setting.prefix, seed=setting.seed)[0].tolist()
            for _ in extend_all(lm.network, prefix, ids):
                pass
        yield prefix


def fill(prefix: Prefix, length: int, *, seed: int) -> None:
    """Write random K/V; keys are as large as the network's, values have a mean square of 1."""
    pool = prefix.pool
    generator = torch.Generator().manual_seed(seed)
    made: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    for shape in pool.config.layers:
        size = (shape.kv_heads, pool.page_size, shape.head_dim)
        if size[::2] not in made:
            keys, values = torch.randn(2, *size, generator=generator)
            made[size[::2]] = keys, values
    while prefix.length < length:
        count = min(pool.page_size, length - prefix.length)
        for layer, shape in enumerate(pool.config.layers):
            keys, values = made[shape.kv_heads, shape.head_dim]
            bound = pool.score_bounds[layer] / shape.head_dim  # largest |q| times largest |k|
            size_k = bound**0.5 if bound < float("inf") else 1.0
            prefix.write(
                layer,
                (keys[:, :count] * size_k).to(pool.device, pool.dtype),
                values[:, :count].to(pool.device, pool.dtype),
            )
        prefix.advance(count)


def random_ids(lm: LM, rows: int, count: int, *, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(lm.config.vocab_size, (rows, count), generator=generator)
    return ids.to(lm.placement.device)
