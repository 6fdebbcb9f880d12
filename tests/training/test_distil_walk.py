"""Walked canvases are the sampler's own, and are learnt from as they stand."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
import torch
from tests.model.dense_attend import DensePrefix
from tests.training.test_objective import small_model
from torch import Tensor

from canvaslm.diffusion.accept import EntropyBound
from canvaslm.diffusion.draws import CounterDraws
from canvaslm.diffusion.loop import Seat, State, settle
from canvaslm.diffusion.noise import UniformNoise
from canvaslm.diffusion.step import Outcome, Sampler
from canvaslm.diffusion.stop import StableAndConfident
from canvaslm.model.transformer import Transformer
from canvaslm.training.attend import RecordingCausal
from canvaslm.training.distil.certain import certain_losses
from canvaslm.training.distil.walk import Rules, WalkedBatch
from canvaslm.training.objective import guess, losses, token_losses

VOCABULARY, LENGTH = 400, 12
STEPS = [0, 1, 2, 3, 3, 1]


class OneByOne:
    """The slow definition: each canvas for itself, after its own prefix, by dense masks."""

    head = None

    def __init__(self, model: Transformer, batch: WalkedBatch) -> None:
        self.model, self.batch = model, batch

    def hidden(self, rows: Sequence[int], ids_BL: Tensor, soft_BLD: Tensor | None) -> Tensor:
        softs = [None] * len(rows) if soft_BLD is None else list(soft_BLD)
        return torch.cat(
            [self.one(row, ids, soft) for row, ids, soft in zip(rows, ids_BL, softs, strict=True)]
        )

    def one(self, row: int, ids_L: Tensor, soft_LD: Tensor | None) -> Tensor:
        document = row * len(self.batch.documents_BN) // len(self.batch.clean_RL)
        length = int(self.batch.prefix_B[document])
        prefix, place = DensePrefix(self.model.config), torch.arange(length)[None]
        self.model.encode(
            self.batch.documents_BN[document, :length][None], place, prefix.encode(place)
        )
        soft = None if soft_LD is None else soft_LD[None]
        positions = length + torch.arange(len(ids_L))[None]
        attend = prefix.denoise(torch.tensor([length]))
        return self.model.denoise(ids_L[None], soft, positions, attend)

    def hidden_at(
        self, row: int, places_R: Tensor | None, ids_1R: Tensor, soft_1RD: Tensor | None
    ) -> Tensor:
        raise NotImplementedError

    def logits(self, hidden_BLD: Tensor) -> Tensor:
        return self.model.unembed(hidden_BLD)

    def soften(self, p_BLV: Tensor) -> Tensor:
        return self.model.blend(p_BLV)


def started(*, sampler: Sampler | None = None, certainty: float = 0.0) -> WalkedBatch:
    """Three documents of different lengths, two canvases each."""
    generator = torch.Generator().manual_seed(7)

    def ids(*shape: int) -> Tensor:
        return torch.randint(VOCABULARY, shape, generator=generator)

    prefix_B = torch.tensor([9, 4, 7])
    clean_RL = ids(len(STEPS), LENGTH)
    clean_RL[:, 0] = 17  # so often that some of it is guessed
    return WalkedBatch(
        documents_BN=ids(3, 9),
        causal_BN=torch.zeros(3, 9, dtype=torch.bool),
        prefix_B=prefix_B,
        clean_RL=clean_RL,
        noised_RL=clean_RL,
        sighted_R=torch.zeros(len(STEPS), dtype=torch.bool),
        seed_R=ids(len(STEPS)) + 2**40,
        steps_R=torch.tensor(STEPS),
        rules=Rules(
            sampler=sampler or Sampler(accept=EntropyBound(bound=20.0)),
            vocab_size=VOCABULARY,
            certainty=certainty,
        ),
    )


def walked(model: Transformer, batch: WalkedBatch) -> WalkedBatch:
    recorded = RecordingCausal(model.config)
    positions_1N = torch.arange(batch.documents_BN.shape[1])[None]
    row_R = torch.arange(len(batch.documents_BN)).repeat_interleave(2)
    with torch.no_grad():
        model.encode(batch.documents_BN, positions_1N, recorded)

        def look(rows: Tensor, canvas_rL: Tensor, before_rLV: Tensor | None) -> Tensor:
            return guess(model, batch, recorded, row_R, rows, canvas_rL, before_rLV)

        arrived = batch.after(look)
    assert isinstance(arrived, WalkedBatch)
    return arrived


def trajectory(
    model: Transformer, batch: WalkedBatch, row: int
) -> tuple[list[State], list[Outcome]]:
    """The loop of a request with this canvas's seed."""
    draws = CounterDraws(
        seeds=batch.seed_R.tolist(),
        length=LENGTH,
        rule=UniformNoise(vocab_size=VOCABULARY),
        device=torch.device("cpu"),
    )
    outcomes: list[Outcome] = []
    seat = Seat(row=row, sampler=batch.rules.sampler, watch=outcomes.append)
    states = []
    with torch.no_grad():
        for state in settle(OneByOne(model, batch), [seat], draws, canvas=0):
            states.append(state)
            if state.step == 3:
                break
    return states, outcomes


