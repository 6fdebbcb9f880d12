"""What would be committed holds no forbidden word, and entropies stay numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from canvaslm.control.avoid import avoid
from canvaslm.control.bias import Banned
from canvaslm.control.forbid import Forbidden, Lexicon
from canvaslm.control.pins import Pins
from canvaslm.control.steering import Steering
from canvaslm.control.words import Words
from canvaslm.diffusion.statistics import likeliest, statistics
from canvaslm.errors import ParameterError

V, L = 4, 8
CPU = torch.device("cpu")


def forbidden(words: list[list[int]]) -> Forbidden:
    lexicon = Lexicon(text=None, ids=Words(words), read=lambda id: b"", asides={})
    return Forbidden(lexicon, ends=frozenset(), limit=99)


def logits(seed: int) -> Tensor:
    return torch.randn(L, V, generator=torch.Generator().manual_seed(seed))


WORDS = st.lists(st.lists(st.integers(0, 2), min_size=2, max_size=3), min_size=1, max_size=4)


@given(WORDS, st.integers(0, 99))
def test_the_likeliest_canvas_holds_none(words: list[list[int]], seed: int) -> None:
    z_LV = logits(seed)
    before = likeliest(z_LV[None])[1][0].tolist()
    avoid(forbidden(words), z_LV, fixed=())
    best = likeliest(z_LV[None])[1][0].tolist()
    assert forbidden(words).find(best) is None
    if forbidden(words).find(before) is None:
        assert best == before  # at no cost where nothing is wrong


def test_pinned_tokens_stay_and_what_is_before_them_gives_way() -> None:
    z_LV = torch.zeros(L, V)
    z_LV[:, 0] = 1.0
    z_LV[:2, 1] = 2.0
    z_LV[2] = torch.tensor([-9.0, -9.0, 9.0, -9.0])
    avoid(forbidden([[1, 1, 2]]), z_LV, fixed={2})
    assert likeliest(z_LV[None])[1][0].tolist() == [1, 0, 2, *[0] * 5]
    with pytest.raises(ParameterError, match="pinned tokens up to position 1"):
        avoid(forbidden([[1, 1]]), torch.eye(V)[[1] * L], fixed={0, 1})


def test_where_nothing_is_left_it_says_so() -> None:
    words = [[a, b] for a in range(V) for b in range(V)]
    with pytest.raises(ParameterError, match="bad_words leave no token for position 1"):
        avoid(forbidden(words), logits(1), fixed=())


def test_entropies_are_numbers_under_pins_and_bans() -> None:
    steering = Steering(
        rules=[Banned([2], device=CPU)],
        pins=Pins(tokens={1: 3}),
        forbidden=forbidden([[0, 0], [1, 1]]),
    )
    guide, z_LV = steering.on_canvas(L, CPU), logits(5)
    guide.bend_logits(z_LV)
    guide.bend(z_LV)
    known = statistics(z_LV[None])
    assert known.entropy.isfinite().all()
    assert float(known.entropy[0, 1]) == 0
    best = guide.best(known).tolist()
    assert best[1] == 3
    assert 2 not in best
    assert steering.forbidden is not None
    assert steering.forbidden.find(best) is None
