"""Causal log-probabilities are those of the left-to-right logits, however they are cut up."""

import pytest
import torch
from torch import Tensor

from canvaslm import LM
from canvaslm.cache.pages import Pool, Prefix
from canvaslm.engine.encode import extend, extend_all
from canvaslm.engine.scoring import causal
from canvaslm.engine.scoring.causal import causal_logprobs, follow

IDS = [5, 9, 20, 31, 40, 77, 120, 8, 8, 299, 0, 17]


def expected(lm: LM, ids: list[int]) -> Tensor:
    """log p of ids[1:], in float64."""
    logits = lm.causal_logits(ids)[0].double()
    return logits.log_softmax(dim=-1)[:-1].gather(-1, torch.tensor(ids[1:])[:, None])[:, 0]


@pytest.mark.parametrize(("page", "limit"), [(256, 1 << 24), (5, 1 << 24), (256, 1), (4, 600)])
@pytest.mark.parametrize("start", [1, 2, 7, 11])
def test_following_a_prompt_is_gathering_its_logits(
    lm: LM, monkeypatch: pytest.MonkeyPatch, page: int, limit: int, start: int
) -> None:
    monkeypatch.setattr(causal, "LOGITS", limit)
    monkeypatch.setattr(causal.pieces, "__kwdefaults__", {"limit": limit})
    pool = Pool(lm.config, page_size=page)
    with torch.inference_mode(), Prefix(pool) as prefix:
        hidden = extend_all(lm.network, prefix, IDS)
        picked, last = follow(lm.network, hidden, IDS, top=2, start=start)
    assert picked is not None
    torch.testing.assert_close(
        picked.logprob.double(), expected(lm, IDS)[start - 1 :], rtol=1e-5, atol=1e-4
    )
    assert picked.top.shape == (len(IDS) - start, 2)
    assert last.shape == (lm.config.hidden_size,)


def test_one_token_predicts_nothing_yet(lm: LM) -> None:
    with torch.inference_mode(), Prefix(lm.pool) as prefix:
        picked, last = follow(lm.network, extend_all(lm.network, prefix, [5]), [5], top=0)
    assert picked is None
    assert last.shape == (lm.config.hidden_size,)


@pytest.mark.parametrize("count", [1, 3, 4])
def test_a_canvas_goes_on_where_the_prompt_ended(lm: LM, count: int) -> None:
    prompt, canvas = IDS[:8], torch.tensor(IDS[8:])
    with torch.inference_mode(), Prefix(lm.pool) as prefix:
        _, before = follow(lm.network, extend_all(lm.network, prefix, prompt), prompt, top=0)
        hidden = extend(lm.network, [prefix], canvas[None])[0]
        picked = causal_logprobs(lm.network, before, hidden, canvas[:count], top=1)
    torch.testing.assert_close(
        picked.logprob.double(), expected(lm, IDS)[7 : 7 + count], rtol=1e-5, atol=1e-4
    )


def test_no_piece_holds_more_logits_than_allowed(lm: LM) -> None:
    cut = causal.pieces(lm.network, 10, limit=3 * lm.config.vocab_size + 5)
    assert [(part.start, part.stop) for part in cut] == [(0, 3), (3, 6), (6, 9), (9, 10)]
    assert len(causal.pieces(lm.network, 3, limit=1)) == 3
