"""The objective against a slow one: one canvas at a time, no padding, explicit dense masks."""

import dataclasses
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tests.model.dense_attend import DensePrefix
from tests.training.conftest import corpus
from tests.training.test_documents import pairs
from tests.training.test_sources import opened
from torch import Tensor

from canvaslm.model.presets import pocket
from canvaslm.model.transformer import Transformer
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.attend import RecordingCausal
from canvaslm.training.data.batch import Batch
from canvaslm.training.data.tasks import Mixture
from canvaslm.training.objective import first_guess, losses
from canvaslm.training.pocket import initialise_for_training


def small_model(window: int) -> Transformer:
    config = pocket(hidden_size=64, layers=3, vocab_size=400)
    layers = tuple(
        dataclasses.replace(layer, window=window) if layer.sliding else layer
        for layer in config.layers
    )
    model = Transformer(dataclasses.replace(config, layers=layers))
    initialise_for_training(model, seed=0)
    return model.double()


def slow_losses(model: Transformer, batch: Batch) -> tuple[Tensor, Tensor]:
    causal_sum, causal_count, canvases = torch.zeros(()), 0, []
    per_document = len(batch.clean_RL) // len(batch.documents_BN)
    for row, document in enumerate(batch.documents_BN):
        marked = batch.causal_BN[row].nonzero().flatten()
        end = int(marked.max()) + 1
        place = torch.arange(end)[None]
        hidden = model.encode(document[None, :end], place, DensePrefix(model.config).encode(place))
        for target in marked.tolist():
            logits = model.unembed(hidden[:, target - 1 : target])[0, 0]
            causal_sum = causal_sum - logits.log_softmax(-1)[document[target]]
            causal_count += 1
        for canvas in range(row * per_document, (row + 1) * per_document):
            canvases.append(slow_canvas(model, document, batch, row, canvas))
    return causal_sum / causal_count, torch.stack(canvases).mean()


def slow_canvas(
    model: Transformer, document: Tensor, batch: Batch, row: int, canvas: int
) -> Tensor:
    logits_LV = slow_logits(model, document, batch, row, canvas)
    return F.cross_entropy(logits_LV, batch.clean_RL[canvas])


def slow_logits(
    model: Transformer, document: Tensor, batch: Batch, row: int, canvas: int
) -> Tensor:
    """What is said [L, V] of one canvas of document `row`."""
    length = int(batch.prefix_B[row])
    prefix, place = DensePrefix(model.config), torch.arange(length)[None]
    model.encode(document[None, :length], place, prefix.encode(place))
    noised = batch.noised_RL[canvas][None]
    positions = length + torch.arange(noised.shape[1])[None]

    def denoise(soft: Tensor | None) -> Tensor:
        attend = prefix.denoise(torch.tensor([length]))
        return model.unembed(model.denoise(noised, soft, positions, attend))

    soft = None
    if batch.sighted_R[canvas]:
        with torch.no_grad():
            p = denoise(None).softmax(dim=-1)
            soft = p.to(model.embedding.dtype) @ model.embedding * model.config.hidden_size**0.5
    return denoise(soft)[0]


def batches(tokenizer: Tokenizer, folder: Path) -> list[Batch]:
    """Of tasks, two canvases to a document; and of answers of several canvases."""
    mixture = Mixture(tasks={"ask": 0.5, "scenes": 0.5}, documents=3, canvas_length=20, canvases=2)
    feed = opened(tokenizer, pairs(folder / "x.jsonl", 20), documents=6, noises=2)
    long = feed.micros(0)[0].batch
    assert len(set(long.prefix_B.tolist())) > 3
    return [corpus(tokenizer, mixture=mixture).micros(1)[0].batch, long]


@pytest.mark.parametrize("window", [512, 9])
def test_losses_and_gradients_equal_the_slow_ones(
    tokenizer: Tokenizer, tmp_path: Path, window: int
) -> None:
    for batch in batches(tokenizer, tmp_path):
        model = small_model(window)
        assert 0 < int(batch.sighted_R.sum()) < len(batch.sighted_R)
        fast, slow = losses(model, batch), slow_losses(model, batch)
        torch.testing.assert_close(fast.causal, slow[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(fast.canvas, slow[1], rtol=1e-5, atol=1e-6)
        names, parameters = zip(*model.named_parameters(), strict=True)
        ours = torch.autograd.grad(fast.total, parameters)
        theirs = torch.autograd.grad(slow[0] + slow[1], parameters)
        for name, one, other in zip(names, ours, theirs, strict=True):
            error = (one - other).norm() / other.norm().clamp(min=1e-9)
            assert error < 1e-4, (window, name, float(error))


def test_the_canvas_teaches_the_encoder_through_its_keys_and_values(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    model, batch = small_model(512), batches(tokenizer, tmp_path)[1]
    seen: list[Tensor] = []
    embed = model.embed

    def kept(ids: Tensor) -> Tensor:
        seen.append(embed(ids))
        return seen[-1]

    model.embed = kept  # type: ignore[method-assign]
    canvas = losses(model, batch).canvas
    (gradient,) = torch.autograd.grad(canvas, [seen[0]])  # of the documents, the first embedded
    for row, prefix in enumerate(batch.prefix_B.tolist()):
        assert bool((gradient[row, :prefix].norm(dim=-1) > 0).all())
        assert not bool(gradient[row, prefix:].any())  # the canvas does not see its clean self


def test_the_canvas_counts_as_much_as_the_batch_says(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, batch = small_model(512), batches(tokenizer, tmp_path)[1]
    one, three = (losses(model, dataclasses.replace(batch, weight=w)) for w in (1.0, 3.0))
    torch.testing.assert_close(three.canvas, 3 * one.canvas)
    assert torch.equal(three.causal, one.causal)
    assert torch.equal(three.accuracy, one.accuracy)


def test_the_first_guess_teaches_nothing(tokenizer: Tokenizer, tmp_path: Path) -> None:
    model, batch = small_model(512), batches(tokenizer, tmp_path)[1]
    blind = dataclasses.replace(batch, sighted_R=torch.zeros_like(batch.sighted_R))
    learnt = model.self_conditioning.mlp.gate.weight
    (none,) = torch.autograd.grad(losses(model, blind).canvas, [learnt])
    (some,) = torch.autograd.grad(losses(model, batch).canvas, [learnt])
    assert not bool(none.any())
    assert bool(some.any())
    recorded = RecordingCausal(model.config)
    model.encode(batch.documents_BN, torch.arange(batch.documents_BN.shape[1])[None], recorded)
    row_R = torch.arange(len(batch.documents_BN)).repeat_interleave(2)
    assert not first_guess(model, batch, recorded, row_R).requires_grad


def test_without_marked_tokens_there_is_no_causal_loss(tokenizer: Tokenizer) -> None:
    mixture = Mixture(
        tasks={"ask": 1.0}, documents=2, canvas_length=8, causal_share=0.0, causal_prompt=False
    )
    batch = corpus(tokenizer, mixture=mixture).micros(0)[0].batch
    assert float(losses(small_model(512), batch).causal) == 0
