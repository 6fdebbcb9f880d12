"""Canvases after one prompt or several: denoised together, and judged by the causal mode."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import torch

from canvaslm.cache.attend import Bidirectional
from canvaslm.diffusion.draws import CounterDraws
from canvaslm.diffusion.loop import Seat, State, settle
from canvaslm.diffusion.noise import UniformNoise
from canvaslm.engine.diffuse import CanvasModel
from canvaslm.engine.encode import extend
from canvaslm.engine.events import Draft
from canvaslm.engine.opening import Opening
from canvaslm.engine.rewriting.desk import Desk, Order
from canvaslm.engine.rewriting.page import Page
from canvaslm.engine.scoring.causal import score_hidden

# B rows, L canvas, N tokens, k tokens of a gap, D hidden, V vocabulary

LOGITS = 1 << 27
"""Logits of canvases held at a time: 512 MB."""

TOKENS = 1 << 13
"""Tokens of canvases that one pass looks at."""

Watch = Callable[[Draft], None]
"""Is shown the canvas that is surest of its text after each pass."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """A canvas [L] as it settled, after so many passes."""

    ids: list[int]
    steps: int


@torch.inference_mode()
def write(
    desk: Desk,
    asked: Sequence[Opening],
    pages: Sequence[Page],
    *,
    order: Order,
    canvas: int = 0,
    watch: Watch | None = None,
) -> list[Written]:
    """Denoise each page after its prompt; all are of one length and start from the same noise."""
    written: list[Written] = []
    length = pages[0].length
    for part in groups(len(pages), LOGITS // (length * desk.network.config.vocab_size)):
        group, device = pages[part], desk.pool.device
        seats = [
            Seat(
                row=row,
                sampler=order.sampler,
                guide=page.steering(desk, order).on_canvas(length, device),
            )
            for row, page in enumerate(group)
        ]
        draws = noise(desk, order.seed, len(group), length)
        model = CanvasModel(desk.network, [one.prefix for one in asked[part]])
        done: dict[int, Written] = {}
        for state in settle(model, seats, draws, canvas=canvas):
            for place, row in enumerate(state.rows):
                if state.finished[place]:
                    done[row] = Written(ids=state.best[place].tolist(), steps=state.step)
            if watch is not None:
                watch(draft_of(desk, group, state, canvas=canvas))
        written += [done[row] for row in range(len(group))]
    return written


def draft_of(desk: Desk, pages: Sequence[Page], state: State, *, canvas: int) -> Draft:
    """The surest of some canvases, up to its closing token."""

    def doubt(place: int) -> float:
        return float(state.entropy[place, : pages[state.rows[place]].size].mean())

    place = min(range(len(state.rows)), key=doubt)
    page, ids = pages[state.rows[place]], state.best[place].tolist()
    end = page.size + len(page.after or ()) - bool(page.after)
    ends = desk.settings.eos_ids
    end = next((n for n, id in enumerate(ids[:end]) if id in ends), end)
    return Draft(
        canvas=canvas,
        step=state.step,
        token_ids=ids[:end],
        entropy=state.entropy[place, :end].tolist(),
        accepted=state.accepted[place, :end].tolist(),
        noisy_ids=state.canvas[place, :end].tolist(),
        own=None if page.after is None else page.size,
        decode=desk.tokenizer.decode,
    )


@torch.inference_mode()
def first_confidence(
    desk: Desk, asked: Opening, pages: Sequence[Page], *, order: Order
) -> list[float]:
    """How sure the first step is of each page's text: the mean of the likeliest tokens' p."""
    sure: list[float] = []
    length, prefix = pages[0].length, asked.prefix
    noise_L = noise(desk, order.seed, 1, length).noise([0], canvas=0, step=0)[0]
    places_L = prefix.length + torch.arange(length, device=desk.pool.device)
    for part in groups(len(pages), TOKENS // length):
        guides = [
            page.steering(desk, order).on_canvas(length, desk.pool.device) for page in pages[part]
        ]
        ids_BL = torch.stack([guide.start(noise_L) for guide in guides])
        attend = Bidirectional([prefix] * len(guides))
        hidden_BLD = desk.network.denoise(ids_BL, None, places_L.expand_as(ids_BL), attend)
        for page, guide, hidden_LD in zip(pages[part], guides, hidden_BLD, strict=True):
            logits_kV = desk.network.unembed(hidden_LD[None, : page.size])[0]
            guide.bend_logits(logits_kV)
            sure.append(float(logits_kV.softmax(dim=-1).amax(dim=-1).mean()))
    return sure


@torch.inference_mode()
def judge(desk: Desk, asked: Opening, rows: Sequence[Sequence[int]]) -> list[list[float]]:
    """The causal log-probability of each token of each row, as an answer to the prompt."""
    scores: list[list[float]] = []
    longest, device, last_D = max(map(len, rows)), desk.pool.device, asked.last
    assert last_D is not None
    for part in groups(len(rows), TOKENS // longest):
        group = [torch.tensor(row, device=device) for row in rows[part]]
        padded_BN = torch.nn.utils.rnn.pad_sequence(group, batch_first=True)
        with ExitStack() as stack:
            forks = [stack.enter_context(asked.prefix.fork()) for _ in group]
            hidden_BND = extend(desk.network, forks, padded_BN)
        for ids_N, hidden_ND in zip(group, hidden_BND, strict=True):
            predicting_ND = torch.cat((last_D[None], hidden_ND[: len(ids_N) - 1]))
            picked = score_hidden(desk.network, predicting_ND, ids_N, top=0)
            scores.append(picked.logprob.tolist())
    return scores


def noise(desk: Desk, seed: int, rows: int, length: int) -> CounterDraws:
    """The same random numbers for every row, so that rows differ by what is given in them only."""
    return CounterDraws(
        seeds=[seed] * rows,
        length=length,
        rule=UniformNoise(vocab_size=desk.network.config.vocab_size),
        device=desk.pool.device,
    )


def groups(count: int, size: int) -> Iterator[slice]:
    """`count` rows in groups of at most `size`, or of one."""
    size = max(size, 1)
    return (slice(i, min(i + size, count)) for i in range(0, count, size))
