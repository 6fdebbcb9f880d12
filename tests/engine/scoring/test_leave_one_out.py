"""Leave-one-out equals one forward for each position, and never sees the token it judges."""

import pytest
import torch

from canvaslm import LM
from canvaslm.cache.attend import Bidirectional
from canvaslm.engine.scoring.leave_one_out import leave_one_out, one_hot, other_tokens

PROMPT = [5, 9, 20]
CANVAS = torch.tensor([7, 7, 30, 41, 99, 250, 1, 0, 299, 12, 13, 14, 15, 16, 17, 18])


@pytest.mark.parametrize("rows", [1, 5, 16])
def test_it_is_one_forward_for_each_position(lm: LM, rows: int) -> None:
    noise = other_tokens(lm.network, CANVAS, seed=4, canvas=2)
    with torch.inference_mode(), lm.prefill(PROMPT) as prefix:
        picked = leave_one_out(
            lm.network, prefix, CANVAS, count=11, seed=4, canvas=2, top=3, rows=rows
        )
        positions = torch.arange(3, 19)[None]
        certain = torch.nn.functional.one_hot(CANVAS, 300).float()[None]
        for i in range(11):
            ids = CANVAS.clone()
            ids[i] = noise[i]
            soft = lm.network.blend(certain)
            soft[0, i] = 0
            hidden = lm.network.denoise(ids[None], soft, positions, Bidirectional([prefix]))
            logp = lm.network.unembed(hidden)[0, i].double().log_softmax(dim=-1)
            torch.testing.assert_close(
                picked.logprob[i].double(), logp[CANVAS[i]], rtol=1e-4, atol=1e-4
            )
            torch.testing.assert_close(
                picked.top[i].double(), logp[picked.top_ids[i]], rtol=1e-4, atol=1e-4
            )
    assert picked.logprob.shape == (11,)
    assert lm.pool.in_use == 0


def test_the_noise_is_never_the_token_itself(lm: LM) -> None:
    for seed in range(50):
        noise = other_tokens(lm.network, CANVAS, seed=seed, canvas=0)
        assert (noise != CANVAS).all()
        assert ((noise >= 0) & (noise < 300)).all()


def test_the_judged_token_is_not_seen(lm: LM) -> None:
    """Only the gathered entry may depend on it: the alternatives do not."""
    other = CANVAS.clone()
    other[0] = 8
    with torch.inference_mode(), lm.prefill(PROMPT) as prefix:
        seen = [
            leave_one_out(lm.network, prefix, canvas, count=1, seed=seed, top=300)
            for canvas, seed in ((CANVAS, 1), (other, 1))
        ]
    noise = [other_tokens(lm.network, canvas, seed=1, canvas=0)[0] for canvas in (CANVAS, other)]
    assert noise[0] == noise[1]
    assert torch.equal(seen[0].top, seen[1].top)


def test_certainty_is_the_blend_of_a_one_hot(lm: LM) -> None:
    for network in (lm.network, lm.model):
        certain = torch.nn.functional.one_hot(CANVAS, 300).float()[None]
        with torch.inference_mode():
            torch.testing.assert_close(one_hot(network, CANVAS)[None], network.blend(certain))
