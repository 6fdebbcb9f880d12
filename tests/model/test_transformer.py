"""What the network must do whatever its weights: batches, padding, pieces and modes."""

from itertools import pairwise

import torch
from tests.model.dense_attend import DensePrefix

from canvaslm.model.transformer import Transformer

IDS = torch.tensor([[3, 9, 4, 30, 8, 8, 17], [5, 6, 7, 1, 2, 3, 4]])
CANVAS = torch.tensor([[11, 12, 13, 14, 15, 16], [1, 2, 3, 4, 5, 6]])
TOLERANCE = {"atol": 1e-5, "rtol": 1e-5}


def encoded(model: Transformer, ids: torch.Tensor, *cuts: int) -> tuple[torch.Tensor, DensePrefix]:
    prefix, hidden, ends = DensePrefix(model.config), [], [0, *cuts, ids.shape[1]]
    for a, b in pairwise(ends):
        place = torch.arange(a, b).expand(len(ids), -1)
        hidden.append(model.encode(ids[:, a:b], place, prefix.encode(place)))
    return model.unembed(torch.cat(hidden, dim=1)), prefix


def denoised(
    model: Transformer, ids: torch.Tensor, canvas: torch.Tensor, soft: torch.Tensor | None = None
) -> torch.Tensor:
    _, prefix = encoded(model, ids)
    length = torch.full((len(ids),), ids.shape[1])
    place = length[:, None] + torch.arange(canvas.shape[1])
    return model.unembed(model.denoise(canvas, soft, place, prefix.denoise(length)))


@torch.no_grad()
def test_a_row_is_the_same_alone_and_in_a_batch(model: Transformer) -> None:
    for row in (0, 1):
        one = slice(row, row + 1)
        torch.testing.assert_close(
            encoded(model, IDS[one])[0], encoded(model, IDS)[0][one], **TOLERANCE
        )
        torch.testing.assert_close(
            denoised(model, IDS[one], CANVAS[one]), denoised(model, IDS, CANVAS)[one], **TOLERANCE
        )


@torch.no_grad()
def test_a_prompt_in_pieces_is_the_prompt(model: Transformer) -> None:
    whole, _ = encoded(model, IDS)
    for cuts in ((1,), (3, 5), tuple(range(1, 7))):
        torch.testing.assert_close(encoded(model, IDS, *cuts)[0], whole, **TOLERANCE)


@torch.no_grad()
def test_encoding_looks_back_only_and_denoising_both_ways(model: Transformer) -> None:
    other = torch.cat((IDS[:, :-1], IDS[:, -1:] + 1), dim=1)
    causal, changed = encoded(model, IDS)[0], encoded(model, other)[0]
    torch.testing.assert_close(causal[:, :-1], changed[:, :-1], **TOLERANCE)
    assert not torch.allclose(causal[:, -1], changed[:, -1], atol=1e-3)
    canvas = torch.cat((CANVAS[:, :-1], CANVAS[:, -1:] + 1), dim=1)
    assert not torch.allclose(
        denoised(model, IDS, CANVAS)[:, 0], denoised(model, IDS, canvas)[:, 0], atol=1e-4
    )


@torch.no_grad()
def test_no_signal_is_a_zero_soft_embedding_and_a_signal_changes_the_answer(
    model: Transformer,
) -> None:
    nothing = denoised(model, IDS, CANVAS)
    zeros = torch.zeros(*CANVAS.shape, model.config.hidden_size)
    assert torch.equal(denoised(model, IDS, CANVAS, zeros), nothing)
    soft = model.soften(nothing)
    assert soft.shape == zeros.shape
    assert not torch.allclose(denoised(model, IDS, CANVAS, soft), nothing, atol=1e-4)


@torch.no_grad()
def test_certain_logits_soften_to_the_embedding(model: Transformer) -> None:
    certain = torch.nn.functional.one_hot(CANVAS, model.config.vocab_size) * 1e4
    torch.testing.assert_close(model.soften(certain), model.embed(CANVAS))


@torch.no_grad()
def test_logits_keep_within_the_softcap(model: Transformer) -> None:
    hidden = 1e4 * torch.randn(1, 3, model.config.hidden_size)
    logits = model.unembed(hidden)
    assert logits.dtype == torch.float32
    assert logits.abs().max() <= 30
