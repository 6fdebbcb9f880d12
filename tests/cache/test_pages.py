"""Pages hold exactly what was written, keep what a window needs, and are given back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from canvaslm.cache.pages import Pool, Prefix
from canvaslm.errors import ParameterError
from canvaslm.kernels.ops import QuantisedKV
from canvaslm.kernels.reference.attention import ReferenceAttention
from canvaslm.model.config import LayerConfig, ModelConfig, RopeConfig

WINDOW = 6
ROPE = RopeConfig(theta=1e4)
CONFIG = ModelConfig(
    vocab_size=8,
    hidden_size=8,
    intermediate_size=8,
    layers=(
        LayerConfig(heads=2, kv_heads=2, head_dim=4, window=WINDOW, rope=ROPE),
        LayerConfig(heads=2, kv_heads=1, head_dim=6, window=None, rope=ROPE),
    ),
)
SLIDING, FULL = 0, 1


def fill(prefix: Prefix, count: int, *, start: int = 0) -> None:
    """Write `count` tokens to every layer; K of a token holds its number, V its negative."""
    for index, layer in enumerate(CONFIG.layers):
        numbers = torch.arange(start, start + count, dtype=torch.float32)
        keys = numbers[None, :, None].expand(layer.kv_heads, -1, layer.head_dim)
        prefix.write(index, keys, -keys)
    prefix.advance(count)


def numbers(prefix: Prefix, layer: int) -> list[int]:
    """The tokens in sight, read back from K; V must agree."""
    seen: list[int] = []
    for keys, values in prefix.segments(layer):
        assert torch.equal(keys, -values)
        seen += keys[0, :, 0].int().tolist()
    return seen


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8), st.integers(1, 7))
def test_pages_equal_one_dense_tensor(pieces: list[int], page_size: int) -> None:
    pool = Pool(CONFIG, page_size=page_size)
    with Prefix(pool) as prefix:
        for piece in pieces:
            fill(prefix, piece, start=prefix.length)
        everything = list(range(sum(pieces)))
        assert prefix.length == len(everything)
        assert numbers(prefix, FULL) == everything
        assert numbers(prefix, SLIDING) == everything[-(WINDOW - 1) :]
    assert pool.in_use == 0


@given(st.integers(1, 60), st.integers(1, 9))
def test_a_sliding_layer_keeps_only_the_pages_in_reach(length: int, page_size: int) -> None:
    pool = Pool(CONFIG, page_size=page_size)
    prefix = Prefix(pool)
    for token in range(length):
        fill(prefix, 1, start=token)
    full = -(-length // page_size)
    first = max(length - WINDOW + 1, 0) // page_size
    assert pool.in_use == full + (full - first)


@given(st.integers(0, 12), st.integers(1, 12), st.integers(1, 12))
def test_a_fork_goes_its_own_way(common: int, left: int, right: int) -> None:
    pool = Pool(CONFIG, page_size=4)
    one = Prefix(pool)
    if common:
        fill(one, common)
    pages = pool.in_use
    two = one.fork()
    assert pool.in_use == pages  # nothing is copied until one of them writes into a shared page
    fill(one, left, start=common)
    fill(two, right, start=100)
    start = list(range(common))
    assert numbers(one, FULL) == start + list(range(common, common + left))
    assert numbers(two, FULL) == start + list(range(100, 100 + right))
    one.free()
    assert numbers(two, FULL) == start + list(range(100, 100 + right))
    two.free()
    assert pool.in_use == 0


def test_reading_copies_nothing() -> None:
    prefix = Prefix(Pool(CONFIG, page_size=4))
    fill(prefix, 9)
    first, again = prefix.segments(FULL), prefix.segments(FULL)
    assert [k.data_ptr() for k, _ in first] == [k.data_ptr() for k, _ in again]


def test_a_pass_that_was_broken_off_leaves_no_trace() -> None:
    prefix = Prefix(Pool(CONFIG, page_size=4))
    fill(prefix, 3)
    prefix.write(SLIDING, torch.full((2, 5, 4), 9.0), torch.full((2, 5, 4), -9.0))
    assert numbers(prefix, SLIDING) == [0, 1, 2]
    fill(prefix, 2, start=3)
    assert numbers(prefix, SLIDING) == [0, 1, 2, 3, 4]


def test_pages_given_back_are_used_again() -> None:
    pool = Pool(CONFIG, page_size=4)

    def addresses() -> set[int]:
        with Prefix(pool) as prefix:
            fill(prefix, 4)
            return {k.data_ptr() for layer in (0, 1) for k, _ in prefix.segments(layer)}

    assert addresses() == addresses()


def test_freeing_twice_gives_back_once() -> None:
    pool = Pool(CONFIG, page_size=4)
    one, two = Prefix(pool), Prefix(pool)
    fill(one, 4)
    fill(two, 4)
    one.free()
    one.free()
    assert (one.length, pool.in_use) == (0, 2)


def test_pages_may_be_written_in_and_out_of_inference_mode() -> None:
    pool = Pool(CONFIG, page_size=4)
    prefix = Prefix(pool)
    with torch.inference_mode():
        fill(prefix, 2)
    fill(prefix, 1, start=2)
    assert numbers(prefix, FULL) == [0, 1, 2]


def test_a_page_holds_at_least_one_token() -> None:
    with pytest.raises(ParameterError, match="page_size must be at least 1"):
        Pool(CONFIG, page_size=0)


def test_pages_have_the_pools_dtype() -> None:
    prefix = Prefix(Pool(CONFIG, dtype=torch.bfloat16))
    fill(prefix, 1)
    keys: Tensor = prefix.segments(FULL)[0][0]
    assert keys.dtype == torch.bfloat16


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(1, 7))
def test_quantised_pages_hold_what_was_written_to_half_a_step(
    pieces: list[int], page_size: int
) -> None:
    pool = Pool(CONFIG, page_size=page_size, attention=ReferenceAttention(), quantised=True)
    torch.manual_seed(page_size)
    kv = torch.randn(2, 1, sum(pieces), 6)
    kv[:, :, 0] = 0
    with Prefix(pool) as prefix:
        for keys, values in zip(*(part.split(pieces, dim=1) for part in kv), strict=True):
            prefix.write(FULL, keys, values)
            prefix.length += keys.shape[1]
        with prefix.fork() as fork:
            fork.write(FULL, *torch.ones(2, 1, 1, 6))
            pairs = prefix.segments(FULL)
        kept = torch.stack([torch.cat(part, dim=1) for part in zip(*pairs, strict=True)])
        assert all(isinstance(piece, QuantisedKV) for piece in prefix.pieces(FULL))
    step = kv.abs().amax(dim=-1, keepdim=True) / 127
    assert bool(((kept - kv).abs() <= 0.5001 * step).all())
    assert pool.in_use == 0


@pytest.mark.parametrize("quantised", [False, True])
def test_page_bytes_are_those_of_the_tensors(quantised: bool) -> None:
    pool = Pool(CONFIG, page_size=4, attention=ReferenceAttention(), quantised=quantised)
    pages = [pool.take(layer) for layer in CONFIG.layers]
    tensors = [t for page in pages for t in (page.keys, page.values, *(page.scales or ()))]
    assert pool.page_bytes == sum(t.nbytes for t in tensors) / len(pages)


def test_a_shared_page_grows_in_place_until_another_has_written_there() -> None:
    pool = Pool(CONFIG, page_size=8)
    one = Prefix(pool)
    fill(one, 3)
    two = one.fork()
    fill(one, 2, start=3)
    assert pool.in_use == 2  # the fork reads no further than where it ends
    fill(two, 2, start=100)
    assert pool.in_use == 4
    assert numbers(one, FULL) == [0, 1, 2, 3, 4]
    assert numbers(two, FULL) == [0, 1, 2, 100, 101]


def test_quantised_pages_need_operations_that_read_them() -> None:
    with pytest.raises(ParameterError, match="need attention operations"):
        Pool(CONFIG, quantised=True)