@pytest.mark.parametrize("row", range(len(STEPS)))
def test_a_walked_canvas_is_what_a_request_would_have_had_after_as_many_steps(row: int) -> None:
    model, batch = small_model(8), started()
    arrived = walked(model, batch)
    states, outcomes = trajectory(model, batch, row)
    if STEPS[row] == 0:
        start = CounterDraws(
            seeds=batch.seed_R.tolist(),
            length=LENGTH,
            rule=UniformNoise(vocab_size=VOCABULARY),
            device=torch.device("cpu"),
        ).noise([row], canvas=0, step=0)
        assert torch.equal(arrived.noised_RL[row], start[0])
        return
    assert torch.equal(arrived.noised_RL[row], states[STEPS[row] - 1].canvas[0])
    assert arrived.told is not None
    rows, logits_rLV = arrived.told
    told = logits_rLV[rows.tolist().index(row)].softmax(dim=-1)
    torch.testing.assert_close(told, outcomes[STEPS[row] - 1].known.p[0])  # type: ignore[attr-defined]


def test_some_of_a_walk_is_kept_and_some_is_not() -> None:
    """Else the test above would compare noise with noise."""
    states, _ = trajectory(small_model(8), started(), 3)
    assert 0 < int(states[1].accepted.sum()) < LENGTH


def test_a_canvas_that_settles_is_learnt_from_as_its_last_pass_saw_it() -> None:
    at_once = Sampler(stop=StableAndConfident(stability=0, confidence=100.0))
    model, batch = small_model(8), started(sampler=at_once)
    arrived = walked(model, batch)
    assert arrived.told is None
    assert torch.equal(
        arrived.noised_RL, walked(model, replace(batch, steps_R=batch.steps_R * 0)).noised_RL
    )


@pytest.mark.parametrize("certainty", [0.0, 2.0])
def test_what_a_canvas_was_told_is_what_its_loss_sees(certainty: float) -> None:
    model, batch = small_model(8), started(certainty=certainty)
    arrived = walked(model, batch)
    fresh = losses(model, batch)
    slow = []
    for row in range(len(STEPS)):
        assert arrived.told is not None
        known = dict(zip(arrived.told[0].tolist(), arrived.told[1], strict=True))
        soft = model.soften(known[row]).to(torch.float64) if row in known else None
        hidden = OneByOne(model, batch).one(row, arrived.noised_RL[row], soft)
        target = batch.clean_RL[row][None]
        slow.append(certain_losses(model, hidden, target, certainty=certainty)[0].mean())
    torch.testing.assert_close(fresh.canvas, torch.stack(slow).mean(), rtol=1e-6, atol=1e-6)


def test_doubt_costs_where_the_likeliest_token_is_right_and_nowhere_else() -> None:
    model = small_model(8)
    hidden = torch.randn(1, 5, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    logits = model.unembed(hidden)[0]
    target = torch.tensor([[0, 0, int(logits[2].argmax()), 0, int(logits[4].argmax())]])
    plain, hits = token_losses(model, hidden, target)
    loss, same = certain_losses(model, hidden, target, certainty=0.5)
    doubt = torch.distributions.Categorical(logits=logits).entropy()
    assert torch.equal(hits, same)
    torch.testing.assert_close(loss, plain + 0.5 * doubt * hits)


def test_logits_that_are_not_kept_teach_the_same() -> None:
    """Kept tensors of the size of the logits are what `recompute` is there to avoid."""
    model, batch = small_model(8), started(certainty=0.5)
    size = batch.clean_RL.numel() * VOCABULARY
    found = []
    for recompute in (False, True):
        kept: list[int] = []
        count = partial(count_kept, kept)
        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            loss = losses(model, batch, recompute=recompute).canvas
        assert (kept.count(size) > 0) is not recompute
        found.append((loss.detach(), *torch.autograd.grad(loss, [model.embedding])))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def count_kept(kept: list[int], tensor: Tensor) -> Tensor:
    kept.append(tensor.numel())
    return tensor
