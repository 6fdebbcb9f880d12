"""The objective against a slow one: one canvas at a time, no padding, explicit dense masks."""

import dataclasses

import torch
import torch.nn.functional as F
from tests.model.dense_attend import DensePrefix
from tests.training.conftest import tiny_recipe
from torch import Tensor

from canvaslm.model.presets import pocket
from canvaslm.model.transformer import Transformer
from canvaslm.text.tokenizer import Tokenizer
from canvaslm.training.data import Batch, Corpus
from canvaslm.training.objective import losses
from canvaslm.training.pocket import initialise_for_training
from canvaslm.training.recipe import Mixture


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
    return F.cross_entropy(denoise(soft)[0], batch.clean_RL[canvas])


def test_losses_and_gradients_equal_the_slow_ones(tokenizer: Tokenizer) -> None:
    mixture = Mixture(tasks={"ask": 0.5, "scenes": 0.5}, documents=3, canvas_length=20, canvases=2)
    recipe = tiny_recipe(mixtures=(mixture,))
    for window in (512, 9):
        model = small_model(window)
        _, batch = Corpus(recipe, tokenizer).batches(1)[0]
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


def test_without_marked_tokens_there_is_no_causal_loss(tokenizer: Tokenizer) -> None:
    mixture = Mixture(
        tasks={"ask": 1.0}, documents=2, canvas_length=8, causal_share=0.0, causal_prompt=False
    )
    _, batch = Corpus(tiny_recipe(mixtures=(mixture,)), tokenizer).batches(0)[0]
    assert float(losses(small_model(512), batch).causal) == 0
