"""Attention over pages equals its dense definition, whatever the pieces and the company."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.model.dense_attend import DensePrefix
from torch import Tensor

from canvaslm.cache import attend
from canvaslm.cache.attend import SAFE_SCORE, Bidirectional, Causal, mix
from canvaslm.cache.pages import Pool, Prefix
from canvaslm.kernels.cpu.attention import NativeAttention
from canvaslm.kernels.cpu.library import open_library, runnable
from canvaslm.kernels.ops import AttentionOperations
from canvaslm.kernels.reference.attention import ReferenceAttention
from canvaslm.model.config import ExpertsConfig, LayerConfig, ModelConfig, RopeConfig
from canvaslm.model.initialise import initialise
from canvaslm.model.transformer import Transformer

VOCABULARY, CANVAS = 24, 5
ROPE = RopeConfig(theta=1e4)


def network(window: int) -> Transformer:
    config = ModelConfig(
        vocab_size=VOCABULARY,
        hidden_size=16,
        intermediate_size=16,
        layers=(
            LayerConfig(heads=4, kv_heads=2, head_dim=4, window=window, rope=ROPE),
            LayerConfig(heads=4, kv_heads=1, head_dim=8, window=None, rope=ROPE),
        ),
        experts=ExpertsConfig(count=3, top_k=2, intermediate_size=8),
        canvas_length=CANVAS,
        max_positions=64,
    )
    model = Transformer(config).eval()
    initialise(model, seed=window)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.mul_(50 * parameter.shape[-1] ** -0.5)
            elif "q_norm" in name:
                parameter.mul_(1.5)
    return model


MODELS = {window: network(window) for window in (1, 2, 5, 64)}
OPERATIONS: list[AttentionOperations | None] = [
    None,
    ReferenceAttention(),
    *[NativeAttention(open_library(name)) for name in runnable()[-1:]],
]
windows = st.sampled_from(sorted(MODELS))
operations = st.sampled_from(OPERATIONS)
prompts = st.lists(st.lists(st.integers(0, VOCABULARY - 1), min_size=1, max_size=14), min_size=1)
cuts = st.lists(st.integers(1, 14), max_size=3)


def encode(model: Transformer, prefix: Prefix, ids: list[int], cuts: list[int]) -> Tensor:
    """Encode in pieces of the sizes `cuts`, then the rest; hidden states [N, D]."""
    hidden = []
    for size in [*cuts, len(ids)]:
        piece, ids = ids[:size], ids[size:]
        if piece:
            positions = prefix.length + torch.arange(len(piece))
            hidden.append(model.encode(torch.tensor([piece]), positions[None], Causal([prefix])))
            prefix.advance(len(piece))
    return torch.cat(hidden, dim=1)[0]


def denoise(model: Transformer, prefixes: list[Prefix], canvas_BL: Tensor) -> Tensor:
    positions = torch.tensor([[prefix.length] for prefix in prefixes]) + torch.arange(CANVAS)
    return model.unembed(model.denoise(canvas_BL, None, positions, Bidirectional(prefixes)))


@torch.no_grad()
def dense(model: Transformer, ids: list[int], canvas_BL: Tensor) -> tuple[Tensor, Tensor]:
    """Hidden states of the prompt [N, D] and canvas logits [1, L, V] by the dense definition."""
    place = torch.arange(len(ids))[None]
    prefix = DensePrefix(model.config)
    hidden = model.encode(torch.tensor([ids]), place, prefix.encode(place))
    positions = len(ids) + torch.arange(CANVAS)[None]
    attend = prefix.denoise(torch.tensor([len(ids)]))
    return hidden[0], model.unembed(model.denoise(canvas_BL, None, positions, attend))


def canvases(count: int) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.randint(VOCABULARY, (count, CANVAS), generator=generator)


@given(windows, prompts.map(lambda rows: rows[0]), cuts, st.integers(1, 6), operations)
@torch.no_grad()
def test_pages_equal_the_dense_definition(
    window: int,
    ids: list[int],
    cuts: list[int],
    page_size: int,
    attention: AttentionOperations | None,
) -> None:
    """Windows shorter and longer than the prompt; prompts whole and in pieces; whoever attends."""
    model, canvas_BL = MODELS[window], canvases(1)
    with Prefix(Pool(model.config, page_size=page_size, attention=attention)) as prefix:
        hidden = encode(model, prefix, ids, cuts)
        logits = denoise(model, [prefix], canvas_BL)
    expected_hidden, expected_logits = dense(model, ids, canvas_BL)
    torch.testing.assert_close(hidden, expected_hidden, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits, expected_logits, rtol=1e-4, atol=1e-4)


@given(
    windows,
    prompts.map(lambda rows: rows[0]),
    cuts,
    st.integers(1, 6),
    st.sampled_from(OPERATIONS[1:]),
)
@torch.no_grad()
def test_quantised_pages_are_the_same_however_they_were_written(
    window: int, ids: list[int], cuts: list[int], page_size: int, attention: AttentionOperations
) -> None:
    model, canvas_BL, seen = MODELS[window], canvases(1), []
    for size, pieces in ((page_size, cuts), (64, [])):
        pool = Pool(model.config, page_size=size, attention=attention, quantised=True)
        with Prefix(pool) as prefix:
            encode(model, prefix, ids, pieces)
            seen.append(denoise(model, [prefix], canvas_BL))
    torch.testing.assert_close(seen[0], seen[1], rtol=0.03, atol=0.03)


@given(windows, prompts)
@torch.no_grad()
def test_company_of_other_lengths_changes_nothing(window: int, rows: list[list[int]]) -> None:
    model, canvas_BL = MODELS[window], canvases(len(rows))
    pool = Pool(model.config, page_size=4)
    prefixes = [Prefix(pool) for _ in rows]
    for prefix, ids in zip(prefixes, rows, strict=True):
        encode(model, prefix, ids, [])
    together = denoise(model, prefixes, canvas_BL)
    for row, prefix in enumerate(prefixes):
        alone = denoise(model, [prefix], canvas_BL[row : row + 1])
        torch.testing.assert_close(together[row], alone[0], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_rows_of_different_lengths_are_encoded_together() -> None:
    model = MODELS[5]
    pool = Pool(model.config, page_size=4)
    together, alone = ([Prefix(pool) for _ in range(2)] for _ in range(2))
    for prefixes in (together, alone):
        encode(model, prefixes[0], list(range(9)), [])
        encode(model, prefixes[1], [3, 4], [])
    more = torch.tensor([[5, 6, 7], [8, 9, 10]])
    positions = torch.tensor([[9], [2]]) + torch.arange(3)
    hidden = model.encode(more, positions, Causal(together))
    for row, prefix in enumerate(alone):
        expected = encode(model, prefix, more[row].tolist(), [])
        torch.testing.assert_close(hidden[row], expected, rtol=1e-4, atol=1e-4)
        together[row].advance(3)
        for layer in range(2):
            ours, theirs = together[row].segments(layer), prefix.segments(layer)
            for mine, reference in zip(ours, theirs, strict=True):
                torch.testing.assert_close(mine, reference, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_denoising_reads_the_prefix_and_leaves_it_alone() -> None:
    model = MODELS[5]
    prefix = Prefix(Pool(model.config, page_size=4))
    encode(model, prefix, list(range(11)), [])
    before = [(k.clone(), v.clone()) for layer in (0, 1) for k, v in prefix.segments(layer)]
    denoise(model, [prefix, prefix], canvases(2))
    after = [pair for layer in (0, 1) for pair in prefix.segments(layer)]
    torch.testing.assert_close(after, before, rtol=0, atol=0)


@given(
    st.sampled_from([(1, 1), (4, 2), (6, 1)]),
    st.lists(st.integers(1, 5), min_size=1, max_size=4),
    st.booleans(),
    st.integers(1, 40),
)
def test_mix_joins_segments_and_splits_rows(
    shape: tuple[int, int], widths: list[int], masked: bool, limit: int
) -> None:
    (heads, kv_heads), count, size = shape, 7, 4
    generator = torch.Generator().manual_seed(limit)
    q = torch.randn(heads, count, size, generator=generator)
    segments = [
        tuple(torch.randn(2, kv_heads, width, size, generator=generator)) for width in widths
    ]
    hidden = torch.rand(count, sum(widths), generator=generator) < 0.3 if masked else None
    if hidden is not None:
        hidden[:, -1] = False
    k, v = (torch.cat(parts, dim=1) for parts in zip(*segments, strict=True))
    k, v = (t.repeat_interleave(heads // kv_heads, dim=0) for t in (k, v))
    scores = q @ k.transpose(1, 2)
    expected = (scores if hidden is None else scores.masked_fill(hidden, -torch.inf)).softmax(
        -1
    ) @ v
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(attend, "SCORE_LIMIT", limit)  # scores in blocks of few rows
        for bound in (math.inf, SAFE_SCORE):  # with a maximum taken off the scores, and without
            torch.testing.assert_close(mix(q, segments, hidden, bound=bound), expected)


def test_scores_at_the_bound_neither_overflow_nor_vanish() -> None:
    q = torch.full((1, 3, 1), SAFE_SCORE**0.5)
    keys = torch.tensor([[[-1.0], [-1.0], [-1.0]]]) * SAFE_SCORE**0.5
    values = torch.tensor([[[1.0], [2.0], [6.0]]])
    for sign in (1, -1):
        mixed = mix(q, [(sign * keys, values)], bound=SAFE_SCORE)
        torch.testing.assert_close(mixed, torch.full((1, 3, 1), 3.0))


@torch.no_grad()
def test_no_score_exceeds_the_networks_bound() -> None:
    model = MODELS[64]
    bounds, largest = model.score_bounds(), [0.0, 0.0]

    def note(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        keys = k.repeat_interleave(q.shape[1] // k.shape[1], dim=1)
        largest[layer] = float((q @ keys.transpose(2, 3)).abs().max())
        return q

    model.encode(torch.arange(VOCABULARY)[None], torch.arange(VOCABULARY)[None], note)
    for score, bound in zip(largest, bounds, strict=True):
        assert bound / 10 < score <= bound * (1 + 1e-6)
